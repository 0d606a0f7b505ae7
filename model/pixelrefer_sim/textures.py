"""Pictures for surfaces, made from noise: uint8 RGB, the same for the same generator."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pixelrefer_core.types import ImageArray

Field = npt.NDArray[np.float32]


def noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int], octaves: int = 4
) -> Field:
    """Return smooth noise (rows, columns) in about [-1, 1]; ``cells`` down and across at the coarsest octave."""
    field = np.zeros(shape, np.float32)
    for octave in range(octaves):
        grid = rng.uniform(-1, 1, (cells[0] * 2**octave + 3, cells[1] * 2**octave + 3)).astype(np.float32)
        field += (
            np.asarray(cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32) / 2**octave
        )
    return field


def wood(rng: np.random.Generator, *, height: int = 1024, width: int = 1024, planks: int = 5) -> ImageArray:
    """Return planks along the width: long streaks, few rings, a dark joint between two planks."""
    rows = height // planks
    picture = []
    for _ in range(planks):
        streaks = noise(rng, (rows, width), (7, 2), octaves=2)
        drift = noise(rng, (rows, width), (2, 2), octaves=2)
        level = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
        rings = np.sin(2 * np.pi * (3 * level + 1.2 * drift + rng.uniform()))
        shade = 0.6 * streaks + 0.5 * rings + 0.7 * rng.uniform(-1, 1)
        joint = np.minimum(1.0, np.minimum(level, 1 - level) * rows / 4)[..., None] * 0.35 + 0.65
        mix = np.clip(0.5 + 0.20 * shade, 0, 1)[..., None]
        picture.append((mix * (196, 152, 104) + (1 - mix) * (146, 100, 62)) * joint)
    return _picture(np.concatenate(picture))


def mottled(
    rng: np.random.Generator, colour: tuple[int, int, int], *, size: int = 256, strength: float = 0.08
) -> ImageArray:
    """Return one colour, a little lighter and darker in places: something for the eye to hold on to."""
    shade = 1 + strength * noise(rng, (size, size), (6, 6), octaves=3)
    return _picture(shade[..., None] * np.array(colour))


def _picture(values: npt.NDArray[np.floating]) -> ImageArray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
