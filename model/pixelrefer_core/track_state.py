"""Whether an object is tracked, hidden or lost, told from what a tracker believes to see of it. Pure functions.

A belief counts when its score, its area and its place fit what is known of the object; coming back takes more than
staying, and a state changes only when several frames in a row speak for it. Areas and places may be in pixels of any
scale, as long as it is the same for all frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from .settings import TrackerSettings
from .types import NANOSECONDS, MaskArray, ObjectState

# Least score, and least and largest share of the usual area, of an object that was seen on the frame before, and of
# one that was not.
STAY_SCORE, STAY_AREA = 0.4, 0.15
RETURN_SCORE, RETURN_AREA = 0.6, 0.3
LARGEST_AREA = 4.0
# An object is believed within this distance of where it was last seen, in object sizes, which grows by so many a
# second; a lost one anywhere.
REACH, REACH_SPEED = 2.0, 4.0
# What is usual follows, this fast, only frames on which at least so much of the object is seen.
SURE_SCORE, SURE_AREA = 0.5, 0.5
USUAL_DECAY = 0.9


@dataclass(frozen=True)
class Sighting:
    """What a tracker believes to see on one frame.

    ``score``: in [0, 1], 0.5 = as likely there as not; NaN is never believed. ``area``: of the mask, pixels.
    ``centre``: x and y of its middle, pixels.
    """

    score: float
    area: float
    centre: tuple[float, float]

    @classmethod
    def of(cls, mask: MaskArray, score: float) -> Sighting:
        """Measure a mask, bool (H, W)."""
        area = int(np.count_nonzero(mask))
        if area == 0:
            return NOTHING
        x, y = (float((mask.sum(axis=axis) @ np.arange(mask.shape[1 - axis])) / area) for axis in (0, 1))
        return cls(score, area, (x, y))


NOTHING = Sighting(0.0, 0.0, (0.0, 0.0))


@dataclass(frozen=True)
class Standing:
    """How an object stands after a frame.

    ``area``: its usual area. ``centre`` and ``seen_ns``: where and when it was last seen. ``streak``: how many of the
    newest frames speak against ``state``; they did not suffice to change it.
    """

    state: ObjectState
    area: float
    centre: tuple[float, float]
    seen_ns: int
    streak: int = 0

    @property
    def is_seen(self) -> bool:
        """Whether the newest frame shows the object; only then its mask may be published."""
        return self.state in (ObjectState.PENDING, ObjectState.TRACKED) and self.streak == 0

    @property
    def size(self) -> float:
        """Side of a square of the usual area, pixels."""
        return math.sqrt(max(self.area, 1.0))

    def hidden_s(self, stamp_ns: int) -> float:
        """Seconds since it was last seen."""
        return (stamp_ns - self.seen_ns) / NANOSECONDS

    def reach(self, stamp_ns: int) -> float:
        """How far from ``centre`` it may be by now, pixels; infinite when it is lost."""
        if self.state is ObjectState.LOST:
            return math.inf
        return self.size * (REACH + REACH_SPEED * self.hidden_s(stamp_ns))


def first_standing(sighting: Sighting, stamp_ns: int) -> Standing:
    """Return the standing of an object that was just prompted; what the prompt shows is usual."""
    return Standing(ObjectState.PENDING, sighting.area, sighting.centre, stamp_ns)


def is_believed(standing: Standing, sighting: Sighting, stamp_ns: int) -> bool:
    """Return whether a sighting fits the object."""
    stays = standing.is_seen
    least = (STAY_SCORE, STAY_AREA) if stays else (RETURN_SCORE, RETURN_AREA)
    distance = math.dist(sighting.centre, standing.centre)
    return (
        sighting.area > 0
        and sighting.score >= least[0]
        and least[1] * standing.area <= sighting.area <= LARGEST_AREA * standing.area
        and distance <= standing.reach(stamp_ns)
    )


def is_sure(standing: Standing, sighting: Sighting) -> bool:
    """Return whether a believed sighting shows enough of the object to learn from it."""
    return standing.is_seen and sighting.score >= SURE_SCORE and sighting.area >= SURE_AREA * standing.area


def next_standing(
    standing: Standing, sighting: Sighting, stamp_ns: int, settings: TrackerSettings
) -> Standing:
    """Return the standing after a frame that shows ``sighting`` (:data:`NOTHING` when the tracker sees nothing)."""
    believed = is_believed(standing, sighting, stamp_ns)
    was_visible = standing.state in (ObjectState.PENDING, ObjectState.TRACKED)
    streak = 0 if believed is was_visible else standing.streak + 1
    # A prompt is a sighting too: the first frame that agrees confirms it.
    visible = was_visible if streak < settings.confirm_frames else believed
    if not visible:
        hidden_s = standing.hidden_s(stamp_ns)
        state = ObjectState.LOST if hidden_s > settings.lost_after_s else ObjectState.OCCLUDED
        return replace(standing, state=state, streak=0 if was_visible else streak)
    if not believed:
        return replace(standing, streak=streak)
    seen = replace(standing, state=ObjectState.TRACKED, centre=sighting.centre, seen_ns=stamp_ns, streak=0)
    if not is_sure(standing, sighting):
        return seen
    return replace(seen, area=USUAL_DECAY * standing.area + (1 - USUAL_DECAY) * sighting.area)
