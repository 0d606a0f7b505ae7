"""Which detection is which object: by overlap, class and age, so that the sum over all pairs is best. Pure functions.

The assignment is the Hungarian one: a greedy choice of the best pair first can leave two others without a partner,
which is how objects of one class swap their names when they cross.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .masks import mask_box
from .track_state import REACH, REACH_SPEED
from .types import MaskArray, ObjectState

FloatBox = tuple[float, float, float, float]
Affinity = npt.NDArray[np.float64]

# What two different class labels take from an overlap: detectors confuse classes more often than places.
LABEL_PENALTY = 0.2
# What an object gains with age, at most: of two that overlap a detection alike, the older one keeps it.
AGE_BONUS = 0.05
# A hidden object and what may be its return must agree in area within this factor.
AREA_FACTOR = 4.0


@dataclass(frozen=True, eq=False)
class Region:
    """Where something is in an image: a box, pixels, half-open; and its mask inside the box, packed, when there is one.

    ``bits``: uint8 (rows, ceil(columns / 8)), see :func:`numpy.packbits`.
    """

    box: FloatBox
    bits: npt.NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, mask: MaskArray) -> Region | None:
        """Cut the region out of a mask, bool (H, W); None when it is empty."""
        box = mask_box(mask)
        if box is None:
            return None
        x0, y0, x1, y1 = box
        return cls(box, np.packbits(mask[y0:y1, x0:x1], axis=1))

    @property
    def area(self) -> float:
        """Of the box, square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])

    @property
    def centre(self) -> tuple[float, float]:
        """Of the box, x and y."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    def pixels(self, box: tuple[int, int, int, int]) -> MaskArray:
        """Return the mask inside ``box``, which lies inside this region's; only for regions with a mask."""
        assert self.bits is not None
        left, top = int(self.box[0]), int(self.box[1])
        x0, y0, x1, y1 = box
        rows = np.unpackbits(self.bits[y0 - top : y1 - top], axis=1, count=int(self.box[2]) - left)
        return rows[:, x0 - left : x1 - left].astype(np.bool_)


@dataclass(frozen=True, eq=False)
class Seen:
    """A detection: where, of which class (empty = not said), with which confidence in [0, 1]."""

    region: Region
    label: str = ''
    score: float = 1.0


@dataclass(frozen=True, eq=False)
class Known:
    """An object as it stood on the image of the detections.

    ``region``: where it was then, or where it was last seen when ``is_visible`` is False. ``age_s``: since it was first
    seen. ``last_seen_ns``: stamp of the newest image that shows it. ``state`` and ``score``: of now.
    """

    object_id: str
    region: Region
    is_visible: bool
    last_seen_ns: int
    label: str = ''
    age_s: float = 0.0
    state: ObjectState = ObjectState.TRACKED
    score: float = 1.0


def overlap(first: Region, second: Region) -> float:
    """Return intersection over union in [0, 1], of the masks when both have one, else of the boxes."""
    x0, y0 = max(first.box[0], second.box[0]), max(first.box[1], second.box[1])
    x1, y1 = min(first.box[2], second.box[2]), min(first.box[3], second.box[3])
    if x1 <= x0 or y1 <= y0:
        return 0.0
    if first.bits is None or second.bits is None:
        common = (x1 - x0) * (y1 - y0)
        return common / (first.area + second.area - common)
    box = int(x0), int(y0), int(x1), int(y1)
    shared = int(np.count_nonzero(first.pixels(box) & second.pixels(box)))
    return shared / (_count(first) + _count(second) - shared)


def affinity(known: Sequence[Known], seen: Sequence[Seen]) -> Affinity:
    """Return (K, S): how well each detection fits each visible object; 0 where they do not touch."""
    values = np.zeros((len(known), len(seen)))
    for row, item in enumerate(known):
        bonus = AGE_BONUS * item.age_s / (item.age_s + 1)
        for column, detection in enumerate(seen):
            common = overlap(item.region, detection.region)
            if common > 0:
                penalty = LABEL_PENALTY * _differ(item.label, detection.label)
                values[row, column] = max(common + bonus - penalty, 0.0)
    return values


def likely_return(known: Sequence[Known], seen: Sequence[Seen], stamp_ns: int) -> Affinity:
    """Return (K, S) in [0, 1]: how likely each detection is the return of each hidden object.

    It must have about the size, and lie within reach: where an object can have got to since it was last seen. An object
    that is LOST may be anywhere, but only a detection of the very same class can be it.
    """
    values = np.zeros((len(known), len(seen)))
    for row, item in enumerate(known):
        hidden_s = max(0.0, (stamp_ns - item.last_seen_ns) / 1e9)
        reach = math.sqrt(item.region.area) * (REACH + REACH_SPEED * hidden_s)
        for column, detection in enumerate(seen):
            if not _may_be(item, detection):
                continue
            distance = math.dist(item.region.centre, detection.region.centre)
            if item.state is ObjectState.LOST or distance <= reach:
                values[row, column] = 1 / (1 + distance / reach)
    return values


def assign(values: Affinity, least: float) -> list[tuple[int, int]]:
    """Return the pairs (row, column) that together have the largest sum; pairs below ``least`` never count."""
    # Imported here: it is slow to import, and most streams have no detector.
    from scipy.optimize import linear_sum_assignment

    allowed = np.where(values >= least, values, 0.0)
    rows, columns = linear_sum_assignment(allowed, maximize=True)
    return [
        (int(row), int(column)) for row, column in zip(rows, columns, strict=True) if allowed[row, column] > 0
    ]


def without_duplicates(seen: Sequence[Seen], limit: float) -> list[int]:
    """Return the indices of the detections that stay, in their order, when of any two that overlap by more than
    ``limit`` the less confident one goes; the later one among equals. Classes do not matter: labels flip.
    """
    kept: list[int] = []
    for index in sorted(range(len(seen)), key=lambda index: -seen[index].score):
        if all(overlap(seen[index].region, seen[other].region) <= limit for other in kept):
            kept.append(index)
    return sorted(kept)


def _count(region: Region) -> int:
    x0, y0, x1, y1 = (int(side) for side in region.box)
    return int(np.count_nonzero(region.pixels((x0, y0, x1, y1))))


def _differ(first: str, second: str) -> bool:
    return bool(first and second) and first != second


def _may_be(item: Known, detection: Seen) -> bool:
    if item.state is ObjectState.LOST and not (item.label and item.label == detection.label):
        return False
    ratio = detection.region.area / item.region.area
    return not _differ(item.label, detection.label) and 1 / AREA_FACTOR <= ratio <= AREA_FACTOR
