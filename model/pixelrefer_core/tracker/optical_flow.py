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
    """``source``: (h, w, 2), x and y of where each pixel of the new frame was before. ``offset``: the same,
    relative to where it is now. ``reliability``: (h, w) in [0, 1].
    """

    source: FloatMap
    offset: FloatMap
    reliability: FloatMap

    def carry(self, field: FloatMap) -> FloatMap:
        """Move a field (h, w) of the frame before onto the new frame."""
        return _sample(field, self.source)


class FlowEstimator:
    """Dense inverse search (DIS) in both directions; its result does not depend on earlier frames."""

    def __init__(self) -> None:
        # The next faster preset takes half the time and loses a tenth of J&F: fast motion tears its masks.
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def between(self, before: npt.NDArray[np.uint8], now: npt.NDArray[np.uint8]) -> Flow:
        """Return the flow between two grey images uint8 (h, w)."""
        height, width = now.shape
        before, now = _padded(before), _padded(now)
        backward = self._search.calc(now, before, None)[:height, :width]  # type: ignore[call-overload]
        forward = self._search.calc(before, now, None)[:height, :width]  # type: ignore[call-overload]
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        source = backward + np.dstack([columns, rows])
        # A pixel that is followed back and forth must end where it began.
        error2 = ((_sample(forward, source) + backward) ** 2).sum(axis=-1)
        variance = AGREEMENT_PX2 + AGREEMENT_SHARE * (backward**2).sum(axis=-1)
        reliability = np.exp(-error2 / (2 * variance))
        outside = (source < 0).any(axis=-1) | (source > (width - 1, height - 1)).any(axis=-1)
        reliability[outside] = OUTSIDE_RELIABILITY
        return Flow(source, backward, reliability)


def _padded(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Extend by its rim an image that DIS crashes on: less than 16 pixels, or over four times as wide as high."""
    height, width = image.shape
    below, right = max(0, max(16, width // 4) - height), max(0, 16 - width)
    if not below and not right:
        return image
    return cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def _sample(field: FloatMap, source: FloatMap) -> FloatMap:
    return cv2.remap(field, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore
