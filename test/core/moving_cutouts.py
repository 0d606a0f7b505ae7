"""Clips whose masks are known exactly: textured cut-outs moved over a textured ground, rendered here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pixelrefer_core.types import NANOSECONDS, Frame

HEIGHT, WIDTH = 240, 320
RATE_HZ = 10.0
RED, BLUE, GREEN, GREY = (190, 45, 40), (45, 80, 185), (40, 150, 70), (120, 120, 125)


@dataclass(frozen=True, eq=False)
class Cutout:
    """``shape``: bool (h, w). ``colour``: RGB. ``path``: frame number -> x, y of its centre; None = not there."""

    shape: np.ndarray
    colour: tuple[int, int, int]
    path: Callable[[int], tuple[float, float] | None]


@dataclass(frozen=True, eq=False)
class Clip:
    """``frames``, and for each cut-out its visible pixels on every frame."""

    frames: list[Frame]
    masks: list[list[np.ndarray]]


def disk(radius: int) -> np.ndarray:
    offsets = np.arange(-radius, radius + 1)
    return offsets[:, None] ** 2 + offsets[None, :] ** 2 <= radius**2


def bar(width: int, height: int = HEIGHT) -> np.ndarray:
    return np.ones((height, width), bool)


def texture(seed: int, shape: tuple[int, int], colour: tuple[int, int, int], contrast: float) -> np.ndarray:
    """Cloudy noise around a colour, float32 (h, w, 3): something that optical flow can hold on to."""
    noise = np.random.default_rng(seed).normal(size=(*shape, 1)).astype(np.float32)
    clouds = sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1.5, 4.0))
    return np.clip(np.array(colour, np.float32) + contrast * clouds[..., None], 0, 255)


def render(cutouts: Sequence[Cutout], count: int, *, pan: float = 0.0, rate_hz: float = RATE_HZ) -> Clip:
    """Draw the cut-outs, later ones in front, on a ground that moves ``pan`` pixels per frame to the left."""
    ground = texture(0, (HEIGHT, WIDTH + int(abs(pan) * count) + 1), (125, 130, 95), 30.0)
    skins = [texture(1 + k, item.shape.shape, item.colour, 25.0) for k, item in enumerate(cutouts)]
    frames: list[Frame] = []
    masks: list[list[np.ndarray]] = [[] for _ in cutouts]
    for number in range(count):
        shift = np.float32([[1, 0, -pan * number], [0, 1, 0]])
        image = cv2.warpAffine(ground, shift, (WIDTH, HEIGHT))
        owner = np.full((HEIGHT, WIDTH), -1)
        for k, (item, skin) in enumerate(zip(cutouts, skins, strict=True)):
            centre = item.path(number)
            if centre is None:
                continue
            rows, columns = item.shape.shape
            move = np.float32([[1, 0, centre[0] - (columns - 1) / 2], [0, 1, centre[1] - (rows - 1) / 2]])
            cover = cv2.warpAffine(item.shape.astype(np.float32), move, (WIDTH, HEIGHT))[..., None]
            # The skin is extended over its edge so that blending at the rim mixes no black into it.
            colour = cv2.warpAffine(skin, move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
            image = cover * colour + (1 - cover) * image
            owner[cover[..., 0] >= 0.5] = k
        frames.append(Frame(image.astype(np.uint8), round(number / rate_hz * NANOSECONDS)))
        for k, item_masks in enumerate(masks):
            item_masks.append(owner == k)
    return Clip(frames, masks)
