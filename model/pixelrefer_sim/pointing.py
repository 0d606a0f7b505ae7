"""How three objects of a clip are pointed at on its first frame: one by a box, one by points, one by its mask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from pixelrefer_core.errors import InvalidPromptError
from pixelrefer_core.masks import mask_box
from pixelrefer_core.types import MaskArray

_POINTS = 3


def objects_file(masks: Mapping[str, MaskArray], mask_file: str) -> str:
    """Return the text of an ``objects.json``, see :func:`pixelrefer_core.clip_objects.read_objects`.

    ``masks``: bool (H, W) of three objects by the ids that they get; ``mask_file``: where the mask of the third
    lies, beside the text. Raises :class:`InvalidPromptError` when there are not three, or the first is not seen.
    """
    if len(masks) != 3:
        raise InvalidPromptError(f'three objects are pointed at, got {len(masks)}')
    (boxed, mask), (dotted, dotted_mask), (masked, _) = masks.items()
    box = mask_box(mask)
    if box is None:
        raise InvalidPromptError(f'{boxed} cannot be seen, so there is no box around it')
    x1, y1, x2, y2 = (int(side) for side in box)
    entries: list[dict[str, Any]] = [
        {'object_id': boxed, 'box': [x1, y1, x2 - x1, y2 - y1]},
        {'object_id': dotted, 'points': inner_points(dotted_mask, _POINTS)},
        {'object_id': masked, 'mask': mask_file},
    ]
    lines = ',\n  '.join(json.dumps(entry) for entry in entries)
    return f'{{"objects": [\n  {lines}\n]}}\n'


def inner_points(mask: MaskArray, count: int) -> list[list[int]]:
    """Return pixels (x, y) far from the edge of the mask and from each other."""
    free = np.ascontiguousarray(mask, np.uint8)
    points = []
    for _ in range(count):
        depth = cv2.distanceTransform(free, cv2.DIST_L2, 5)
        _, reach, _, (x, y) = cv2.minMaxLoc(depth)
        points.append([int(x), int(y)])
        cv2.circle(free, (x, y), max(1, round(reach)), (0.0,), cv2.FILLED)
    return points
