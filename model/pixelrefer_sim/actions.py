"""What is staged in a clip: the rod pushes, picks up or puts down an object, a screen passes in front of one.

An action is a plan made before the clip begins. Whether a pushed object falls, hits or stops is left to
physics. Positions in metres, times in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .catalogue import CATEGORIES
from .layout import Layout, Placed, Rng
from .record import RATE_HZ, WINDOW_ENDS
from .stage import ROD_RADIUS_M

Point = npt.NDArray[np.float64]
GRAVITY = 9.81
# How a ball loses speed on this table, m/s2 (see stage.py: resistance to rolling over its radius).
_ROLLING_SLOWS = 0.3
_APPROACH_S, _STROKE_S, _RETREAT_S = 0.2, 0.35, 0.3
_LIFT_M, _CARRY_S = 0.42, 0.9
_MAXIMUM_SPEED = 1.3


@dataclass(frozen=True)
class Push:
    """The rod drives the subject along ``direction`` (unit, x y) and lets go at ``speed`` m/s."""

    subject: str
    start_s: float
    direction: tuple[float, float]
    speed: float
    aim: str

    @property
    def end_s(self) -> float:
        """When the rod lets go."""
        return self.start_s + _STROKE_S


@dataclass(frozen=True)
class Pick:
    """The rod lifts the subject up and out of the picture."""

    subject: str
    start_s: float
    end_s: float
    aim: str = 'pick'


@dataclass(frozen=True)
class Put:
    """The rod brings the subject from above and puts it down at ``place``, perhaps on the object ``on``."""

    subject: str
    start_s: float
    end_s: float
    place: tuple[float, float, float]
    on: str
    aim: str = 'put'


@dataclass(frozen=True)
class Screen:
    """A screen slides in front of the subject and, after ``end_s``, away again."""

    subject: str
    start_s: float
    end_s: float
    side: int  # where it comes from: -1 left, 1 right
    aim: str = 'screen'


Action = Push | Pick | Put | Screen
# What a clip may show, and how often. Pushes are aimed, so that something comes of them.
_AIMS = {
    'rest': 0.06, 'away': 0.12, 'edge': 0.27, 'object': 0.29, 'screen': 0.08, 'pick': 0.08, 'put': 0.05,
    'stack': 0.05,
}  # fmt: skip


def draw_actions(rng: Rng, layout: Layout) -> tuple[Action, ...]:
    """Draw what happens: nothing, one thing, or two things to two objects one after the other."""
    aims = [str(aim) for aim in rng.choice(list(_AIMS), size=2, p=list(_AIMS.values()))]
    order = [layout.objects[i] for i in rng.permutation(len(layout.objects))]
    actions: list[Action] = []
    # The first push ends a little before one of the instants at which questions are asked.
    start = rng.choice(WINDOW_ENDS[:5]) / RATE_HZ - _STROKE_S - rng.uniform(0.05, 0.3)
    for aim, placed in zip(aims[: 1 + int(rng.random() < 0.35)], order, strict=False):
        if any(isinstance(action, Screen) for action in actions) and aim == 'screen':
            continue
        action = _draw(rng, aim, placed, layout, start)
        if action is not None:
            actions.append(action)
            start = rng.uniform(0.2, 1.3)
    return tuple(actions)


def _draw(rng: Rng, aim: str, placed: Placed, layout: Layout, start: float) -> Action | None:
    name = placed.item.name
    if aim == 'rest':
        return None
    if aim == 'screen':
        hold = rng.uniform(0.8, 2.2)
        return Screen(name, start, start + hold, int(rng.choice((-1, 1))))
    if aim == 'pick':
        return Pick(name, start, start + _CARRY_S)
    if aim in ('put', 'stack'):
        return _draw_put(rng, placed, layout, start, stack=aim == 'stack')
    return _draw_push(rng, aim, placed, layout, start)


def _draw_put(rng: Rng, placed: Placed, layout: Layout, start: float, *, stack: bool) -> Put | None:
    """Put the subject where it stands in the layout, or on another object; before, it is up in the air."""
    name = placed.item.name
    if not stack:
        return Put(name, start, start + _CARRY_S, (placed.x, placed.y, 0.0), '')
    if CATEGORIES[placed.item.category].rolls:
        return None
    below = [o for o in layout.objects if _can_carry(o, placed)]
    if not below:
        return None
    base = below[int(rng.integers(len(below)))]
    return Put(name, start, start + _CARRY_S, (base.x, base.y, base.height_m), base.item.name)


def _can_carry(base: Placed, load: Placed) -> bool:
    category = CATEGORIES[base.item.category]
    return base is not load and category.flat_top and load.radius_m < 1.6 * base.radius_m


def _draw_push(rng: Rng, aim: str, placed: Placed, layout: Layout, start: float) -> Push:
    here = np.array([placed.x, placed.y])
    others = [o for o in layout.objects if o is not placed]
    if aim == 'object' and others:
        target = others[int(rng.integers(len(others)))]
        way = np.array([target.x, target.y]) - here
        distance = float(np.linalg.norm(way)) - target.radius_m - placed.radius_m
        # Some pass by: a miss looks like a hit until the last moment.
        angle = rng.normal(0, 0.1)
        reach = distance * rng.uniform(0.6, 3.0)
    else:
        angle, way = 0.0, _to_edge(rng, here, layout.table)
        distance = float(np.linalg.norm(way))
        reach = distance * (rng.uniform(0.5, 2.6) if aim == 'edge' else rng.uniform(0.25, 0.7))
    speed = min(np.sqrt(2 * _deceleration(placed, layout) * max(reach, 0.03)), _MAXIMUM_SPEED)
    direction = _turn(way / max(float(np.linalg.norm(way)), 1e-9), angle)
    return Push(placed.item.name, start, (float(direction[0]), float(direction[1])), float(speed), aim)


def _to_edge(rng: Rng, here: Point, table: Sequence[float]) -> Point:
    """Return the way to a point of an edge, one of the two nearest edges as a rule."""
    gaps = np.array([table[0] - here[0], table[0] + here[0], table[1] - here[1], table[1] + here[1]])
    edge = int(np.argsort(gaps + rng.uniform(0, 0.15, 4))[0])
    outward = np.array([(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)][edge])
    along = outward[::-1]
    return np.asarray(outward * gaps[edge] + along * rng.normal(0, 0.25) * gaps[edge])


def _deceleration(placed: Placed, layout: Layout) -> float:
    return _ROLLING_SLOWS if placed.item.category == 'ball' else layout.friction * GRAVITY


def _turn(direction: Point, angle: float) -> Point:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array(
        [cosine * direction[0] - sine * direction[1], sine * direction[0] + cosine * direction[1]]
    )


def busy(action: Action, time_s: float, horizon_s: float = 0.0) -> bool:
    """Tell whether the action interferes with objects between ``time_s`` and ``horizon_s`` later."""
    if isinstance(action, Screen):
        return False
    return action.start_s < time_s + horizon_s and time_s < action.end_s


def rod_place(action: Push | Pick | Put, placed: Placed, time_s: float, subject_top: Point) -> Point | None:
    """Return where the tip of the rod is, (3,), or None while it is away.

    ``subject_top``: where the middle of the subject's top is now. The tip of a pushing rod is beside it.
    """
    if isinstance(action, Push):
        return _pushing(action, placed, time_s)
    if isinstance(action, Pick):
        return subject_top if time_s >= action.start_s else None
    if time_s <= action.end_s:
        return subject_top
    if time_s > action.end_s + _RETREAT_S:
        return None
    top = action.place[2] + placed.height_m
    return np.array([action.place[0], action.place[1], top + 1.2 * (time_s - action.end_s)])


def _pushing(action: Push, placed: Placed, time_s: float) -> Point | None:
    since = time_s - action.start_s
    if not -_APPROACH_S <= since <= _STROKE_S + _RETREAT_S:
        return None
    stroke = np.clip(since, 0.0, _STROKE_S)
    # Speed grows evenly up to the wanted one; the rod starts at a distance that it covers in that time.
    run = 0.5 * action.speed * stroke**2 / _STROKE_S
    behind = placed.radius_m + 0.022
    away = np.array(action.direction) * (run - behind)
    # Low enough to touch with its side, not with its round end.
    height = min(max(0.4 * placed.height_m, ROD_RADIUS_M + 0.001), 0.03)
    lift = 0.8 * max(-since, since - _STROKE_S, 0.0)
    return np.array([placed.x + away[0], placed.y + away[1], height + lift])


def carried_height(action: Pick | Put, time_s: float) -> float | None:
    """Return how high above its place the rod holds the subject, metres; None while it does not hold it."""
    if isinstance(action, Pick):
        if time_s < action.start_s:
            return None
        share = min((time_s - action.start_s) / (action.end_s - action.start_s), 1.0)
        return float(_LIFT_M * share**2 * (3 - 2 * share))
    if time_s > action.end_s:
        return None
    share = np.clip((action.end_s - time_s) / (action.end_s - action.start_s), 0.0, 1.0)
    return float(_LIFT_M * share**2 * (3 - 2 * share))


def screen_place(action: Screen, subject: Point, eye: Sequence[float], time_s: float) -> Point | None:
    """Return the middle of the screen, (3,): on the line from the camera to the subject, or beside it."""
    slide_s = 0.35
    if not action.start_s - slide_s <= time_s <= action.end_s + slide_s:
        return None
    aside = max(action.start_s - time_s, time_s - action.end_s, 0.0) / slide_s
    towards = np.array(eye) - subject
    front = subject + towards * (0.13 / float(np.linalg.norm(towards)))
    leaves = action.side if time_s < action.start_s else -action.side
    return np.asarray(front + np.array([leaves * aside * 0.32, 0.0, 0.0]))
