"""What a real depth camera would make of an exact depth image: noise, frayed edges, holes. Pure.

Axial and lateral noise are those that Nguyen, Izadi and Lovell (2012) measured on a structured-light camera.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Depth = npt.NDArray[np.float32]

_LATERAL_PX = 0.8
# A step in depth is a place where neighbours differ by so much of their distance; there, every other pixel is lost.
_STEP, _LOST_AT_STEPS = 0.03, 0.5


def disturb_depth(metres: Depth, rng: np.random.Generator) -> Depth:
    """Return metres (H, W) as a camera would measure them, 0 = no measurement."""
    height, width = metres.shape
    rows, columns = np.mgrid[:height, :width]
    rows = rows + np.rint(rng.normal(0.0, _LATERAL_PX, metres.shape)).astype(int)
    columns = columns + np.rint(rng.normal(0.0, _LATERAL_PX, metres.shape)).astype(int)
    seen = metres[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    noise = 0.0012 + 0.0019 * (seen - 0.4) ** 2
    noisy = seen + noise * rng.standard_normal(metres.shape)
    lost = _at_steps(metres) & (rng.random(metres.shape) < _LOST_AT_STEPS)
    return np.where(lost, 0.0, noisy).astype(np.float32)


def _at_steps(metres: Depth) -> npt.NDArray[np.bool_]:
    around = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.dilate(metres, around) - cv2.erode(metres, around) > _STEP * metres)
