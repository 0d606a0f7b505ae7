"""The mask of one object on a new frame: from a prior, its classifier, and the edges of the image."""

from __future__ import annotations

import cv2
import numpy as np

from .appearance import Appearance, FloatMap, Place
from .flow_view import FlowView

# Weight of the classifier against the prior, in log odds; the sum is bounded so that neither is ever final.
APPEARANCE_GAIN, APPEARANCE_BOUND = 1.5, 3.0
LOGIT_BOUND = 4.0
# The classifier looks this far beyond the carried mask, in object sizes.
REACH = 0.3


def refine(
    appearance: Appearance, view: FlowView, carried: FloatMap, prior: FloatMap
) -> tuple[FloatMap, float]:
    """Return the soft mask (h, w) from a prior (h, w) in log odds, and the classifier's mean margin inside it."""
    place = Place(carried)
    side = 2 * int(REACH * place.size) + 9
    near = cv2.dilate((carried > 0.3).astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    indices = np.flatnonzero(near)
    margins = np.full(carried.shape, -1.0, np.float32)
    margins.flat[indices] = appearance.score(view.features, indices, place)
    odds = prior + np.clip(APPEARANCE_GAIN * margins, -APPEARANCE_BOUND, APPEARANCE_BOUND)
    odds = np.clip(np.where(near, odds, -LOGIT_BOUND), -LOGIT_BOUND, LOGIT_BOUND)
    probability = np.clip(view.edges.smooth((1 / (1 + np.exp(-odds))).astype(np.float32)), 0, 1)
    probability = _without_ghosts(probability, carried)
    inside = probability > 0.5
    return probability, float(margins[inside].mean()) if inside.any() else 0.0


def _without_ghosts(probability: FloatMap, carried: FloatMap) -> FloatMap:
    """Weaken pieces that the carried mask hardly touches, and crumbs: they are what trails are made of."""
    pieces = (probability > 0.5).astype(np.uint8)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(pieces, connectivity=8)
    if count <= 2:
        return probability
    areas = statistics[:, cv2.CC_STAT_AREA]
    overlap = np.bincount(labels.ravel(), carried.ravel(), count)
    keep = (overlap > 0.3 * areas) & (areas > 0.02 * areas[1:].max())
    keep[0] = True
    return np.where(keep[labels], probability, np.minimum(probability, np.float32(0.2)))


def logit(probability: FloatMap) -> FloatMap:
    """Return the log odds of probabilities, bounded."""
    clipped = np.clip(probability, 0.01, 0.99)
    return np.log(clipped / (1 - clipped))
