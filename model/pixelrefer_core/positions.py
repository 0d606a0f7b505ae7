"""Where an object is in space: from its mask, a depth image and the camera. Pure.

What is measured is the visible surface, not the middle of the body behind it, which no camera sees. Cost is bounded:
of a large object a grid of pixels is looked at.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from .errors import InvalidCameraInfoError, InvalidImageError
from .masks import mask_box
from .pinhole import rays, resized
from .rigid import RigidTransform
from .types import BoxXYXY, DepthImage, Intrinsics, MaskArray, Position

MINIMUM_MEASUREMENTS = 20
# encoding -> (dtype, metres per unit), as REP 118 has it
DEPTH_ENCODINGS = {'16UC1': (np.uint16, 0.001), '32FC1': (np.float32, 1.0)}
_GRID_CELLS = 64 * 64
# With depth on a smaller part of it than this, what was measured is more likely its surroundings.
_MINIMUM_SHARE = 0.1
# Outlines of masks and of depth images disagree by some pixels, more on large objects: that much of the object's side
# is left out, but never more than half of its area.
_MARGIN_PX, _MARGIN_SIDE = 2.0, 0.05
# What lies farther before or behind the middle than so many times the object's width is something else, unless noise
# brings it there. A rule that goes by the scatter of the depths themselves cuts the far half off rings and hammers.
_DEEPEST, _NOISE_SHARE = 1.2, 0.01
_MAD_TO_DEVIATION = 1.4826
_EXTENT_PERCENT = (2.0, 98.0)
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def locate(
    mask: MaskArray,
    depth: DepthImage,
    *,
    box: BoxXYXY | None = None,
    minimum: int = MINIMUM_MEASUREMENTS,
    transform: RigidTransform | None = None,
) -> Position:
    """Return where the object under ``mask`` is, in camera axes or, with ``transform``, in those of another frame.

    ``mask``: bool (H, W) of the colour image's size; ``box`` around it, if it is known. Fewer than ``minimum``
    depth pixels on it give an invalid position. Raises :class:`InvalidImageError` or
    :class:`InvalidCameraInfoError` when mask, depth and camera do not belong together.
    """
    camera = camera_of(depth, *mask.shape)
    box = box or mask_box(mask)
    if box is None:
        return Position(problem='it is not visible')
    rows, columns, step = _grid(camera, box, *mask.shape)
    covered = mask[
        np.ix_(_onto(rows, camera.height, mask.shape[0]), _onto(columns, camera.width, mask.shape[1]))
    ]
    z = np.where(covered, _metres(depth, rows, columns), math.nan)
    kept = _inner(covered, step)
    measured = z[kept & np.isfinite(z)]
    count = measured.size * step * step
    lack = _lack(count, measured.size / max(1, int(np.count_nonzero(kept))), max(1, minimum))
    if lack:
        return Position(measurements=count, problem=lack)
    side_px = step * math.sqrt(np.count_nonzero(covered))
    nearest_m, farthest_m = _depth_range(measured, side_px / camera.fx)
    with np.errstate(invalid='ignore'):
        of_object = (z >= nearest_m) & (z <= farthest_m)
    points = _points(camera, z, rows, columns, of_object)
    inner = points[kept[of_object]]
    middle, spread_m = np.median(inner, axis=0), _spread(inner[:, 2])
    if transform is not None:
        middle, points = transform.apply(middle), transform.apply(points)
    low, high = np.percentile(points, _EXTENT_PERCENT, axis=0)
    return Position(_triple(middle), _triple(high - low), spread_m, count)


def camera_of(depth: DepthImage, height: int, width: int) -> Intrinsics:
    """Return the camera at the size of the depth image, which shows what an image of ``height`` x ``width`` shows.

    Raises :class:`InvalidImageError` when it is no depth image, :class:`InvalidCameraInfoError` when it is one of
    another picture or camera.
    """
    if depth.encoding not in DEPTH_ENCODINGS:
        raise InvalidImageError(f'depth is 16UC1 (millimetres) or 32FC1 (metres), not {depth.encoding!r}')
    kind = np.dtype(DEPTH_ENCODINGS[depth.encoding][0])
    pixels = depth.pixels
    if pixels.ndim != 2 or pixels.size == 0 or pixels.dtype.newbyteorder('=') != kind:
        raise InvalidImageError(
            f'a {depth.encoding} depth image is a matrix of {kind}, not {pixels.dtype} {pixels.shape}'
        )
    camera = depth.intrinsics
    if not (camera.fx > 0.0 and camera.fy > 0.0):
        raise InvalidCameraInfoError(
            f'a camera has focal lengths above zero, not {camera.fx:g}, {camera.fy:g}'
        )
    resized(camera, height, width)
    return resized(camera, *pixels.shape)


def _grid(camera: Intrinsics, box: BoxXYXY, height: int, width: int) -> tuple[Indices, Indices, int]:
    """Rows and columns of the depth image to look at: those in the box, or every ``step``-th of them."""
    x0, y0, x1, y1 = box
    left, right = x0 * camera.width // width, -(-x1 * camera.width // width)
    top, bottom = y0 * camera.height // height, -(-y1 * camera.height // height)
    step = math.ceil(math.sqrt(max(1, (right - left) * (bottom - top)) / _GRID_CELLS))
    return np.arange(top, bottom, step), np.arange(left, right, step), step


def _onto(indices: Indices, size: int, other_size: int) -> Indices:
    """Pixels of another image, ``other_size`` long, that lie where these of ``size`` are."""
    return (2 * indices + 1) * other_size // (2 * size)


def _metres(depth: DepthImage, rows: Indices, columns: Indices) -> Floats:
    """Depths of a grid of pixels, NaN where nothing was measured."""
    z = depth.pixels[np.ix_(rows, columns)].astype(np.float64) * DEPTH_ENCODINGS[depth.encoding][1]
    z[~(np.isfinite(z) & (z > 0.0))] = math.nan
    return z


def _inner(covered: MaskArray, step: int) -> MaskArray:
    """The object without its outline."""
    within = step * cv2.distanceTransform(np.pad(covered, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    margin = max(_MARGIN_PX, _MARGIN_SIDE * step * math.sqrt(np.count_nonzero(covered)))
    # A margin that half of the area survives: thin things keep their middle line.
    margin = min(margin, float(np.median(within[covered]))) if covered.any() else margin
    return np.asarray(covered & (within >= margin))


def _lack(count: int, share: float, minimum: int) -> str:
    """Say why so many measurements, on that share of the object, are too few; empty when they suffice."""
    if count < minimum:
        return f'{count} depth pixels on it, {minimum} are needed'
    return f'only {share:.0%} of it has depth' if share < _MINIMUM_SHARE else ''


def _depth_range(measured: Floats, side_per_metre: float) -> tuple[float, float]:
    """Return the depths between which the object lies, metres.

    ``side_per_metre``: how wide it is, for each metre that it is away.
    """
    reach = max(_DEEPEST * side_per_metre, _NOISE_SHARE)
    middle = _middle(measured)
    # Once more without what was far off, which pulls at a median, too.
    middle = _middle(measured[np.abs(measured - middle) <= reach * middle])
    return (1.0 - reach) * middle, (1.0 + reach) * middle


def _middle(depths: Floats) -> float:
    """The median, or of two candidates one, not a place between two surfaces where nothing is."""
    return float(np.partition(depths, depths.size // 2)[depths.size // 2])


def _spread(depths: Floats) -> float:
    return _MAD_TO_DEVIATION * float(np.median(np.abs(depths - np.median(depths))))


def _points(camera: Intrinsics, z: Floats, rows: Indices, columns: Indices, chosen: MaskArray) -> Floats:
    """Points (N, 3) in camera axes of the chosen cells of a grid."""
    where = np.nonzero(chosen)
    pixels = np.stack([columns[where[1]], rows[where[0]]], axis=1).astype(np.float64)
    depths = z[chosen][:, None]
    return np.concatenate([rays(camera, pixels) * depths, depths], axis=1)


def _triple(values: Floats) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z
