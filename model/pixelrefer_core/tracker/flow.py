"""A tracker without weights: masks are carried by optical flow and corrected by what the object looks like.

It is no SAM 2: it follows what moves smoothly and differs from its surroundings, and says so when it does not. Flow is
computed once a frame; each object then costs a fixed number of passes over a small image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..errors import InvalidImageError
from ..masks import clean_mask, mask_box, resize_soft_mask
from ..settings import TrackerSettings
from ..track_state import (
    NOTHING,
    USUAL_DECAY,
    Sighting,
    Standing,
    first_standing,
    is_believed,
    is_sure,
    next_standing,
)
from ..types import Frame, MaskArray, MaskEstimate, Prompt
from .appearance import Appearance, FloatMap, Place
from .flow_view import FlowView, make_view
from .motion_evidence import motion_evidence
from .optical_flow import Flow, FlowEstimator
from .prompt_mask import prompt_mask
from .refinement import logit, refine
from .search import ColourSearch
from .view_evidence import outlined
from .views import Match, Views

# Weight of motion that follows the surroundings, against the carried mask, in log odds.
GROUND_GAIN = 5.0
# How far from the carried mask the object's pictures are looked for, in object sizes, and least likeness anywhere.
VIEW_REACH, SIMILAR = 1.0, 0.5
# Below this likeness a part of the object may be all that shows.
WHOLE_LIKENESS = 0.8
# Share of the usual area from which on an object counts as whole, and its picture is kept.
WHOLE_AREA = 0.9


@dataclass(eq=False)
class _Track:
    """One object. ``probability``: soft mask (h, w), None where the newest frame shows nothing to believe.

    ``margin``: the classifier's usual one; a score is a share of it. ``standing``: in pixels of the small image.
    """

    appearance: Appearance
    colours: ColourSearch
    views: Views
    probability: FloatMap | None
    margin: float
    standing: Standing
    score: float = 1.0
    mask: MaskArray = field(default_factory=lambda: np.zeros((0, 0), np.bool_))


@dataclass(frozen=True, eq=False)
class _Guess:
    """A soft mask (h, w) that may be the object, the classifier's mean margin in it, and the picture found there.

    ``is_search``: it was looked for, not followed from the frame before.
    """

    probability: FloatMap
    margin: float
    match: Match | None
    is_search: bool


class FlowTracker:
    """Implements :class:`~.base.Tracker`. Deterministic; its memory does not grow with time."""

    name = 'flow'

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self._estimator = FlowEstimator()
        self._view: FlowView | None = None
        self._tracks: dict[str, _Track] = {}

    def add(self, prompts: Sequence[Prompt], frames: Sequence[Frame]) -> Mapping[str, MaskEstimate]:
        """See :meth:`Tracker.add`. Raises :class:`InvalidImageError` when the size changes without a reset."""
        view = self._view_of(frames[0])
        added = {prompt.object_id: self._start(prompt, frames[0], view) for prompt in prompts}
        for frame in frames[1:]:
            following = self._view_of(frame)
            self._follow(added, view, following)
            view = following
        self._tracks |= added
        self._view = view
        return {object_id: _estimate(track) for object_id, track in added.items()}

    def segment(self, prompt: Prompt, frame: Frame) -> MaskArray:
        """See :meth:`Tracker.segment`."""
        return prompt_mask(prompt, frame.image)

    def remove(self, object_ids: Sequence[str]) -> None:
        """See :meth:`Tracker.remove`."""
        for object_id in object_ids:
            del self._tracks[object_id]

    def step(self, frame: Frame) -> Mapping[str, MaskEstimate]:
        """See :meth:`Tracker.step`. Raises :class:`InvalidImageError` when the size changes without a reset."""
        before, view = self._view, self._view_of(frame)
        if before is not None:
            self._follow(self._tracks, before, view)
        self._view = view
        return {object_id: _estimate(track) for object_id, track in self._tracks.items()}

    def reset(self) -> None:
        """See :meth:`Tracker.reset`."""
        self._tracks.clear()
        self._view = None

    def _view_of(self, frame: Frame) -> FlowView:
        newest = self._view.frame if self._view is not None else frame
        if newest.image.shape != frame.image.shape:
            raise InvalidImageError(
                f'the image changed from {newest.width} x {newest.height} '
                f'to {frame.width} x {frame.height} pixels: reset the tracker first'
            )
        return make_view(frame, self.settings.flow_height)

    def _start(self, prompt: Prompt, frame: Frame, view: FlowView) -> _Track:
        mask = prompt_mask(prompt, frame.image)
        cover = cv2.resize(mask.astype(np.float32), view.size, interpolation=cv2.INTER_AREA)
        probability = np.asarray(cover, np.float32)
        appearance, colours, views = Appearance(), ColourSearch(), Views()
        place = Place(probability)
        appearance.learn(view.features, probability, place)
        colours.learn(view.colours, probability)
        views.learn(view.colour, probability, frame.stamp_ns)
        inside = np.flatnonzero(probability > 0.5)
        margin = float(appearance.score(view.features, inside, place).mean()) if len(inside) else 0.0
        standing = first_standing(_sighting(probability, 1.0), frame.stamp_ns)
        return _Track(appearance, colours, views, probability, margin, standing, mask=mask)

    def _follow(self, tracks: Mapping[str, _Track], before: FlowView, view: FlowView) -> None:
        visible = [track for track in tracks.values() if track.probability is not None]
        hidden = [track for track in tracks.values() if track.probability is None]
        if visible:
            flow = self._estimator.between(before.grey, view.grey)
            for track in visible:
                self._carry(track, view, flow)
        # Later, so that what is still followed cannot be mistaken for a hidden object that looks like it.
        for track in hidden:
            self._look_for(track, view, _free(tracks.values(), view))
        for track in tracks.values():
            self._settle(track, view)

    def _carry(self, track: _Track, view: FlowView, flow: Flow) -> None:
        """Move the mask along the flow and correct it by the classifier."""
        assert track.probability is not None
        carried = flow.carry(track.probability)
        trust = 0.3 + 0.7 * flow.reliability
        prior = trust * logit(cv2.GaussianBlur(carried, (0, 0), 1.5))  # type: ignore[arg-type]
        # Only against the object: flow smears over smooth surroundings, which then seem to move with it.
        prior += GROUND_GAIN * np.minimum(motion_evidence(flow, carried), 0)
        match = track.views.near(view.colour, _middle(carried), VIEW_REACH * track.standing.size)
        self._believe(track, view, _guess(track, view, carried, prior, match, is_search=False))

    def _look_for(self, track: _Track, view: FlowView, free: MaskArray) -> None:
        """Look for a hidden object where it may be by now: by its pictures and by its colours."""
        rows, columns = np.ogrid[0 : free.shape[0], 0 : free.shape[1]]
        x, y = track.standing.centre
        allowed = free & (np.hypot(columns - x, rows - y) < track.standing.reach(view.frame.stamp_ns))
        guesses = []
        match = track.views.anywhere(view.colour, allowed)
        if match is not None and match.likeness > SIMILAR:
            guesses.append(_guess(track, view, match.cover, logit(match.cover), match, is_search=True))
        # Of an object that is about to appear there is less than a picture.
        place = track.colours.find(view.colours, track.standing.area, allowed)
        if place is not None:
            match = track.views.near(view.colour, _middle(place), VIEW_REACH * track.standing.size)
            guesses.append(_guess(track, view, place, logit(place), match, is_search=True))
        if guesses:
            self._believe(track, view, max(guesses, key=lambda guess: (_score(track, guess), guess.margin)))
        else:
            self._judge(track, view, NOTHING)

    def _believe(self, track: _Track, view: FlowView, guess: _Guess) -> None:
        """Keep a soft mask that fits what is known of the object, and learn from it when it is sure."""
        sighting, standing = _sighting(guess.probability, _score(track, guess)), track.standing
        believed = is_believed(standing, sighting, view.frame.stamp_ns)
        track.probability = guess.probability if believed else None
        if believed and is_sure(standing, sighting):
            _learn(track, view, guess, sighting)
        self._judge(track, view, sighting)

    def _judge(self, track: _Track, view: FlowView, sighting: Sighting) -> None:
        track.standing = next_standing(track.standing, sighting, view.frame.stamp_ns, self.settings)
        track.score = sighting.score if track.standing.is_seen else 0.0

    def _settle(self, track: _Track, view: FlowView) -> None:
        """Derive the mask at the size of the camera; one that waits to be confirmed is withheld."""
        size = view.frame.height, view.frame.width
        if track.probability is None or not track.standing.is_seen:
            track.mask = np.zeros(size, np.bool_)
            return
        track.mask = clean_mask(resize_soft_mask(track.probability, *size))


def _guess(
    track: _Track, view: FlowView, carried: FloatMap, prior: FloatMap, match: Match | None, *, is_search: bool
) -> _Guess:
    """Refine a soft mask and correct it by the picture found there, as far as the pictures of the object tell."""
    probability, margin = refine(track.appearance, view, carried, prior)
    if track.views.are_telling:
        if match is None or match.likeness < WHOLE_LIKENESS:
            match = max(match, track.views.of_part(view.colour, probability), key=_likeness_of)
        if match is not None:
            probability = outlined(probability, match, view.colour)
    return _Guess(probability, margin, match, is_search)


def _score(track: _Track, guess: _Guess) -> float:
    """Return in [0, 1] how surely a guess is the object: by its pictures, or by its colours where they do not decide.

    The classifier cannot say that: it knows the object from its surroundings, which are others after a while.
    """
    if not track.views.are_telling:
        return float(np.clip(guess.margin / track.margin, 0, 1)) if track.margin > 0 else 0.0
    return track.views.presence(guess.match, is_search=guess.is_search) if guess.match is not None else 0.0


def _likeness_of(match: Match | None) -> float:
    return match.likeness if match is not None else -1.0


def _learn(track: _Track, view: FlowView, guess: _Guess, sighting: Sighting) -> None:
    """Learn from a sighting that is sure; take a picture of the object when it is whole."""
    track.margin = USUAL_DECAY * track.margin + (1 - USUAL_DECAY) * guess.margin
    track.appearance.learn(view.features, guess.probability, Place(guess.probability))
    if guess.match is not None and not guess.match.is_part:
        track.views.confirm(guess.match)
    if sighting.area >= WHOLE_AREA * track.standing.area:
        track.views.learn(view.colour, guess.probability, view.frame.stamp_ns)


def _free(tracks: Iterable[_Track], view: FlowView) -> MaskArray:
    """Return the pixels (h, w) that no visible object holds."""
    free = np.ones(view.grey.shape, np.bool_)
    for track in tracks:
        if track.probability is not None:
            free &= track.probability <= 0.5
    return free


def _middle(probability: FloatMap) -> tuple[float, float]:
    """Return x and y of the middle of the box around a soft mask (h, w)."""
    box = mask_box(probability > 0.5) or (0, 0, probability.shape[1], probability.shape[0])
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _sighting(probability: FloatMap, score: float) -> Sighting:
    """Return what a soft mask (h, w) says of size and place. Its tail, faint but wide, says nothing."""
    sure = np.where(probability > 0.5, probability, 0)
    if not sure.any():
        return NOTHING
    place = Place(sure)
    return Sighting(score, float(sure.sum()), (place.x, place.y))


def _estimate(track: _Track) -> MaskEstimate:
    return MaskEstimate(track.mask, track.score, track.standing.state)
