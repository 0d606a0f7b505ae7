"""What an object does in a window: how it moves at its start and at its end, and what it did in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..catalogue import CATEGORIES
from .view import Array, View

Pace = Literal['moving', 'resting', '']
Direction = Literal['left', 'right', 'towards', 'away', '']
Cause = Literal['pushed', 'hit', 'lifted', '']

# Over the whole window: it moved, it did not.
MOVED_M, UNMOVED_M = 0.02, 0.004
# Over 0.2 s, from one frame to the next: 6 cm/s is motion that two frames show, 1 cm/s is rest.
PACE_INSTANTS = 2
MOVING_M, RESTING_M = 0.012, 0.002
# A direction is that of the last (or first) 0.4 s; left and right, or towards and away, when the motion in the
# picture along this axis is so many times that along the other, and so many pixels at least.
DIRECTION_INSTANTS = 4
DIRECTION_RATIO, DIRECTION_PX = 1.7, 5.0
# It leans less: upright; more: it has fallen over. Degrees.
UPRIGHT_DEG, TIPPED_DEG = 10.0, 50.0
# What sets an object in motion does so within this time of its start.
_CAUSE_S = 0.25


@dataclass(frozen=True)
class Movement:
    """Empty or None: not clear, or it does not apply.

    ``start``, ``end``: its pace then, with the ``first`` and ``last`` direction where it moves. ``moved``: in the
    whole window. ``paused``: it came to rest in between. ``rolls``: it is of a kind that rolls. ``tipped``: it
    fell over. ``fell``: off the table. ``carried``: the rod had it. ``lifted``: the rod has it at the end.
    ``cause``: of a motion that began in the window; ``mover``: the object that was it.
    """

    start: Pace
    end: Pace
    first: Direction
    last: Direction
    moved: bool | None
    paused: bool
    rolls: bool
    tipped: bool | None
    fell: bool
    carried: bool
    lifted: bool
    cause: Cause
    mover: str


def movement_of(view: View, name: str) -> Movement:
    """Return what the object does in the view's frames."""
    path, pixels = view.path(name), view.pixels(name)
    steps = np.linalg.norm(path[PACE_INSTANTS:] - path[:-PACE_INSTANTS], axis=1)
    cause, mover = cause_of(view, name)
    carried = [
        e
        for e in (*view.events('lifted', name), *view.events('placed', name))
        if _in(view, e.start_s, e.end_s)
    ]
    return Movement(
        start=_pace(steps[0]),
        end=_pace(steps[-1]),
        first=_direction(pixels[: DIRECTION_INSTANTS + 1]),
        last=_direction(pixels[-DIRECTION_INSTANTS - 1 :]),
        moved=_moved(path),
        paused=bool((steps < MOVING_M).any()),
        rolls=CATEGORIES[view.item(name).category].rolls,
        tipped=_tipped(view, name),
        fell=any(_in(view, e.start_s, e.start_s) for e in view.events('fell', name)),
        carried=bool(carried),
        lifted=any(e.kind == 'lifted' and e.start_s + 0.2 <= view.end_s <= e.end_s + 0.05 for e in carried),
        cause=cause,
        mover=mover,
    )


def cause_of(view: View, name: str) -> tuple[Cause, str]:
    """Return what set an object in motion that was at rest when the window began, and by which object.

    ``pushed`` and ``lifted`` are the rod's work. Empty when nothing did, or when it is not clear.
    """
    starts = [e.start_s for e in view.events('moving', name) if view.start_s < e.start_s < view.end_s]
    if len(starts) != 1 or _moves_at(view, name, view.start_s):
        return '', ''
    start = starts[0]
    work: tuple[Literal['pushed', 'lifted'], ...] = ('pushed', 'lifted')
    rod = [kind for kind in work for e in view.events(kind, name) if e.start_s - 0.1 <= start <= e.end_s]
    hits = [
        other
        for time, other in meetings(view, name)
        if abs(start - time) <= _CAUSE_S and _moves_at(view, other, time - 0.1)
    ]
    if len(rod) + len(hits) != 1:
        return '', ''
    return (rod[0], '') if rod else ('hit', hits[0])


def meetings(view: View, name: str) -> list[tuple[float, str]]:
    """Return when the object first touched others, seconds, and which, in the order of time."""
    return [(event.start_s, event.other) for event in view.events('hit', name)]


def _moves_at(view: View, name: str, time_s: float) -> bool:
    return any(e.start_s <= time_s <= e.end_s for e in view.events('moving', name))


def _in(view: View, start_s: float, end_s: float) -> bool:
    return start_s <= view.end_s and end_s >= view.start_s


def _pace(step_m: float) -> Pace:
    if step_m >= MOVING_M:
        return 'moving'
    return 'resting' if step_m <= RESTING_M else ''


def _moved(path: Array) -> bool | None:
    farthest = float(np.linalg.norm(path - path[0], axis=1).max())
    if farthest > MOVED_M:
        return True
    return False if farthest < UNMOVED_M else None


def _direction(pixels: Array) -> Direction:
    right, down = pixels[-1] - pixels[0]
    if max(abs(right), abs(down)) < DIRECTION_PX:
        return ''
    if abs(right) > DIRECTION_RATIO * abs(down):
        return 'left' if right < 0 else 'right'
    if abs(down) > DIRECTION_RATIO * abs(right):
        return 'away' if down < 0 else 'towards'
    return ''


def _tipped(view: View, name: str) -> bool | None:
    if CATEGORIES[view.item(name).category].rolls:
        return None
    tilts = view.tilts(name)
    if tilts.max() < UPRIGHT_DEG:
        return False
    return True if tilts[0] < UPRIGHT_DEG and tilts[-1] > TIPPED_DEG else None
