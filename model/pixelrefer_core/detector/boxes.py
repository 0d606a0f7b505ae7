"""From a network's boxes to detections. Pure functions over N boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..association import Region, Seen, without_duplicates
from ..types import Detection, Prompt

Floats = npt.NDArray[np.float32]

# Of an image at most so many are returned, and of two that overlap by more than this only the more confident one.
MOST_DETECTIONS = 100
DUPLICATE_OVERLAP = 0.7
# Narrower boxes, in pixels, show nothing.
LEAST_SIDE = 1.0


def to_detections(
    scores: Floats,
    labels: npt.NDArray[np.int64],
    boxes_xyxy: Floats,
    words: Sequence[str],
    *,
    threshold: float,
) -> list[Detection]:
    """Return what is at least as confident as ``threshold``, the most confident first.

    ``scores``: (N,) in [0, 1]. ``labels``: (N,), an index into ``words`` each. ``boxes_xyxy``: (N, 4), pixels.
    """
    sides = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    # Written so that NaN is left out, too.
    good = (scores >= threshold) & (sides >= LEAST_SIDE).all(axis=1)
    order = [int(k) for k in np.argsort(-scores, kind='stable') if good[k]][:MOST_DETECTIONS]
    seen = [Seen(Region(_box(boxes_xyxy[k])), words[labels[k]], float(scores[k])) for k in order]
    kept = (seen[k] for k in without_duplicates(seen, DUPLICATE_OVERLAP))
    return [
        Detection(Prompt(label=item.label, box_xyxy=item.region.box), min(item.score, 1.0)) for item in kept
    ]


def to_corners(boxes: Floats, unit: tuple[float, float], *, height: int, width: int) -> Floats:
    """Return (N, 4) corners in pixels, clipped to the image, of boxes (N, 4) given by centre and size.

    ``unit``: how many pixels a width and a height of 1 stand for.
    """
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    corners = np.concatenate([centre - half, centre + half], axis=1) * np.array([*unit, *unit], np.float32)
    limits = np.array([width, height, width, height], np.float32)
    return np.clip(corners, np.float32(0), limits)


def _box(corners: Floats) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(side) for side in corners)
    return x0, y0, x1, y1
