"""What becomes of detections: they confirm objects, refresh weak ones, and start new ones when they keep coming."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .association import (
    Known,
    Region,
    Seen,
    affinity,
    assign,
    likely_return,
    overlap,
    without_duplicates,
)
from .settings import DetectionSettings
from .types import Detection, ObjectState, Prompt

# Detections of one image that overlap by more than this are the same thing twice.
DUPLICATE_OVERLAP = 0.7
# So many of an image are looked at, the most confident ones.
MOST_DETECTIONS = 100
# How fast earlier opinions on the class of an object fade, a detection; and how many times as much must speak for a
# new class as for the old one.
VOTE_DECAY, VOTE_MAJORITY = 0.9, 2.0


@dataclass(frozen=True)
class Decision:
    """What to do: ``refreshed``: prompts of known objects; ``started``: prompts of new ones, without ids;
    ``removed``: objects that give up their places; ``relabelled``: object id -> class; ``waiting``: detections that are
    not confirmed yet, or for which there is no room.
    """

    refreshed: tuple[Prompt, ...] = ()
    started: tuple[Prompt, ...] = ()
    removed: tuple[str, ...] = ()
    relabelled: tuple[tuple[str, str], ...] = ()
    waiting: int = 0


@dataclass(eq=False)
class _Candidate:
    """Something detected that is no object yet. ``hits``: for each image since the first, whether it was seen."""

    seen: Seen
    prompt: Prompt
    first_ns: int
    votes: dict[str, float]
    hits: list[bool]


class Detections:
    """Decides over the detections of one image after the other. Objects are told apart by their ids only."""

    def __init__(self) -> None:
        self._candidates: list[_Candidate] = []
        self._votes: dict[str, dict[str, float]] = {}
        self._stamp_ns: int | None = None

    def owns(self, object_id: str) -> bool:
        """Whether detections started this object; such objects may be relabelled and removed."""
        return object_id in self._votes

    def own(self, objects: Sequence[tuple[str, str]]) -> None:
        """Note objects, id and class, that were started as decided."""
        for object_id, label in objects:
            self._votes[object_id] = {label: 1.0}

    def disown(self, object_id: str) -> None:
        """Forget an object: it was removed, or a person has taken it over."""
        self._votes.pop(object_id, None)

    def clear(self) -> None:
        """Forget everything."""
        self._candidates.clear()
        self._votes.clear()
        self._stamp_ns = None

    def decide(
        self,
        detections: Sequence[Detection],
        known: Sequence[Known],
        stamp_ns: int,
        settings: DetectionSettings,
        *,
        room: int,
    ) -> Decision:
        """Decide over all detections of the image of ``stamp_ns``; an image may come several times.

        The prompts of ``detections`` have been checked. ``known``: all objects. ``room``: for so many more.
        """
        prompts, seen = self._read(detections)
        visible = [item for item in known if item.is_visible]
        values = affinity(visible, seen)
        pairs = assign(values, settings.match_overlap)
        refreshed = [
            replace(prompts[column], object_id=visible[row].object_id, label=visible[row].label)
            for row, column in pairs
            if _is_weak(visible[row], seen[column], settings)
        ]
        relabelled = [change for row, column in pairs for change in self._vote(visible[row], seen[column])]
        # What fits an object that another detection fits better is that object, seen twice.
        rest = [k for k in range(len(seen)) if not (values[:, k] >= settings.match_overlap).any()]
        self._follow([(seen[k], prompts[k]) for k in rest], stamp_ns, settings)
        hidden = [item for item in known if not item.is_visible]
        returned = self._returned(hidden, stamp_ns, settings)
        started, removed = self._births(known, settings, room)
        return Decision(
            refreshed=(*refreshed, *returned),
            started=started,
            removed=removed,
            relabelled=tuple(relabelled),
            waiting=len(self._candidates),
        )

    def _read(self, detections: Sequence[Detection]) -> tuple[list[Prompt], list[Seen]]:
        best = sorted(detections, key=lambda item: -item.score)[:MOST_DETECTIONS]
        seen = [Seen(_region(item.prompt), item.prompt.label, item.score) for item in best]
        kept = without_duplicates(seen, DUPLICATE_OVERLAP)
        return [best[k].prompt for k in kept], [seen[k] for k in kept]

    def _vote(self, item: Known, detection: Seen) -> list[tuple[str, str]]:
        """Count an opinion on the class of an object; returns the change, if it makes one."""
        votes = self._votes.get(item.object_id)
        if votes is None or not detection.label:
            return []
        for label in votes:
            votes[label] *= VOTE_DECAY
        votes[detection.label] = votes.get(detection.label, 0.0) + detection.score
        label = max(votes, key=votes.__getitem__)
        wins = votes[label] > VOTE_MAJORITY * votes.get(item.label, 0.0)
        return [(item.object_id, label)] if wins and label != item.label else []

    def _follow(
        self, rest: Sequence[tuple[Seen, Prompt]], stamp_ns: int, settings: DetectionSettings
    ) -> None:
        """Find each of the rest among the candidates, or make it one; drop those that come too rarely."""
        if stamp_ns != self._stamp_ns:
            for candidate in self._candidates:
                candidate.hits.append(False)
        self._stamp_ns = stamp_ns
        values = affinity(
            [Known('', item.seen.region, True, 0, item.seen.label) for item in self._candidates],
            [seen for seen, _ in rest],
        )
        pairs = {column: row for row, column in assign(values, settings.match_overlap)}
        for column, (seen, prompt) in enumerate(rest):
            if column in pairs:
                candidate = self._candidates[pairs[column]]
                candidate.seen, candidate.prompt, candidate.hits[-1] = seen, prompt, True
                candidate.votes[seen.label] = candidate.votes.get(seen.label, 0.0) + seen.score
            elif (
                seen.score >= settings.start_score and not (values[:, column] >= settings.match_overlap).any()
            ):
                votes = {seen.label: seen.score}
                self._candidates.append(_Candidate(seen, prompt, stamp_ns, votes, [True]))
        window, misses = settings.confirm_of, settings.confirm_of - settings.confirm_hits
        for candidate in self._candidates:
            del candidate.hits[:-window]
        self._candidates = [item for item in self._candidates if item.hits.count(False) <= misses]

    def _confirmed(self, settings: DetectionSettings) -> list[_Candidate]:
        # Seen on the newest image too: its prompt belongs to that one.
        hits = min(settings.confirm_hits, settings.confirm_of)
        return [item for item in self._candidates if item.hits[-1] and sum(item.hits) >= hits]

    def _returned(self, hidden: Sequence[Known], stamp_ns: int, settings: DetectionSettings) -> list[Prompt]:
        """Give hidden objects back what is likely their return; the ids stay."""
        confirmed = self._confirmed(settings)
        values = likely_return(hidden, [_voted(item) for item in confirmed], stamp_ns)
        for row, item in enumerate(hidden):
            # What was in view together with the object is another one.
            values[row, [candidate.first_ns <= item.last_seen_ns for candidate in confirmed]] = 0.0
        prompts = []
        for row, column in assign(values, 0.0):
            item, candidate = hidden[row], confirmed[column]
            prompts.append(replace(candidate.prompt, object_id=item.object_id, label=item.label))
            self._candidates.remove(candidate)
        return prompts

    def _births(
        self, known: Sequence[Known], settings: DetectionSettings, room: int
    ) -> tuple[tuple[Prompt, ...], tuple[str, ...]]:
        """Start confirmed candidates while there is room; lost objects of detections make it, oldest first."""
        confirmed = self._confirmed(settings)
        lost = [item for item in known if item.state is ObjectState.LOST and self.owns(item.object_id)]
        lost.sort(key=lambda item: item.last_seen_ns)
        chosen = confirmed[: room + len(lost)]
        for candidate in chosen:
            self._candidates.remove(candidate)
        started = tuple(replace(item.prompt, object_id='', label=_voted(item).label) for item in chosen)
        return started, tuple(item.object_id for item in lost[: max(0, len(chosen) - room)])


def _is_weak(item: Known, detection: Seen, settings: DetectionSettings) -> bool:
    """Whether an object needs a new prompt: hidden, doubtful, or drifting away from what the detector sees."""
    if item.state is ObjectState.PENDING:
        return False
    return (
        item.state is not ObjectState.TRACKED
        or item.score < settings.refresh_below
        or overlap(item.region, detection.region) < settings.refresh_below
    )


def _voted(candidate: _Candidate) -> Seen:
    return replace(candidate.seen, label=max(candidate.votes, key=candidate.votes.__getitem__))


def _region(prompt: Prompt) -> Region:
    if prompt.mask is not None:
        region = Region.of(prompt.mask)
        assert region is not None  # the prompt was checked
        return region
    assert prompt.box_xyxy is not None
    return Region(prompt.box_xyxy)
