"""What makes tracking hard, put into clips: things that pass in front of an object, and copies of it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .sam2_drawn import SHIFT, outline

Pictures = npt.NDArray[np.float32]
Covers = npt.NDArray[np.float32]


def pass_in_front(pictures: Pictures, covers: Covers, random: np.random.Generator) -> None:
    """Let a drawn thing pass in front of an object, in place; it is slow enough to hide it for some frames.

    ``pictures``: (T, S, S, 3), 0 to 255. ``covers``: (T, N, S, S), how much of a pixel each object has.
    """
    frames, size = len(pictures), pictures.shape[1]
    when = int(random.integers(1, frames))
    middle, extent = _place(covers[when, random.integers(covers.shape[1])])
    if extent == 0.0:
        return
    shape = outline(random, extent * random.uniform(0.6, 1.3))
    speed = extent * random.uniform(0.1, 0.8) * _direction(random)
    colour = random.uniform(10, 245, 3)
    grain = random.choice([0.0, 20.0]) * random.standard_normal((size, size, 1))
    paint = (colour + cv2.blur(grain, (3, 3))[..., None]).astype(np.float32)
    for frame in range(frames):
        points = shape + middle + speed * (frame - when)
        hidden = np.zeros((size, size), np.uint8)
        fixed = np.round(points * 2**SHIFT).astype(np.int32)
        cv2.fillPoly(hidden, [fixed], [255], lineType=cv2.LINE_AA, shift=SHIFT)
        _put(pictures[frame], covers[frame], np.asarray(hidden / 255, np.float32), paint)


def add_copy(pictures: Pictures, covers: Covers, random: np.random.Generator) -> None:
    """Let a copy of an object, as it looks on the first frame, move through the clip, in place.

    Only its place tells it from the true one. Arguments as for :func:`pass_in_front`.
    """
    size = pictures.shape[1]
    cover = covers[0, random.integers(covers.shape[1])]
    middle, extent = _place(cover)
    if extent == 0.0:
        return
    start = random.uniform(0.1, 0.9, 2) * size - middle
    if np.hypot(*start) < 1.2 * extent:
        return
    speed = extent * random.uniform(0, 0.4) * _direction(random)
    paint = pictures[0].copy()
    for frame in range(len(pictures)):
        shift = np.column_stack([np.eye(2), start + speed * frame])
        hidden, moved = (
            np.asarray(cv2.warpAffine(item, shift, (size, size)), np.float32) for item in (cover, paint)
        )
        _put(pictures[frame], covers[frame], hidden, moved)


def _put(
    picture: npt.NDArray[np.float32],
    covers: npt.NDArray[np.float32],
    hidden: npt.NDArray[np.float32],
    paint: npt.NDArray[np.float32],
) -> None:
    picture += hidden[..., None] * (paint - picture)
    covers *= 1 - hidden


def _place(cover: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], float]:
    """Return middle (x, y) and larger side of an object, pixels; the side is 0 when it is not seen."""
    rows, columns = np.nonzero(cover >= 0.5)
    if len(rows) == 0:
        return np.zeros(2), 0.0
    return np.array([columns.mean(), rows.mean()]), float(max(np.ptp(rows), np.ptp(columns)) + 1)


def _direction(random: np.random.Generator) -> npt.NDArray[np.float64]:
    angle = random.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])
