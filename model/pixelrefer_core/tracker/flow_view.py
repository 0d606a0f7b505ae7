"""A frame as the flow tracker sees it: small, with everything computed once that all objects share."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ..types import Frame
from .appearance import FloatMap, image_features
from .guided_filter import GuidedFilter
from .search import colour_bins

EDGE_RADIUS = 4
EDGE_EPSILON = 3e-4


@dataclass(frozen=True, eq=False)
class FlowView:
    """``grey`` uint8, ``features`` (h, w, 11), ``colours`` int32 bins, ``edges``; all at the small size (h, w)."""

    frame: Frame
    grey: npt.NDArray[np.uint8]
    features: FloatMap
    colours: npt.NDArray[np.int32]
    edges: GuidedFilter

    @property
    def colour(self) -> FloatMap:
        """Lab colour of the small image, float32 (h, w, 3)."""
        return self.features[..., :3]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, as OpenCV wants them."""
        return int(self.grey.shape[1]), int(self.grey.shape[0])


def make_view(frame: Frame, rows: int) -> FlowView:
    """Shrink a frame to at most ``rows`` rows and derive what tracking needs."""
    scale = min(1.0, rows / frame.height)
    size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
    small = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    guide = np.asarray(lab, np.float32) / np.float32(255)
    return FlowView(
        frame=frame,
        grey=cv2.cvtColor(small, cv2.COLOR_RGB2GRAY),  # type: ignore[arg-type]
        features=image_features(lab),  # type: ignore[arg-type]
        colours=colour_bins(lab),  # type: ignore[arg-type]
        edges=GuidedFilter(guide, radius=EDGE_RADIUS, epsilon=EDGE_EPSILON),
    )
