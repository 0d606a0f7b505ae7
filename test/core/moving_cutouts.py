"""Short names for composed clips: coloured cut-outs on a small textured ground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pixelrefer_core import composed_clip
from pixelrefer_core.composed_clip import ComposedClip, clouds, panning_ground

HEIGHT, WIDTH = 240, 320
RED, BLUE, GREEN, GREY = (190, 45, 40), (45, 80, 185), (40, 150, 70), (120, 120, 125)


@dataclass(frozen=True, eq=False)
class Cutout:
    """``shape``: bool (h, w). ``colour``: RGB. ``path``: frame number -> x, y of its centre; None = not there."""

    shape: np.ndarray
    colour: tuple[int, int, int]
    path: Callable[[int], tuple[float, float] | None]


def disk(radius: int) -> np.ndarray:
    offsets = np.arange(-radius, radius + 1)
    return offsets[:, None] ** 2 + offsets[None, :] ** 2 <= radius**2


def bar(width: int, height: int = HEIGHT) -> np.ndarray:
    return np.ones((height, width), bool)


def render(
    cutouts: Sequence[Cutout], count: int, *, pan: float = 0.0, rate_hz: float = composed_clip.RATE_HZ
) -> ComposedClip:
    """Draw the cut-outs, later ones in front, on a ground that moves ``pan`` pixels per frame to the left."""
    skinned = [
        composed_clip.Cutout(item.shape, clouds(1 + k, item.shape.shape, item.colour, 25.0), item.path)
        for k, item in enumerate(cutouts)
    ]
    return composed_clip.compose(panning_ground(HEIGHT, WIDTH, count, pan), skinned, count, rate_hz=rate_hz)
