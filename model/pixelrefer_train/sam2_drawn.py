"""Clips drawn from shapes: endless, cheap, and more varied in colour and texture than one simulator is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from .sam2_clips import Masks, Picture

WIDTH, HEIGHT = 384, 288
FRAMES = 21
# Polygons are drawn with so many fractional bits, antialiased.
SHIFT = 4

Window: TypeAlias = tuple[slice, slice]  # rows, columns


@dataclass(frozen=True)
class Drawn:
    """A shape in motion. ``outline`` (n, 2): around its middle, pixels. ``path``: x, y, and their speed a frame.

    ``turn``: radians a frame. ``light``: x and y slope of the shading, from -1 to 1. ``texture``: (H, W), about 0.
    """

    outline: npt.NDArray[np.float64]
    path: tuple[float, float, float, float]
    turn: float
    colour: npt.NDArray[np.float64]
    light: tuple[float, float]
    texture: npt.NDArray[np.float32]


class DrawnClip:
    """Implements :class:`~.sam2_clips.MaskClip`; all of it follows from the seed. Later objects cover earlier ones."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        self._background = _background(random)
        self._shapes = [_shape(random) for _ in range(int(random.integers(3, 8)))]
        self._noise = float(random.uniform(0, 8))
        self._seed = seed

    @property
    def frames(self) -> int:
        """See :meth:`MaskClip.frames`."""
        return FRAMES

    def read(self, index: int) -> tuple[Picture, Masks]:
        """See :meth:`MaskClip.read`."""
        picture = self._background.copy()
        masks = np.zeros((len(self._shapes), HEIGHT, WIDTH), np.bool_)
        for place, shape in enumerate(self._shapes):
            window, cover = _cover(shape, index)
            rows, columns = window
            masks[:place, rows, columns] &= cover < 0.5
            masks[place, rows, columns] = cover >= 0.5
            picture[window] += cover[..., None] * (_paint(shape, index, window) - picture[window])
        random = np.random.default_rng((self._seed, index))
        picture += self._noise * random.standard_normal((HEIGHT, WIDTH, 1), np.float32)
        return picture.clip(0, 255).astype(np.uint8), masks


def texture(random: np.random.Generator, strength: float) -> npt.NDArray[np.float32]:
    """Return smooth noise (HEIGHT, WIDTH) of a random grain; ``strength``: its standard deviation."""
    grain = int(random.choice([3, 6, 12, 24, 48]))
    coarse = random.standard_normal((HEIGHT // grain + 2, WIDTH // grain + 2)).astype(np.float32)
    fine = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    if random.random() < 0.3:
        fine = np.sign(fine)
    return np.asarray(strength * fine, np.float32)


def outline(random: np.random.Generator, radius: float) -> npt.NDArray[np.float64]:
    """Return the outline (n, 2) of a random shape around the origin: ellipse, box, polygon, star or blob."""
    kind, stretch = random.integers(5), random.uniform(0.45, 1)
    corners = {0: 32, 1: 4, 2: int(random.integers(3, 8)), 3: 2 * int(random.integers(4, 7)), 4: 32}[
        int(kind)
    ]
    angles = 2 * np.pi * (np.arange(corners) + 0.5) / corners
    distance = np.ones(corners)
    if kind == 3:
        distance[::2] = random.uniform(0.4, 0.7)
    if kind == 4:
        for wave in (2, 3, 5):
            distance += random.uniform(0, 0.25) * np.sin(wave * angles + random.uniform(0, 6))
    points = radius * distance[:, None] * np.column_stack([np.cos(angles), stretch * np.sin(angles)])
    return np.asarray(points @ _rotation(random.uniform(0, 2 * np.pi)).T)


def _shape(random: np.random.Generator) -> Drawn:
    speed, heading = random.choice([0.0, 2.0, 6.0]) * random.random(), random.uniform(0, 2 * np.pi)
    return Drawn(
        outline=outline(random, float(np.exp(random.uniform(np.log(10), np.log(60))))),
        path=(
            random.uniform(20, WIDTH - 20),
            random.uniform(20, HEIGHT - 20),
            speed * np.cos(heading),
            speed * np.sin(heading),
        ),
        turn=float(random.choice([0.0, 0.08]) * random.standard_normal()),
        colour=random.uniform(10, 245, 3),
        light=tuple(random.uniform(-0.4, 0.4, 2)),
        texture=texture(random, float(random.choice([0.0, 8.0, 25.0]))),
    )


def _background(random: np.random.Generator) -> npt.NDArray[np.float32]:
    corners = random.uniform(20, 235, 3) + random.choice([10.0, 50.0]) * random.standard_normal((2, 2, 3))
    smooth = cv2.resize(corners.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    smooth += texture(random, float(random.choice([2.0, 10.0, 30.0])))[..., None]
    return np.asarray(smooth, np.float32)


def _centre(shape: Drawn, index: int) -> npt.NDArray[np.float64]:
    x, y, across, down = shape.path
    return np.array([x + across * index, y + down * index])


def _cover(shape: Drawn, index: int) -> tuple[Window, npt.NDArray[np.float32]]:
    """Return the part of the picture that the shape lies in, and how much of its pixels is covered, in [0, 1]."""
    points = shape.outline @ _rotation(shape.turn * index).T + _centre(shape, index)
    # Out of the picture a strip of no width is left.
    left, top = np.clip(points.min(axis=0) - 1, 0, (WIDTH, HEIGHT)).astype(int)
    right, bottom = np.clip(points.max(axis=0) + 2, 0, (WIDTH, HEIGHT)).astype(int)
    cover = np.zeros((bottom - top, right - left), np.uint8)
    fixed = np.round((points - (left, top)) * 2**SHIFT).astype(np.int32)
    if cover.size:
        cv2.fillPoly(cover, [fixed], [255], lineType=cv2.LINE_AA, shift=SHIFT)
    share = np.asarray(cover / 255, np.float32)
    return (slice(top, bottom), slice(left, right)), share


def _paint(shape: Drawn, index: int, window: Window) -> npt.NDArray[np.float32]:
    """Return the shape's colour in a window, (h, w, 3); its texture moves with it."""
    middle, size = _centre(shape, index), np.abs(shape.outline).max()
    rows, columns = (np.arange(side.start, side.stop) for side in window)
    across, down = columns - middle[0], rows[:, None] - middle[1]
    shade = 1 + np.clip((shape.light[0] * across + shape.light[1] * down) / size, -0.5, 0.5)
    own_rows = (rows - round(middle[1]) + HEIGHT // 2) % HEIGHT
    own_columns = (columns - round(middle[0]) + WIDTH // 2) % WIDTH
    grain = shape.texture[np.ix_(own_rows, own_columns)]
    return np.asarray(shade[..., None] * shape.colour + grain[..., None], np.float32)


def _rotation(angle: float) -> npt.NDArray[np.float64]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
