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
from ..masks import remove_specks
from ..settings import TrackerSettings
from ..types import NANOSECONDS, Frame, MaskArray, MaskEstimate, ObjectState, Prompt
from .appearance import Appearance, FloatMap, Place
from .flow_view import FlowView, make_view
from .motion_evidence import motion_evidence
from .optical_flow import Flow, FlowEstimator
from .prompt_mask import prompt_mask
from .search import ColourSearch

# Weights of the classifier and of motion that follows the surroundings, against the carried mask, in log odds; the sum
# is bounded so that none is ever final.
APPEARANCE_GAIN, APPEARANCE_BOUND = 1.5, 3.0
GROUND_GAIN = 5.0
LOGIT_BOUND = 4.0
# The classifier looks this far beyond the carried mask, in object sizes.
REACH = 0.3
# Shares of the usual area and of the usual margin below which an object is hidden, and below which it is followed
# but not learnt from. Coming back takes more than staying.
HIDDEN_AREA, HIDDEN_MARGIN = 0.15, 0.4
UNSURE_AREA, UNSURE_MARGIN = 0.5, 0.5
RETURN_AREA, RETURN_MARGIN = 0.3, 0.6
USUAL_DECAY = 0.9
# A hidden object is looked for within this distance of where it was last seen, in object sizes, which grows by so many
# a second; a lost one anywhere.
SEARCH_REACH, SEARCH_SPEED = 2.0, 4.0


@dataclass(eq=False)
class _Track:
    """One object. ``probability``: soft mask (h, w), None while hidden. ``place``: where it was last seen.

    ``area`` and ``margin``: what is usual for it.
    """

    appearance: Appearance
    search: ColourSearch
    probability: FloatMap | None
    place: Place
    area: float
    margin: float
    seen_ns: int
    state: ObjectState = ObjectState.PENDING
    score: float = 1.0
    mask: MaskArray = field(default_factory=lambda: np.zeros((0, 0), np.bool_))


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
        appearance, search = Appearance(), ColourSearch()
        place = Place(probability)
        appearance.learn(view.features, probability, place)
        search.learn(view.colours, probability)
        inside = np.flatnonzero(probability > 0.5)
        margin = float(appearance.score(view.features, inside, place).mean()) if len(inside) else 0.0
        area = float(probability.sum())
        return _Track(appearance, search, probability, place, area, margin, frame.stamp_ns, mask=mask)

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
        prior = trust * _logit(cv2.GaussianBlur(carried, (0, 0), 1.5))  # type: ignore[arg-type]
        # Only against the object: flow smears over smooth surroundings, which then seem to move with it.
        prior += GROUND_GAIN * np.minimum(motion_evidence(flow, carried), 0)
        probability, margin = _refine(track, view, carried, prior)
        area = float(probability.sum())
        hidden = area < max(HIDDEN_AREA * track.area, 4.0) or margin < HIDDEN_MARGIN * track.margin
        track.probability, track.score = (None, 0.0) if hidden else (probability, margin)
        if not hidden:
            self._learn(track, view, probability, area, margin)

    def _look_for(self, track: _Track, view: FlowView, free: MaskArray) -> None:
        """Look for a hidden object's colours where it may be by now; believe what its classifier confirms."""
        hidden_s = (view.frame.stamp_ns - track.seen_ns) / NANOSECONDS
        if track.state is not ObjectState.LOST:
            free = free & (track.place.distance(free.shape) < SEARCH_REACH + SEARCH_SPEED * hidden_s)
        candidate = track.search.find(view.colours, track.area, free)
        if candidate is None:
            return
        probability, margin = _refine(track, view, candidate, _logit(candidate))
        if float(probability.sum()) >= RETURN_AREA * track.area and margin >= RETURN_MARGIN * track.margin:
            track.probability, track.score = probability, margin

    def _learn(
        self, track: _Track, view: FlowView, probability: FloatMap, area: float, margin: float
    ) -> None:
        if area < UNSURE_AREA * track.area or margin < UNSURE_MARGIN * track.margin:
            return
        track.area = USUAL_DECAY * track.area + (1 - USUAL_DECAY) * area
        track.margin = USUAL_DECAY * track.margin + (1 - USUAL_DECAY) * margin
        track.appearance.learn(view.features, probability, Place(probability))

    def _settle(self, track: _Track, view: FlowView) -> None:
        """Derive state and mask at the size of the camera."""
        frame = view.frame
        if track.probability is not None:
            track.state, track.seen_ns = ObjectState.TRACKED, frame.stamp_ns
            track.place = Place(track.probability)
            full = cv2.resize(track.probability, (frame.width, frame.height), interpolation=cv2.INTER_LINEAR)
            mask = full > 0.5
            track.mask = remove_specks(mask, max(1, int(0.02 * mask.sum())))
            return
        hidden_s = (frame.stamp_ns - track.seen_ns) / NANOSECONDS
        track.state = ObjectState.LOST if hidden_s > self.settings.lost_after_s else ObjectState.OCCLUDED
        track.mask = np.zeros((frame.height, frame.width), np.bool_)


def _refine(track: _Track, view: FlowView, carried: FloatMap, prior: FloatMap) -> tuple[FloatMap, float]:
    """Return the soft mask (h, w) from a prior in log odds, and the classifier's mean margin inside it."""
    place = Place(carried)
    side = 2 * int(REACH * place.size) + 9
    near = cv2.dilate((carried > 0.3).astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    indices = np.flatnonzero(near)
    margins = np.full(carried.shape, -1.0, np.float32)
    margins.flat[indices] = track.appearance.score(view.features, indices, place)
    odds = prior + np.clip(APPEARANCE_GAIN * margins, -APPEARANCE_BOUND, APPEARANCE_BOUND)
    odds = np.clip(np.where(near, odds, -LOGIT_BOUND), -LOGIT_BOUND, LOGIT_BOUND)
    probability = np.clip(view.edges.smooth((1 / (1 + np.exp(-odds))).astype(np.float32)), 0, 1)
    probability = _without_ghosts(probability, carried)
    inside = probability > 0.5
    return probability, float(margins[inside].mean()) if inside.any() else 0.0


def _without_ghosts(probability: FloatMap, carried: FloatMap) -> FloatMap:
    """Weaken pieces that the carried mask hardly touches, and crumbs: they are what trails are made of."""
    pieces = (probability > 0.5).astype(np.uint8)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(pieces, connectivity=8)
    if count <= 2:
        return probability
    areas = statistics[:, cv2.CC_STAT_AREA]
    overlap = np.bincount(labels.ravel(), carried.ravel(), count)
    keep = (overlap > 0.3 * areas) & (areas > 0.02 * areas[1:].max())
    keep[0] = True
    return np.where(keep[labels], probability, np.minimum(probability, np.float32(0.2)))


def _free(tracks: Iterable[_Track], view: FlowView) -> MaskArray:
    """Return the pixels (h, w) that no visible object holds."""
    free = np.ones(view.grey.shape, np.bool_)
    for track in tracks:
        if track.probability is not None:
            free &= track.probability <= 0.5
    return free


def _logit(probability: FloatMap) -> FloatMap:
    clipped = np.clip(probability, 0.01, 0.99)
    return np.log(clipped / (1 - clipped))


def _estimate(track: _Track) -> MaskEstimate:
    return MaskEstimate(track.mask, float(np.clip(track.score, 0, 1)), track.state)
