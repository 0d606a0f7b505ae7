"""Draws a scene at random: which objects stand where, on which table, seen from where, in which light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .catalogue import CATEGORIES, COLOURS, SIZES, SMALL_SCALE, is_held_out
from .record import SceneObject

Rng = np.random.Generator
Exposure = Literal['train', 'heldout']

TRAIN_TEXTURES = ('wood', 'plain', 'checker', 'mottled', 'stripes')
HELD_OUT_TEXTURES = ('marble', 'dots')
# Where the lamp never stands in training; 0 = to the right, 90 = behind the table.
HELD_OUT_LIGHT_DEG = (100.0, 160.0)
_GAP_M = 0.035
_TRIES = 200


@dataclass(frozen=True)
class Placed:
    """An object, where it stands on the table (metres) and how far it is turned (radians)."""

    item: SceneObject
    x: float
    y: float
    yaw: float
    shade: tuple[float, float, float]  # its very colour, 0-1

    @property
    def radius_m(self) -> float:
        """Radius of the circle that it needs."""
        return CATEGORIES[self.item.category].radius_m * self.item.scale

    @property
    def height_m(self) -> float:
        """How high it is."""
        return CATEGORIES[self.item.category].height_m * self.item.scale


@dataclass(frozen=True)
class Layout:
    """A scene before anything happens. ``table``: half sizes. Angles in degrees, lengths in metres."""

    objects: tuple[Placed, ...]
    table: tuple[float, float]
    texture: str
    texture_seed: int
    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    fovy_deg: float
    light_azimuth_deg: float
    light_height: float
    light_level: float
    friction: float


def draw_layout(rng: Rng, exposure: Exposure, *, count: int | None = None) -> Layout:
    """Draw a scene of 3 to 6 objects.

    ``train`` leaves out what is held out; ``heldout`` has it in about half of its scenes.
    """
    table = (rng.uniform(0.33, 0.40), rng.uniform(0.23, 0.28))
    unseen = exposure == 'heldout'
    items = draw_items(rng, count or int(rng.integers(3, 7)), pairs=unseen)
    return Layout(
        objects=place(rng, items, table),
        table=table,
        texture=str(rng.choice(HELD_OUT_TEXTURES if unseen and rng.random() < 0.5 else TRAIN_TEXTURES)),
        texture_seed=int(rng.integers(2**31)),
        eye=(rng.uniform(-0.2, 0.2), rng.uniform(-0.95, -0.85), rng.uniform(0.5, 0.68)),
        target=(rng.uniform(-0.03, 0.03), rng.uniform(-0.03, 0.02), 0.0),
        fovy_deg=rng.uniform(37, 41),
        light_azimuth_deg=_light(rng, unseen),
        light_height=rng.uniform(0.9, 1.6),
        light_level=rng.uniform(0.45, 0.75),
        friction=rng.uniform(0.05, 0.07),
    )


def draw_items(rng: Rng, count: int, *, pairs: bool) -> list[SceneObject]:
    """Draw objects that a name of colour, size and category tells apart; ``pairs``: held-out ones too."""
    chosen: list[SceneObject] = []
    while len(chosen) < count:
        category, colour = str(rng.choice(list(CATEGORIES))), str(rng.choice(list(COLOURS)))
        # Half of the objects of a held-out scene would be too few of each held-out pair by chance.
        if pairs and rng.random() < 0.25:
            colour = next(name for name in COLOURS if is_held_out(category, name))
        size = str(rng.choice(SIZES))
        if (not pairs and is_held_out(category, colour)) or _is_there(chosen, category, colour):
            continue
        scale = (SMALL_SCALE if size == 'small' else 1.0) * rng.uniform(0.95, 1.05)
        chosen.append(SceneObject(f'object{len(chosen)}', category, colour, size, scale))
    return chosen


def _is_there(chosen: list[SceneObject], category: str, colour: str) -> bool:
    return any((item.category, item.colour) == (category, colour) for item in chosen)


def place(rng: Rng, items: list[SceneObject], table: tuple[float, float]) -> tuple[Placed, ...]:
    """Put objects on the table, apart from each other; one that finds no place is left out."""
    placed: list[Placed] = []
    for item in items:
        radius = CATEGORIES[item.category].radius_m * item.scale
        for _ in range(_TRIES):
            x, y = (rng.uniform(-side + radius, side - radius) for side in table)
            if all(np.hypot(x - o.x, y - o.y) > radius + o.radius_m + _GAP_M for o in placed):
                placed.append(Placed(item, x, y, rng.uniform(-np.pi, np.pi), _shade(rng, item.colour)))
                break
    return tuple(placed)


def _shade(rng: Rng, colour: str) -> tuple[float, float, float]:
    base = np.array(COLOURS[colour]) / 255
    red, green, blue = np.clip(base * rng.uniform(0.88, 1.08) + rng.normal(0, 0.015, 3), 0, 1)
    return float(red), float(green), float(blue)


def _light(rng: Rng, unseen: bool) -> float:
    low, high = HELD_OUT_LIGHT_DEG
    if unseen and rng.random() < 0.5:
        return float(rng.uniform(low, high))
    angle = rng.uniform(0, 360 - (high - low))
    return float(angle if angle < low else angle + high - low)
