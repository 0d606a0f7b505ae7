"""Dense optical flow from one frame to the next, with the places where it cannot be believed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

FloatMap = npt.NDArray[np.float32]

# Forward and backward flow may disagree by this variance (px^2), plus this share of the squared motion.
AGREEMENT_PX2 = 1.0
AGREEMENT_SHARE = 0.02
OUTSIDE_RELIABILITY = 0.3


@dataclass(frozen=True, eq=False)
class Flow:
    """``x``, ``y``: where each pixel (h, w) of the new frame was before. ``reliability``: in [0, 1]."""

    x: FloatMap
    y: FloatMap
    reliability: FloatMap

    def carry(self, field: FloatMap) -> FloatMap:
        """Move a field (h, w) of the frame before onto the new frame."""
        return _sample(field, self.x, self.y)


class FlowEstimator:
    """Dense inverse search (DIS) in both directions; its result does not depend on earlier frames."""

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def between(self, before: npt.NDArray[np.uint8], now: npt.NDArray[np.uint8]) -> Flow:
        """Return the flow between two grey images uint8 (h, w)."""
        backward = self._search.calc(now, before, None)  # type: ignore[call-overload]
        forward = self._search.calc(before, now, None)  # type: ignore[call-overload]
        height, width = now.shape
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        x, y = columns + backward[..., 0], rows + backward[..., 1]
        # A pixel that is followed back and forth must end where it began.
        error2 = ((_sample(forward, x, y) + backward) ** 2).sum(axis=-1)
        variance = AGREEMENT_PX2 + AGREEMENT_SHARE * (backward**2).sum(axis=-1)
        reliability = np.exp(-error2 / (2 * variance))
        reliability[(x < 0) | (y < 0) | (x > width - 1) | (y > height - 1)] = OUTSIDE_RELIABILITY
        return Flow(x, y, reliability)


def _sample(field: FloatMap, x: FloatMap, y: FloatMap) -> FloatMap:
    return cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]
