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
from ..masks import clean_mask, resize_soft_mask
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
from .search import ColourSearch, PictureSearch

# Weights of the classifier and of motion that follows the surroundings, against the carried mask, in log odds; the sum
# is bounded so that none is ever final.
APPEARANCE_GAIN, APPEARANCE_BOUND = 1.5, 3.0
GROUND_GAIN = 5.0
LOGIT_BOUND = 4.0
# Share of the usual area from which on an object counts as whole, and its picture is kept.
WHOLE_AREA = 0.9
# The classifier looks this far beyond the carried mask, in object sizes.
REACH = 0.3


@dataclass(eq=False)
class _Track:
    """One object. ``probability``: soft mask (h, w), None where the newest frame shows nothing to believe.

    ``margin``: the classifier's usual one; a score is a share of it. ``standing``: in pixels of the small image.
    """

    appearance: Appearance
    colours: ColourSearch
    picture: PictureSearch
    probability: FloatMap | None
    margin: float
    standing: Standing
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
        appearance, colours, picture = Appearance(), ColourSearch(), PictureSearch()
        place = Place(probability)
        appearance.learn(view.features, probability, place)
        colours.learn(view.colours, probability)
        picture.learn(view.colour, probability)
        inside = np.flatnonzero(probability > 0.5)
        margin = float(appearance.score(view.features, inside, place).mean()) if len(inside) else 0.0
        standing = first_standing(_sighting(probability, 1.0), frame.stamp_ns)
        return _Track(appearance, colours, picture, probability, margin, standing, mask=mask)

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
        self._believe(track, view, probability, margin)

    def _look_for(self, track: _Track, view: FlowView, free: MaskArray) -> None:
        """Look for a hidden object where it may be by now; believe what its classifier confirms."""
        rows, columns = np.ogrid[0 : free.shape[0], 0 : free.shape[1]]
        x, y = track.standing.centre
        near = np.hypot(columns - x, rows - y) < track.standing.reach(view.frame.stamp_ns)
        found = [
            _refine(track, view, candidate, _logit(candidate))
            for candidate in (
                track.picture.find(view.colour, free & near),
                track.colours.find(view.colours, track.standing.area, free & near),
            )
            if candidate is not None
        ]
        if found:
            self._believe(track, view, *max(found, key=lambda item: item[1]))
        else:
            self._judge(track, view, NOTHING)

    def _believe(self, track: _Track, view: FlowView, probability: FloatMap, margin: float) -> None:
        """Keep a soft mask that fits what is known of the object, and learn from it when it is sure."""
        score = float(np.clip(margin / track.margin, 0, 1)) if track.margin > 0 else 0.0
        sighting, standing = _sighting(probability, score), track.standing
        believed = is_believed(standing, sighting, view.frame.stamp_ns)
        track.probability = probability if believed else None
        if believed and is_sure(standing, sighting):
            track.margin = USUAL_DECAY * track.margin + (1 - USUAL_DECAY) * margin
            track.appearance.learn(view.features, probability, Place(probability))
            if sighting.area >= WHOLE_AREA * standing.area:
                track.picture.learn(view.colour, probability)
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


def _sighting(probability: FloatMap, score: float) -> Sighting:
    """Return what a soft mask (h, w) says of size and place. Its tail, faint but wide, says nothing."""
    sure = np.where(probability > 0.5, probability, 0)
    if not sure.any():
        return NOTHING
    place = Place(sure)
    return Sighting(score, float(sure.sum()), (place.x, place.y))


def _logit(probability: FloatMap) -> FloatMap:
    clipped = np.clip(probability, 0.01, 0.99)
    return np.log(clipped / (1 - clipped))


def _estimate(track: _Track) -> MaskEstimate:
    return MaskEstimate(track.mask, track.score, track.standing.state)
