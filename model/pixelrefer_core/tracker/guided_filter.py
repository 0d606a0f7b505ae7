"""Edge-aware smoothing: a soft mask is pulled to the edges of the colour image under it (He et al., 2013)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

FloatMap = npt.NDArray[np.float32]


class GuidedFilter:
    """The filter of one image; what depends on the image alone is computed once.

    ``guide``: float32 (h, w, 3) in [0, 1]. ``radius``: of the windows, pixels. ``epsilon``: variance of the guide
    below which a window counts as flat.
    """

    def __init__(self, guide: FloatMap, *, radius: int, epsilon: float) -> None:
        self._size = (2 * radius + 1, 2 * radius + 1)
        self._channels = [np.ascontiguousarray(guide[..., k]) for k in range(3)]
        self._means = [self._mean(channel) for channel in self._channels]
        self._inverse = self._inverse_covariance(epsilon)

    def smooth(self, field: FloatMap) -> FloatMap:
        """Return the function of the guide, linear in every window, that fits ``field`` (h, w) best."""
        field_mean = self._mean(field)
        cross = [
            self._mean(channel * field) - mean * field_mean
            for channel, mean in zip(self._channels, self._means, strict=True)
        ]
        slopes = [row[0] * cross[0] + row[1] * cross[1] + row[2] * cross[2] for row in self._inverse]
        offset = field_mean - sum(slope * mean for slope, mean in zip(slopes, self._means, strict=True))
        smooth = self._mean(offset)
        for slope, channel in zip(slopes, self._channels, strict=True):
            smooth += self._mean(slope) * channel
        return smooth

    def _mean(self, values: FloatMap) -> FloatMap:
        return np.asarray(cv2.boxFilter(values, -1, self._size), np.float32)

    def _inverse_covariance(self, epsilon: float) -> list[list[FloatMap]]:
        """Invert the 3 x 3 covariance of each window by its cofactors: LAPACK takes ten times as long."""
        c = [
            [self._mean(a * b) - m * n for b, n in zip(self._channels, self._means, strict=True)]
            for a, m in zip(self._channels, self._means, strict=True)
        ]
        for k in range(3):
            c[k][k] = c[k][k] + np.float32(epsilon)
        cofactors = [
            [
                c[(j + 1) % 3][(i + 1) % 3] * c[(j + 2) % 3][(i + 2) % 3]
                - c[(j + 1) % 3][(i + 2) % 3] * c[(j + 2) % 3][(i + 1) % 3]
                for j in range(3)
            ]
            for i in range(3)
        ]
        determinant = sum(c[0][k] * cofactors[k][0] for k in range(3))
        return [[value / determinant for value in row] for row in cofactors]
