"""Runs a scene: steps physics, moves the props, notes who touches whom, and tries out the future."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .actions import Action, Pick, Put, Screen, busy, carried_height, rod_place, screen_place
from .layout import Layout
from .record import FUTURE_S, INSTANTS, RATE_HZ, Outcome, Window
from .stage import PARKED_M, RODS, TIMESTEP_S

_STEPS = round(1 / (RATE_HZ * TIMESTEP_S))
_SETTLE_STEPS = 60
# How an outcome is tried: with so much of the speed that objects have.
_SPEEDS = (1.0, 0.88, 1.12)
_FALL_M = -0.03
# The rod never goes so far in one step.
_LEAP_M = 0.05
_STILL_M_S = 0.02
Poses = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """What happened. ``poses`` (instants, n, 7); ``touches``: (time, a, b), a touch that was not there before;
    ``pushes``: (subject, start, end) as felt; ``falls``: time when each object fell, or None.
    """

    poses: Poses
    touches: tuple[tuple[float, int, int], ...]
    pushes: tuple[tuple[int, float, float], ...]
    falls: tuple[float | None, ...]


class Simulation:
    """One scene in motion. ``model`` from :func:`stage.build_model`."""

    def __init__(self, model: Any, layout: Layout, actions: tuple[Action, ...]) -> None:
        import mujoco

        self._mujoco = mujoco
        self.model, self.data = model, mujoco.MjData(model)
        self._layout, self._actions = layout, actions
        self._names = [placed.item.name for placed in layout.objects]
        self._bodies = [model.body(name).id for name in self._names]
        self._joints = [int(model.body_jntadr[body]) for body in self._bodies]
        self._of_geom = {g: i for i, b in enumerate(self._bodies) for g in _geoms(model, b)}
        self._rods = [model.joint(f'rod{number}x').id for number in range(RODS)]
        self._rod_geoms = {g for n in range(RODS) for g in _geoms(model, model.body(f'rod{n}').id)}
        self._screen = model.body('screen').mocapid[0]
        self._time = -1.0  # before any action
        self._move_props()
        self._time = 0.0
        for _ in range(_SETTLE_STEPS):
            mujoco.mj_step(model, self.data)
        self._hold()
        mujoco.mj_forward(model, self.data)

    def poses(self) -> Poses:
        """Return the centre of mass and the quaternion of every object, (n, 7)."""
        return np.concatenate([self.data.xipos[self._bodies], self.data.xquat[self._bodies]], axis=1)

    def advance(self) -> Iterator[tuple[float, set[tuple[int, int]], set[int]]]:
        """Step to the next instant; yields (time, pairs of objects in touch, objects that a rod touches)."""
        for _ in range(_STEPS):
            self._time += TIMESTEP_S
            self._move_props()
            self._mujoco.mj_step(self.model, self.data)
            self._hold()
            yield (self._time, *self._contacts())
        self._mujoco.mj_forward(self.model, self.data)

    def _contacts(self) -> tuple[set[tuple[int, int]], set[int]]:
        pairs, rods = set(), set()
        for first, second in self.data.contact.geom[: self.data.ncon].tolist():
            a, b = self._of_geom.get(first), self._of_geom.get(second)
            if a is not None and b is not None:
                pairs.add((min(a, b), max(a, b)))
            elif first in self._rod_geoms and b is not None:
                rods.add(b)
            elif second in self._rod_geoms and a is not None:
                rods.add(a)
        return pairs, rods

    def _move_props(self) -> None:
        parked = np.array(PARKED_M)
        rods, screen = iter(self._rods), parked
        for action in self._actions:
            index = self._names.index(action.subject)
            placed = self._layout.objects[index]
            if isinstance(action, Screen):
                middle = self.data.xipos[self._bodies[index]]
                place = screen_place(action, middle, self._layout.eye, self._time)
                screen = parked if place is None else place
                continue
            top = self.data.xpos[self._bodies[index]] + np.array([0.0, 0.0, placed.height_m])
            place = rod_place(action, placed, self._time, top)
            self._drive(next(rods), place)
        for rod in rods:
            self._drive(rod, None)
        self.data.mocap_pos[self._screen] = screen

    def _drive(self, rod: int, place: npt.NDArray[np.float64] | None) -> None:
        """Give a rod the speed that takes it to ``place`` within this step; None = away."""
        start, speed = (
            slice(int(adr[rod]), int(adr[rod]) + 3) for adr in (self.model.jnt_qposadr, self.model.jnt_dofadr)
        )
        target = np.zeros(3) if place is None else place - PARKED_M  # joints count from there
        way = target - self.data.qpos[start]
        if np.linalg.norm(way) > _LEAP_M:
            # It comes or goes, out of sight.
            self.data.qpos[start] += way
            way = np.zeros(3)
        self.data.qvel[speed] = way / TIMESTEP_S

    def _hold(self) -> None:
        """Keep what a rod carries where the rod has it."""
        for action in self._actions:
            if not isinstance(action, Pick | Put):
                continue
            index = self._names.index(action.subject)
            height = carried_height(action, self._time)
            if height is None:
                continue
            placed = self._layout.objects[index]
            x, y, z = action.place if isinstance(action, Put) else (placed.x, placed.y, 0.0)
            joint = self._joints[index]
            start, speed = self.model.jnt_qposadr[joint], self.model.jnt_dofadr[joint]
            self.data.qpos[start : start + 3] = (x, y, z + height + 0.001)
            self.data.qvel[speed : speed + 6] = 0.0

    # --- the future ---

    def window(self, end: int) -> Window:
        """Try out what comes after now, the instant ``end``, and return as if nothing had been tried."""
        open_ = any(busy(action, self._time, FUTURE_S) for action in self._actions)
        if open_:
            return Window(end, True, ())
        kept, time = self._state(), self._time
        tried = []
        for speed in _SPEEDS:
            self._restore(kept, time)
            self.data.qvel[:] *= speed
            tried.append(self._outcomes())
        self._restore(kept, time)
        clear = [len(set(of_one)) == 1 for of_one in zip(*tried, strict=True)]
        down = self._down()
        outcomes = tuple(
            Outcome(name, *tried[0][index], clear=clear[index])
            for index, name in enumerate(self._names)
            if not down[index]
        )
        return Window(end, False, outcomes)

    def _down(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.data.xipos[self._bodies, 2] < _FALL_M)

    def _outcomes(self) -> list[tuple[Any, str, bool, bool]]:
        """Run on for ``FUTURE_S``; for each object (first, other, falls, hits)."""
        down = self._down()
        moved = self._speeds() > _STILL_M_S
        first: dict[int, tuple[str, str]] = {}
        falls, hits = set[int](), set[int]()
        before = self._contacts()[0]
        for _ in range(round(FUTURE_S * RATE_HZ)):
            for _, pairs, _ in self.advance():
                for a, b in pairs - before:
                    for one, other in ((a, b), (b, a)):
                        hits.add(one)
                        first.setdefault(one, ('hits', self._names[other]))
                before |= pairs
                for one in np.flatnonzero(self._down() & ~down).tolist():
                    falls.add(one)
                    first.setdefault(one, ('falls', ''))
        moving = self._speeds() > _STILL_M_S
        result: list[tuple[Any, str, bool, bool]] = []
        for one in range(len(self._names)):
            rest = ('moves' if moving[one] else 'stops') if moved[one] else 'stays'
            kind, partner = first.get(one, (rest, ''))
            result.append((kind, partner, one in falls, one in hits))
        return result

    def _speeds(self) -> npt.NDArray[np.float64]:
        starts = [int(self.model.jnt_dofadr[joint]) for joint in self._joints]
        return np.array([np.linalg.norm(self.data.qvel[start : start + 3]) for start in starts])

    def _state(self) -> npt.NDArray[np.float64]:
        kind = self._mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(self._mujoco.mj_stateSize(self.model, kind))
        self._mujoco.mj_getState(self.model, self.data, state, kind)
        return state

    def _restore(self, state: npt.NDArray[np.float64], time: float) -> None:
        self._mujoco.mj_setState(self.model, self.data, state, self._mujoco.mjtState.mjSTATE_INTEGRATION)
        self._time = time
        self._mujoco.mj_forward(self.model, self.data)


def run(simulation: Simulation, at: Callable[[int], None]) -> Course:
    """Run a clip and its future; ``at`` is called at every instant, before time goes on."""
    poses, touches, felt = [], [], dict[int, list[float]]()
    count = len(simulation.poses())
    falls: list[float | None] = [None] * count
    before = set[tuple[int, int]]()
    for instant in range(INSTANTS):
        poses.append(simulation.poses())
        at(instant)
        for time, pairs, rods in simulation.advance():
            touches += [(time, a, b) for a, b in sorted(pairs - before)]
            before |= pairs
            for subject in rods:
                felt.setdefault(subject, []).append(time)
            for one in np.flatnonzero(simulation.poses()[:, 2] < _FALL_M):
                falls[one] = falls[one] or time
    pushes = tuple(itertools.chain.from_iterable(_spans(who, times) for who, times in felt.items()))
    return Course(np.array(poses), tuple(touches), pushes, tuple(falls))


def _spans(subject: int, times: list[float]) -> list[tuple[int, float, float]]:
    """Join moments of touch that lie close together."""
    spans = [[times[0], times[0]]]
    for time in times[1:]:
        if time - spans[-1][1] > 0.15:
            spans.append([time, time])
        spans[-1][1] = time
    return [(subject, start, end) for start, end in spans]


def _geoms(model: Any, body: int) -> range:
    start = int(model.body_geomadr[body])
    return range(start, start + int(model.body_geomnum[body]))
