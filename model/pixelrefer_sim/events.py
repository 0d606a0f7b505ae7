"""From a simulated course to the events that people would speak of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .actions import Action, Pick, Put
from .record import RATE_HZ, Event
from .simulation import Course

# Slower than this between two instants counts as rest, metres a second.
_MOVING_M_S = 0.04
# Less than this share in sight = hidden.
_HIDDEN_SHARE = 0.5
_FALL_M = -0.03


def list_events(
    course: Course,
    names: Sequence[str],
    actions: Sequence[Action],
    visible_px: Sequence[Sequence[int]],
    whole_px: Sequence[Sequence[int]],
) -> tuple[Event, ...]:
    """Return all events, in the order in which they begin."""
    staged = [a for a in actions if isinstance(a, Pick | Put)]
    events = [*_touched(course, names, staged), *_carried(staged)]
    for index, name in enumerate(names):
        moving = _moving(course, index)
        events += [Event('moving', name, *span) for span in _spans(moving)]
        seen, whole = (np.array([frame[index] for frame in counts]) for counts in (visible_px, whole_px))
        events += [
            Event('hidden', name, *span) for span in _spans((seen < _HIDDEN_SHARE * whole) & (whole > 0))
        ]
        events += [Event('out_of_view', name, *span) for span in _spans(whole == 0)]
    return tuple(sorted(events, key=lambda event: (event.start_s, event.subject, event.kind)))


def _touched(course: Course, names: Sequence[str], staged: Sequence[Pick | Put]) -> Iterator[Event]:
    carried = {action.subject for action in staged}
    for subject, start, end in course.pushes:
        if names[subject] not in carried:
            yield Event('pushed', names[subject], start, end)
    for index, time in enumerate(course.falls):
        if time is not None:
            yield Event('fell', names[index], time, time)
    for time, a, b in course.touches:
        on_the_table = all((course.falls[i] or np.inf) >= time for i in (a, b))
        if on_the_table and not {names[a], names[b]} & carried:
            for subject, other in ((a, b), (b, a)):
                yield Event('hit', names[subject], time, time, names[other])


def _carried(staged: Sequence[Pick | Put]) -> Iterator[Event]:
    for action in staged:
        if isinstance(action, Pick):
            yield Event('lifted', action.subject, action.start_s, action.end_s)
        else:
            yield Event('placed', action.subject, action.start_s, action.end_s, action.on)


def _moving(course: Course, index: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell for each instant whether the object moves from it to the next, and is still to be seen doing so."""
    places = course.poses[:, index, :3]
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1) * RATE_HZ
    moving = np.append(steps > _MOVING_M_S, False)
    return moving & (places[:, 2] > _FALL_M)


def _spans(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Iterator[tuple[float, float]]:
    """Yield (start, end) of each run of true values, seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    for start, end in edges.reshape(-1, 2):
        yield float(start) / RATE_HZ, float(end) / RATE_HZ
