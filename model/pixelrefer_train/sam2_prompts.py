"""Prompts as people and detectors give them, drawn at random from true masks."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch

from pixelrefer_core.tracker.sam2_network import PointPrompt
from pixelrefer_core.tracker.sam2_pixels import BESIDE, CORNER, FAR_CORNER, ON

Kind = Literal['box', 'point', 'points', 'mask']
KINDS: tuple[Kind, ...] = ('box', 'point', 'points', 'mask')
# How far a detector's corners are off, standard deviation in box sides.
BOX_JITTER = 0.06
# A negative point lies on the object's surroundings, this far around its box, in box sides.
SURROUNDINGS = 0.5

Cover = npt.NDArray[np.float32]


def point_prompts(covers: Cover, kind: Kind, random: np.random.Generator) -> PointPrompt:
    """Return a prompt for each mask (N, S, S): points (N, 1, P, 2) in pixels, labels int32 (N, 1, P).

    Every mask needs a pixel that is covered by half. ``points``: two or three, one of them beside the object
    as often as not. ``kind`` is any but ``mask``.
    """
    count = int(random.integers(2, 4)) if kind == 'points' else 1
    negative = kind == 'points' and bool(random.random() < 0.5)
    points, labels = [], []
    for cover in covers:
        if kind == 'box':
            points.append(_jittered_box(cover >= 0.5, random))
            labels.append([CORNER, FAR_CORNER])
            continue
        own = [_point_on(cover >= 0.5, random) for _ in range(count - negative)]
        beside = [_point_beside(cover >= 0.5, random)] if negative else []
        points.append(np.array(own + beside))
        labels.append([ON] * len(own) + [BESIDE] * len(beside))
    return PointPrompt(
        torch.tensor(np.array(points), dtype=torch.float32)[:, None],
        torch.tensor(labels, dtype=torch.int32)[:, None],
    )


def _box(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return x and y of the first corner and of the one beyond the last pixel, (2, 2)."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], np.float64)


def _jittered_box(mask: npt.NDArray[np.bool_], random: np.random.Generator) -> npt.NDArray[np.float64]:
    box = _box(mask)
    jitter = BOX_JITTER * random.standard_normal((2, 2)).clip(-2, 2) * (box[1] - box[0])
    return np.asarray((box + jitter).clip(0, mask.shape[0]))


def _point_on(mask: npt.NDArray[np.bool_], random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return x and y of a pixel of the mask: any, or as often one well inside, where people click."""
    if random.random() < 0.5:
        depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
        mask = depth >= 0.6 * depth.max()
    return _any_pixel(mask, random)


def _point_beside(mask: npt.NDArray[np.bool_], random: np.random.Generator) -> npt.NDArray[np.float64]:
    box = _box(mask)
    margin = SURROUNDINGS * (box[1] - box[0]) + 2
    near = np.zeros_like(mask)
    left, top = (box[0] - margin).clip(0).astype(int)
    right, bottom = (box[1] + margin).astype(int)
    near[top:bottom, left:right] = True
    beside = near & ~mask
    # An object that fills the picture has no surroundings.
    return _any_pixel(beside if beside.any() else near, random)


def _any_pixel(mask: npt.NDArray[np.bool_], random: np.random.Generator) -> npt.NDArray[np.float64]:
    pixels = np.flatnonzero(mask)
    row, column = divmod(int(random.choice(pixels)), mask.shape[1])
    return np.array([column, row], np.float64)
