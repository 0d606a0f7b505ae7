"""Scores of mask sequences as the DAVIS benchmark defines them (Perazzi et al., CVPR 2016, section 4.1).

J, region similarity: intersection over union. F, boundary measure: harmonic mean of the precision and the
recall of boundary pixels, where a pixel counts as matched within 0.008 of the image's diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .masks import mask_iou
from .types import MaskArray

BOUNDARY_TOLERANCE = 0.008


@dataclass(frozen=True)
class SequenceScore:
    """Means over the scored frames of one object; each in [0, 1]."""

    region: float
    boundary: float
    frames: int

    @property
    def mean(self) -> float:
        """J&F, the mean of both."""
        return (self.region + self.boundary) / 2


def region_similarity(annotation: MaskArray, segmentation: MaskArray) -> float:
    """Return J in [0, 1]; 1 when both masks are empty."""
    return mask_iou(annotation, segmentation)


def boundary_measure(
    annotation: MaskArray, segmentation: MaskArray, *, tolerance: float = BOUNDARY_TOLERANCE
) -> float:
    """Return F in [0, 1]. ``tolerance``: fraction of the image's diagonal, rounded up to whole pixels."""
    radius = math.ceil(tolerance * math.hypot(*annotation.shape))
    truth, guess = mask_boundary(annotation), mask_boundary(segmentation)
    truth_pixels, guess_pixels = int(np.count_nonzero(truth)), int(np.count_nonzero(guess))
    if truth_pixels == 0 or guess_pixels == 0:
        # Precision and recall are then 1 and 0, or 0 and 1; both are 1 when neither has a boundary.
        return float(truth_pixels == guess_pixels)
    precision = int(np.count_nonzero(guess & _dilate(truth, radius))) / guess_pixels
    recall = int(np.count_nonzero(truth & _dilate(guess, radius))) / truth_pixels
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def mask_boundary(mask: MaskArray) -> MaskArray:
    """Return the pixels that differ from their right, lower or lower-right neighbour (``seg2bmap``).

    The last row is compared to the right only, the last column downwards only.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode='edge')
    right, below, diagonal = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return np.asarray((mask ^ right) | (mask ^ below) | (mask ^ diagonal))


class SequenceScorer:
    """Scores a sequence frame by frame, so that its masks need not be kept."""

    def __init__(self) -> None:
        self._pairs: list[tuple[float, float]] = []

    def add(self, annotation: MaskArray, segmentation: MaskArray) -> None:
        """Score the next frame."""
        scores = region_similarity(annotation, segmentation), boundary_measure(annotation, segmentation)
        self._pairs.append(scores)

    def score(self) -> SequenceScore:
        """Return the means over a sequence whose first annotation was the prompt.

        As in the benchmark, the first and the last frame do not count (the last one does when only two exist).
        """
        if len(self._pairs) < 2:
            raise ValueError(f'at least two frames are needed, got {len(self._pairs)}')
        region, boundary = np.array(self._pairs[1 : max(2, len(self._pairs) - 1)]).T
        return SequenceScore(float(region.mean()), float(boundary.mean()), len(region))


def score_sequence(annotations: Sequence[MaskArray], segmentations: Sequence[MaskArray]) -> SequenceScore:
    """Score a whole sequence; see :class:`SequenceScorer`."""
    scorer = SequenceScorer()
    for annotation, segmentation in zip(annotations, segmentations, strict=True):
        scorer.add(annotation, segmentation)
    return scorer.score()


def _dilate(boundary: MaskArray, radius: int) -> MaskArray:
    grown: npt.NDArray[np.uint8] = cv2.dilate(boundary.astype(np.uint8), _disk(radius)).astype(np.uint8)
    return grown.astype(np.bool_)


def _disk(radius: int) -> npt.NDArray[np.uint8]:
    # cv2.MORPH_ELLIPSE is no exact disk; the benchmark's x^2 + y^2 <= r^2 is.
    offsets = np.arange(-radius, radius + 1)
    return np.asarray(offsets[:, None] ** 2 + offsets[None, :] ** 2 <= radius**2, np.uint8)
