"""Whether a pixel moves with the object or with what surrounds it.

Two robust affine motions are fitted to the optical flow of a frame, one under the object's mask and one everywhere
else. Where they differ, a pixel that follows the second is background that the mask has dragged along: the trails
that flow-carried masks grow behind moving objects.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .optical_flow import Flow

FloatMap = npt.NDArray[np.float32]

# The fits use every n-th row and column: object, surroundings.
OBJECT_STRIDE, GROUND_STRIDE = 2, 4
# Fewer points than this cannot carry the six numbers of an affine motion.
FEWEST_POINTS = 12
FIT_ROUNDS = 6
# Spread of the flow around a motion: pixels, and share of the pixel's own motion.
SPREAD_PX, SPREAD_SHARE = 0.7, 0.05
# Likelihood of a flow that follows neither motion.
OUTLIER = 0.1


def motion_evidence(flow: Flow, carried: FloatMap) -> FloatMap:
    """Return (h, w): log of how much likelier the object's motion is than that of its surroundings.

    ``carried``: soft mask (h, w) of the object. 0 where the motions are alike or the flow is not reliable.
    """
    offset = flow.offset
    on_object = np.clip(2 * carried - 1, 0, 1) * flow.reliability
    margin = cv2.dilate((carried > 0.2).astype(np.uint8), np.ones((9, 9), np.uint8))
    places = _places(*carried.shape)
    object_fit = _affine(places, offset, on_object, OBJECT_STRIDE)
    ground_fit = _affine(places, offset, (margin == 0) * flow.reliability, GROUND_STRIDE)
    if object_fit is None or ground_fit is None:
        return np.zeros(carried.shape, np.float32)
    with_object, with_ground = places @ object_fit, places @ ground_fit
    spread = SPREAD_PX + SPREAD_SHARE * _length(offset)
    for_object = np.exp(-_length(offset - with_object) / spread) + OUTLIER
    for_ground = np.exp(-_length(offset - with_ground) / spread) + OUTLIER
    apart = np.clip(_length(with_object - with_ground) / spread / 2 - 0.25, 0, 1)
    return np.asarray(np.log(for_object / for_ground) * apart * flow.reliability, np.float32)


def _places(height: int, width: int) -> FloatMap:
    """Return (h, w, 3): x, y and 1 of each pixel, about the centre and in image widths."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.dstack([(columns - width / 2) / width, (rows - height / 2) / width, np.ones_like(rows)])


def _affine(places: FloatMap, offset: FloatMap, weight: FloatMap, stride: int) -> FloatMap | None:
    """Fit offset = places @ A by least squares, reweighted by 1 / (1 + residual^2); A is (3, 2), pixels."""
    weight = weight[::stride, ::stride]
    chosen = weight > 0.05
    if np.count_nonzero(chosen) < FEWEST_POINTS:
        return None
    basis = places[::stride, ::stride][chosen].astype(np.float64)
    target = offset[::stride, ::stride][chosen].astype(np.float64)
    prior = weight[chosen].astype(np.float64)
    current, fit = prior, np.zeros((3, 2))
    for _ in range(FIT_ROUNDS):
        weighted = basis * current[:, None]
        fit = np.linalg.solve(weighted.T @ basis + 1e-6 * np.eye(3), weighted.T @ target)
        current = prior / (1 + ((target - basis @ fit) ** 2).sum(axis=1))
    return fit.astype(np.float32)


def _length(vectors: FloatMap) -> FloatMap:
    return np.asarray(np.hypot(vectors[..., 0], vectors[..., 1]), np.float32)
