"""Objects laid into a clip that go their own way: they move, vanish, leave the picture, pass behind a panel, return."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .sam2_disturb import Covers, Pictures, direction, filled, put, surface
from .sam2_drawn import outline

# What a traveller may do, and how often.
WAYS = ('stays', 'vanishes', 'leaves', 'passes')
WAY_SHARES = (0.15, 0.3, 0.3, 0.25)
LONGEST_ABSENCE = 3
# How often what vanished returns where it was, not anywhere.
NEAR_SHARE = 0.3
# Sides of a traveller, in sides of the picture; how often it is drawn, not lifted from the clip; and how often what
# is lifted keeps its colours, so that only its place tells it from the object that it was lifted from.
SMALLEST, LARGEST = 0.09, 0.4
DRAWN_SHARE, TWIN_SHARE = 0.35, 0.2

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sprite:
    """What travels. ``cover``: (h, w), how much of a pixel it has. ``paint``: its colours, (h, w, 3)."""

    cover: npt.NDArray[np.float32]
    paint: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Journey:
    """``places``: (T, 2), x and y on each frame. ``hidden``: (T,), where it is not to be seen at all.

    ``panel``: first and last corner (2, 2) of the panel that it passes behind, or none.
    """

    places: Vector
    hidden: npt.NDArray[np.bool_]
    panel: Vector | None


def add_traveller(pictures: Pictures, covers: Covers, random: np.random.Generator) -> Covers:
    """Lay an object into a clip, in place; returns the objects' covers with its own as the last.

    ``pictures``: (T, S, S, 3), 0 to 255. ``covers``: (T, N, S, S), how much of a pixel each object has.
    """
    size = pictures.shape[1]
    sprite = (
        _drawn(size, random) if random.random() < DRAWN_SHARE else _lifted(pictures[0], covers[0], random)
    )
    extent = size * float(np.exp(random.uniform(np.log(SMALLEST), np.log(LARGEST))))
    journey = plan(len(pictures), size, extent, random)
    moves = _moves(sprite, journey, extent, random)
    all_covers = np.concatenate([covers, np.zeros_like(covers[:, :1])], axis=1)
    for picture, own, move, hidden in zip(pictures, all_covers, moves, journey.hidden, strict=True):
        if not hidden:
            cover = cv2.warpAffine(sprite.cover, move, (size, size))
            # The paint is extended over its edge, so that blending at the rim mixes no black into it.
            paint = cv2.warpAffine(sprite.paint, move, (size, size), borderMode=cv2.BORDER_REPLICATE)
            put(picture, own, np.asarray(cover, np.float32), np.asarray(paint, np.float32))
            own[-1] = cover
    if journey.panel is not None:
        _put_panel(pictures, all_covers, journey.panel, random)
    return all_covers


def plan(frames: int, size: int, extent: float, random: np.random.Generator) -> Journey:
    """Choose where something of ``extent`` pixels goes in a clip; it is in the picture on the first frame."""
    way = WAYS[int(random.choice(len(WAYS), p=WAY_SHARES))]
    # Early enough to be back before the clip ends, as a rule: to find it again is the harder part.
    gone = int(random.integers(1, max(2, frames - 2)))
    back = gone + int(random.integers(1, LONGEST_ABSENCE + 1))
    start, speed = random.uniform(0.12, 0.88, 2) * size, extent * random.choice([0.1, 0.5]) * random.random()
    last = (start + speed * gone * direction(random)).clip(0.1 * size, 0.9 * size)
    near = way == 'stays' or random.random() < NEAR_SHARE
    returns, panel = last if near else random.uniform(0.1, 0.9, 2) * size, None
    if way == 'leaves':
        last, returns = _over_the_edge(start, size, random)
    elif way == 'passes':
        start, last, returns, panel = _past_a_panel(start, speed * gone, size, extent, random)
    end = np.asarray(returns + 0.3 * (size / 2 - returns) + speed * (frames - gone) * direction(random))
    # It is half out of the picture when it has half gone: between two frames.
    times = (0, gone - 0.5, back - 0.5, back + frames)
    stops = np.array([start, last, returns, end])
    numbers = np.arange(frames)
    hidden = (numbers >= gone) & (numbers < back) & (way != 'stays')
    places = np.column_stack([np.interp(numbers, times, stops[:, axis]) for axis in (0, 1)])
    return Journey(places, hidden, panel)


def _over_the_edge(start: Vector, size: int, random: np.random.Generator) -> tuple[Vector, Vector]:
    """Return where something leaves the picture, on the nearest edge as a rule, and where it comes back."""
    axis = int(random.integers(2))
    edge = float(size) if start[axis] > size / 2 else 0.0
    last = start + 0.1 * size * random.standard_normal(2)
    returns = last + 0.1 * size * random.standard_normal(2)
    last[axis] = edge
    returns[axis] = edge if random.random() < 0.6 else size - edge
    return last, returns


def _past_a_panel(
    last: Vector, way: float, size: int, extent: float, random: np.random.Generator
) -> tuple[Vector, Vector, Vector, Vector]:
    """Return where something starts, after ``way`` pixels is about to go behind a panel, comes out again, and the
    panel, which at times is as high or as wide as the picture.
    """
    axis, half = int(random.integers(2)), extent * random.uniform(0.65, 1.0, 2)
    # Towards the middle, where there is room.
    ahead = np.zeros(2)
    ahead[axis] = 1.0 if last[axis] < size / 2 else -1.0
    # Half of it is behind the panel between two frames.
    middle = last + half[axis] * ahead
    if random.random() < 0.5:
        half[1 - axis] = size
    returns = last if random.random() < 0.3 else middle + half[axis] * ahead
    return last - (0.6 * extent + way) * ahead, last, returns, np.array([middle - half, middle + half])


def _moves(sprite: Sprite, journey: Journey, extent: float, random: np.random.Generator) -> list[Vector]:
    """Return the affine map (2, 3) of each frame that brings a sprite to its place, slowly turning and growing."""
    rows, columns = sprite.cover.shape
    angle, turn = (
        random.choice([0.0, 1.0]) * random.uniform(-3, 3),
        random.choice([0.0, 8.0]) * random.normal(),
    )
    scale, growth = extent / max(rows, columns), float(np.exp(0.04 * random.normal()))
    middle = ((columns - 1) / 2, (rows - 1) / 2)
    moves = []
    for frame, place in enumerate(journey.places):
        move = cv2.getRotationMatrix2D(middle, float(np.degrees(angle) + turn * frame), scale * growth**frame)
        move[:, 2] += place - middle
        moves.append(np.asarray(move, np.float64))
    return moves


def _lifted(
    picture: npt.NDArray[np.float32], covers: npt.NDArray[np.float32], random: np.random.Generator
) -> Sprite:
    """Return a copy of one of the objects (N, S, S), in other colours as a rule."""
    cover = covers[random.integers(len(covers))]
    rows, columns = np.nonzero(cover >= 0.5)
    part = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    paint = picture[part]
    if random.random() >= TWIN_SHARE:
        gain = np.exp(0.4 * random.standard_normal(3))
        paint = (paint[..., random.permutation(3)] * gain + random.uniform(-40, 40)).clip(0, 255)
    # An edge of nothing, so that what is enlarged has no straight sides.
    padded = np.pad(paint, ((1, 1), (1, 1), (0, 0)), mode='edge')
    return Sprite(np.pad(cover[part], 1), np.ascontiguousarray(padded, np.float32))


def _drawn(size: int, random: np.random.Generator) -> Sprite:
    """Return a shape with a surface of its own."""
    shape = outline(random, 0.4 * size) + size / 2
    return Sprite(filled(shape, size), surface(size, random))


def _put_panel(pictures: Pictures, covers: Covers, panel: Vector, random: np.random.Generator) -> None:
    """Put a standing panel in front of all frames, in place."""
    size = pictures.shape[1]
    (left, top), (right, bottom) = panel
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    hidden, paint = filled(corners, size), surface(size, random)
    for picture, own in zip(pictures, covers, strict=True):
        put(picture, own, hidden, paint)
