"""How one frame of reference lies in another: a rotation and a translation. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import NoTransformError


@dataclass(frozen=True, eq=False)
class RigidTransform:
    """Takes points of a source frame to a target frame. ``rotation`` (3, 3), ``translation_m`` (3)."""

    rotation: npt.NDArray[np.float64]
    translation_m: npt.NDArray[np.float64]

    def apply(self, points_m: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return points (..., 3) of the source frame as they lie in the target frame."""
        return points_m @ self.rotation.T + self.translation_m


def from_quaternion(xyzw: Sequence[float], translation_m: Sequence[float]) -> RigidTransform:
    """Make a transform of a quaternion and a translation. Raises :class:`NoTransformError` when they are none."""
    length = math.sqrt(sum(value * value for value in xyzw))
    if not (0.5 < length < 2.0 and all(math.isfinite(value) for value in translation_m)):
        raise NoTransformError(
            f'a transform of rotation {list(xyzw)} and translation {list(translation_m)} is none'
        )
    x, y, z, w = (value / length for value in xyzw)
    rotation = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return RigidTransform(np.array(rotation), np.array(translation_m, np.float64))
