"""Pictures of one object, and how surely one of them can be seen at a place.

A picture is compared by normalised correlation along the object's mask. What a correlation means differs from object
to object: a mug keeps its picture from second to second, a running dog does not. So each object learns how like its
pictures it usually is, and how like them the best other place is; only where the two are far apart, likeness decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..masks import mask_box
from ..types import NANOSECONDS, MaskArray
from .appearance import FloatMap

# The newer picture is replaced at this interval, seconds: by pieces as small as one frame an occluder would slip in.
RENEW_S = 0.4
# Sizes at which a hidden object is looked for, in sizes of its pictures.
SCALES = (1.0, 0.8, 1.25)
# Places nearer to the best one than this, in object sizes, are the same place.
SAME_PLACE = 0.4
# Likeness that some place in a textured picture always reaches.
CHANCE = 0.4
# Usual likeness, less twice its usual deviation, must be so far above that of other places for it to decide anything.
DISTINCT = 0.2
# So much more than the next best place is enough for one that is looked for, however good both are.
LEAST_GAP = 0.05
USUAL_DECAY = 0.85
# Assumed until frames have shown how an object changes.
FIRST_DEVIATION = 0.2
# Share of the object that must show for its likeness to be told.
LEAST_PART = 0.25
# The newer picture must be so much more like a place to be preferred: it inherits the faults of the masks since.
FAVOUR = 0.1
_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class View:
    """``picture``: (h, w, 3). ``cover``: soft mask (h, w) of the object on it."""

    picture: FloatMap
    cover: FloatMap

    @property
    def area(self) -> int:
        """Of the object, pixels."""
        return int(np.count_nonzero(self.cover > 0.5))

    def scaled(self, scale: float) -> View:
        """Return it resized."""
        if scale == 1.0:
            return self
        size = tuple(max(2, round(side * scale)) for side in self.cover.shape[::-1])
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        picture, cover = (cv2.resize(field, size, interpolation=how) for field in (self.picture, self.cover))
        return View(np.asarray(picture, np.float32), np.asarray(cover, np.float32))


@dataclass(frozen=True, eq=False)
class Match:
    """The place most like a picture. ``likeness`` there and ``rest``, the best elsewhere: correlations in [-1, 1].

    ``cover``: soft mask (h, w), and ``picture``: (h, w, 3), of the object laid there. ``is_part``: found by
    the part that shows, not by all of it.
    """

    likeness: float
    rest: float
    cover: FloatMap
    picture: FloatMap
    is_part: bool = False


class Views:
    """Pictures of one object, cut out along its mask: as it was prompted, and as it was last seen whole."""

    def __init__(self) -> None:
        self._views: list[View] = []
        self._taken_ns = 0
        self._usual: float | None = None
        self._deviation = 0.0
        self._rest = CHANCE

    def learn(self, colour: FloatMap, probability: FloatMap, stamp_ns: int) -> None:
        """Take a picture of the object on an image (h, w, 3), unless the newest one is still new."""
        if len(self._views) > 1 and stamp_ns - self._taken_ns < RENEW_S * NANOSECONDS:
            return
        rows, columns = (np.flatnonzero((probability > 0.5).any(axis=axis)) for axis in (1, 0))
        if len(rows) < 2 or len(columns) < 2:
            return
        box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        self._views = [*self._views[:1], View(colour[box].copy(), probability[box].copy())]
        self._taken_ns = stamp_ns

    def confirm(self, match: Match) -> None:
        """Learn from a sighting that is believed how like its pictures the object usually is."""
        if self._usual is None:
            self._usual, self._deviation = match.likeness, FIRST_DEVIATION
        fresh = 1 - USUAL_DECAY
        self._deviation += fresh * (abs(match.likeness - self._usual) - self._deviation)
        self._usual += fresh * (match.likeness - self._usual)
        self._rest += fresh * (max(match.rest, CHANCE) - self._rest)

    @property
    def are_telling(self) -> bool:
        """Whether pictures of this object decide; not when it is too smooth, or changes its looks too fast."""
        return self._usual is not None and self._firm - self._rest >= DISTINCT

    def presence(self, match: Match, *, is_search: bool) -> float:
        """Return where a likeness lies between that of other places, 0, and the object's own, 1; clipped.

        ``is_search``: the place is known by its likeness alone, which must stand out from the next best one's.
        """
        rest = max(self._rest, match.rest) if is_search else self._rest
        return float(np.clip((match.likeness - rest) / max(self._firm - rest, LEAST_GAP), 0, 1))

    @property
    def _firm(self) -> float:
        return (self._usual or 0.0) - 2 * self._deviation

    def near(self, colour: FloatMap, centre: tuple[float, float], radius: float) -> Match | None:
        """Return the best place whose middle is within ``radius`` pixels of ``centre`` (x, y), or None.

        Up to half of the object may be outside the picture.
        """
        return _chosen([_near(view, colour, centre, radius) for view in self._views])

    def of_part(self, colour: FloatMap, probability: FloatMap) -> Match | None:
        """Return where the object is if a soft mask (h, w) shows a part of it, or None when that is too small.

        The whole of an object that is half hidden is unlike its picture; the half that shows is not.
        """
        return _chosen([_of_part(view, colour, probability) for view in self._views])

    def anywhere(self, colour: FloatMap, allowed: MaskArray) -> Match | None:
        """Return the best place, at any of the scales, whose middle is ``allowed`` (h, w), or None."""
        return _chosen([_anywhere(view, colour, allowed) for view in self._views])


def _chosen(matches: Sequence[Match | None]) -> Match | None:
    """Return the match of the prompted picture, or of the newer one where that is clearly better, or None."""
    best: Match | None = None
    for match in matches:
        if match is not None and (best is None or match.likeness > best.likeness + FAVOUR):
            best = match
    return best


def _near(view: View, colour: FloatMap, centre: tuple[float, float], radius: float) -> Match | None:
    height, width = view.cover.shape
    below, beside = height // 2, width // 2
    # Outside there is nothing; pixels of the rim are as good a guess as any.
    padded = cv2.copyMakeBorder(colour, below, below, beside, beside, cv2.BORDER_REPLICATE)
    top, left = max(0, int(centre[1] - radius)), max(0, int(centre[0] - radius))
    window = padded[top : int(centre[1] + radius) + height + 1, left : int(centre[0] + radius) + width + 1]
    likeness = _likeness(np.asarray(window, np.float32), view)
    return None if likeness is None else _best(likeness, view, colour, (top - below, left - beside))


def _of_part(view: View, colour: FloatMap, probability: FloatMap) -> Match | None:
    left, top, right, bottom = mask_box(probability > 0.5) or (0, 0, 1, 1)
    part = View(colour[top:bottom, left:right], probability[top:bottom, left:right])
    if not LEAST_PART * view.area <= part.area <= view.area:
        return None
    below, beside = (side // 2 for side in part.cover.shape)
    padded = cv2.copyMakeBorder(view.picture, below, below, beside, beside, cv2.BORDER_REPLICATE)
    likeness = _likeness(np.asarray(padded, np.float32), part)
    if likeness is None:
        return None
    _, best, _, (column, row) = cv2.minMaxLoc(likeness)
    corner = top - (row - below), left - (column - beside)
    return Match(best, -1.0, *_laid(view, colour, corner), is_part=True)


def _anywhere(view: View, colour: FloatMap, allowed: MaskArray) -> Match | None:
    found = []
    for resized in (view.scaled(scale) for scale in SCALES):
        likeness = _likeness(colour, resized)
        if likeness is not None:
            rows, columns = resized.cover.shape
            middles = allowed[rows // 2 :, columns // 2 :][: likeness.shape[0], : likeness.shape[1]]
            found.append(_best(np.where(middles, likeness, -1).astype(np.float32), resized, colour, (0, 0)))
    return max(
        (match for match in found if match is not None), key=lambda match: match.likeness, default=None
    )


def _likeness(colour: FloatMap, view: View) -> FloatMap | None:
    """Return the correlation at each place (of the upper left corner), -1 where there is no contrast."""
    if view.cover.shape[0] > colour.shape[0] or view.cover.shape[1] > colour.shape[1]:
        return None
    mask = np.dstack([(view.cover > 0.5).astype(np.float32)] * 3)
    likeness = cv2.matchTemplate(colour, view.picture, cv2.TM_CCOEFF_NORMED, mask=mask)
    # A place without any contrast has no correlation: NaN, infinite or huge. Rounding may exceed 1 a little.
    return np.where(np.abs(likeness) <= 1 + _ROUNDING, likeness, -1).astype(np.float32)


def _best(likeness: FloatMap, view: View, colour: FloatMap, corner: tuple[int, int]) -> Match | None:
    """Return the best place of a map of likeness whose corner is at (row, column) of the image, or None."""
    _, best, _, (column, row) = cv2.minMaxLoc(likeness)
    if best <= -1:
        return None
    rows, columns = np.ogrid[0 : likeness.shape[0], 0 : likeness.shape[1]]
    size = float(np.sqrt(view.area))
    elsewhere = likeness[np.hypot(rows - row, columns - column) > SAME_PLACE * size]
    rest = float(elsewhere.max()) if elsewhere.size else -1.0
    cover, picture = _laid(view, colour, (row + corner[0], column + corner[1]))
    return Match(best, rest, cover, picture)


def _laid(view: View, colour: FloatMap, corner: tuple[int, int]) -> tuple[FloatMap, FloatMap]:
    """Return cover (h, w) and picture (h, w, 3) of a view with its corner at (row, column), cut at the rim."""
    cover, picture = np.zeros(colour.shape[:2], np.float32), np.zeros_like(colour)
    (top, left), (rows, columns) = corner, view.cover.shape
    target = slice(max(0, top), max(0, top + rows)), slice(max(0, left), max(0, left + columns))
    height, width = cover[target].shape
    source = slice(max(0, -top), max(0, -top) + height), slice(max(0, -left), max(0, -left) + width)
    cover[target], picture[target] = view.cover[source], view.picture[source]
    return cover, picture
