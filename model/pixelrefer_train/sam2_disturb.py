"""What makes tracking hard, put into clips: things and panels in front of an object, and copies of it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .sam2_drawn import SHIFT, outline

Pictures = npt.NDArray[np.float32]
Covers = npt.NDArray[np.float32]
# A panel stays for at most so many frames, and takes at most so many to come and to go.
LONGEST_STAY, LONGEST_SLIDE = 3, 2


def pass_in_front(pictures: Pictures, covers: Covers, random: np.random.Generator) -> None:
    """Let a drawn thing pass in front of an object, in place; it is slow enough to hide it for some frames.

    ``pictures``: (T, S, S, 3), 0 to 255. ``covers``: (T, N, S, S), how much of a pixel each object has.
    """
    frames, size = len(pictures), pictures.shape[1]
    when = int(random.integers(1, frames))
    middle, extent = place_of(covers[when, random.integers(covers.shape[1])])
    if extent == 0.0:
        return
    shape = outline(random, extent * random.uniform(0.6, 1.3))
    speed = extent * random.uniform(0.1, 0.8) * direction(random)
    paint = surface(size, random)
    for frame in range(frames):
        put(pictures[frame], covers[frame], filled(shape + middle + speed * (frame - when), size), paint)


def slide_panel(pictures: Pictures, covers: Covers, random: np.random.Generator) -> None:
    """Let a panel slide over an object from one side, hide all of it for some frames, and slide back, in place.

    Arguments as for :func:`pass_in_front`.
    """
    frames, size = len(pictures), pictures.shape[1]
    arrives = int(random.integers(1, frames))
    leaves = min(arrives + int(random.integers(1, LONGEST_STAY + 1)), frames)
    shown = covers[arrives:leaves, random.integers(covers.shape[1])].max(axis=0) > 0
    if not shown.any():
        return
    corners = _corners_around(shown, random)
    slide = int(random.integers(LONGEST_SLIDE + 1))
    side = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)][int(random.integers(4))])
    step = side * np.ptp(corners, axis=0) / (slide + 1)
    paint = surface(size, random)
    for frame in range(arrives - slide, min(leaves + slide, frames)):
        if frame >= 0:
            away = max(arrives - frame, frame - leaves + 1, 0)
            put(pictures[frame], covers[frame], filled(corners + step * away, size), paint)


def add_copy(pictures: Pictures, covers: Covers, random: np.random.Generator) -> None:
    """Let a copy of an object, as it looks on the first frame, move through the clip, in place.

    Only its place tells it from the true one. Arguments as for :func:`pass_in_front`.
    """
    size = pictures.shape[1]
    cover = covers[0, random.integers(covers.shape[1])]
    middle, extent = place_of(cover)
    if extent == 0.0:
        return
    start = random.uniform(0.1, 0.9, 2) * size - middle
    if np.hypot(*start) < 1.2 * extent:
        return
    speed = extent * random.uniform(0, 0.4) * direction(random)
    paint = pictures[0].copy()
    for frame in range(len(pictures)):
        shift = np.column_stack([np.eye(2), start + speed * frame])
        hidden, moved = (
            np.asarray(cv2.warpAffine(item, shift, (size, size)), np.float32) for item in (cover, paint)
        )
        put(pictures[frame], covers[frame], hidden, moved)


def put(
    picture: npt.NDArray[np.float32],
    covers: npt.NDArray[np.float32],
    hidden: npt.NDArray[np.float32],
    paint: npt.NDArray[np.float32],
) -> None:
    """Lay something over a picture (S, S, 3) and its objects (N, S, S), in place; ``hidden``: how much of a pixel."""
    picture += hidden[..., None] * (paint - picture)
    covers *= 1 - hidden


def filled(points: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float32]:
    """Return how much of each pixel (S, S) the outline (n, 2) covers, from 0 to 1."""
    cover = np.zeros((size, size), np.uint8)
    fixed = np.round(points * 2**SHIFT).astype(np.int32)
    cv2.fillPoly(cover, [fixed], [255], lineType=cv2.LINE_AA, shift=SHIFT)
    return np.asarray(cover / 255, np.float32)


def surface(size: int, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return the colours (S, S, 3) of something: plain, grained, or cloudy."""
    grain = int(random.choice([2, 6, 20]))
    coarse = random.choice([0.0, 10.0, 30.0]) * random.standard_normal((size // grain + 2,) * 2)
    clouds = cv2.resize(coarse.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    colour = random.uniform(10, 245) + random.uniform(0, 60) * random.standard_normal(3)
    return np.asarray((clouds[..., None] + colour).clip(0, 255), np.float32)


def place_of(cover: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], float]:
    """Return middle (x, y) and larger side of an object, pixels; the side is 0 when it is not seen."""
    rows, columns = np.nonzero(cover >= 0.5)
    if len(rows) == 0:
        return np.zeros(2), 0.0
    return np.array([columns.mean(), rows.mean()]), float(max(np.ptp(rows), np.ptp(columns)) + 1)


def direction(random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return a random unit vector."""
    angle = random.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def _corners_around(shown: npt.NDArray[np.bool_], random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the corners (4, 2) of a rectangle with these pixels in it, at times a good deal larger."""
    rows, columns = np.nonzero(shown)
    margin = random.uniform(0.0, 0.6, (2, 2)) * (np.ptp(columns) + 1, np.ptp(rows) + 1) + 1
    left, top = np.array([columns.min(), rows.min()]) - margin[0]
    right, bottom = np.array([columns.max(), rows.max()]) + margin[1]
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
