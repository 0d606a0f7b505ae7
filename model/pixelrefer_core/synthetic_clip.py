"""A clip to measure speed with: discs that move over a textured ground. Nothing in it means anything.

The cost of an object depends on the sizes of frame and mask, not on what they show.
"""

from __future__ import annotations

import numpy as np

from .types import NANOSECONDS, Frame, ImageArray, MaskArray, ObjectView

HEIGHT, WIDTH = 480, 640
PERIOD_NS = NANOSECONDS


def synthetic_clip(frames: int, objects: int) -> list[list[ObjectView]]:
    """Return for each frame the views of its objects: 480 x 640 pixels, 1 Hz, the same each time.

    The discs have radii of 20 to 70 pixels, so that some are enlarged and some shrunk (paper, eq. 2).
    """
    random = np.random.default_rng(0)
    ground = random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    radii = random.integers(20, 71, objects)
    starts = random.uniform((80, 80), (HEIGHT - 80, WIDTH - 80), (objects, 2))
    clip = []
    for index in range(frames):
        masks = [_disc(start, int(radius), 4 * index) for start, radius in zip(starts, radii, strict=True)]
        frame = Frame(_paint(ground, masks), index * PERIOD_NS)
        clip.append([ObjectView(frame, mask) for mask in masks])
    return clip


def _disc(start: np.ndarray, radius: int, shift: int) -> MaskArray:
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    row, column = start[0], 80 + (start[1] - 80 + shift) % (WIDTH - 160)
    return np.asarray((rows - row) ** 2 + (columns - column) ** 2 <= radius**2)


def _paint(ground: ImageArray, masks: list[MaskArray]) -> ImageArray:
    image = ground.copy()
    for number, mask in enumerate(masks):
        image[mask] = image[mask] // 2 + np.uint8(37 * number % 128)
    return image
