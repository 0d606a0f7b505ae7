"""Masks as data sets store them: COCO run lengths, compressed or not, and polygons. Pure numpy.

Run lengths count pixels column by column, background first. A pixel belongs to a polygon when its centre does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pixelrefer_core.errors import InvalidRequestError, MaskSizeMismatchError
from pixelrefer_core.types import MaskArray

CodedMask: TypeAlias = Mapping[str, Any] | Sequence[Any]

# Compressed counts: base 32, least significant digit first, from this character on.
_ZERO = 48
_MORE, _SIGN, _DIGIT, _BITS = 0x20, 0x10, 0x1F, 5


def decode_mask(coded: CodedMask, height: int, width: int) -> MaskArray:
    """Return the mask, bool (``height``, ``width``).

    ``coded``: ``{'size': [h, w], 'counts': str | bytes | list}``, or polygons ``[[x1, y1, x2, y2, ...], ...]`` in
    pixels, or one such polygon; polygons are united, none gives an empty mask. Raises
    :class:`MaskSizeMismatchError` when run lengths are of another size, and :class:`InvalidRequestError` for
    anything else that is no mask.
    """
    if isinstance(coded, Mapping):
        return _decode_runs(coded, height, width)
    if not isinstance(coded, Sequence) or isinstance(coded, str | bytes):
        raise InvalidRequestError(
            f'a mask is run lengths (size, counts) or polygons, got {type(coded).__name__}'
        )
    flat = bool(coded) and not isinstance(coded[0], Sequence)
    mask = np.zeros((height, width), np.bool_)
    for polygon in [coded] if flat else coded:
        mask |= fill_polygon(polygon, height, width)
    return mask


def encode_rle(mask: MaskArray) -> dict[str, Any]:
    """Return ``{'size': [h, w], 'counts': str}``, the compressed form that COCO tools read."""
    pixels = np.concatenate(([False], mask.ravel(order='F')))  # so that the first run is one of background
    starts = np.flatnonzero(pixels[1:] != pixels[:-1])
    counts = np.diff(starts, prepend=0, append=mask.size)
    return {'size': [int(side) for side in mask.shape], 'counts': _compress(counts.tolist())}


def fill_polygon(polygon: Sequence[float], height: int, width: int) -> MaskArray:
    """Return the pixels whose centres lie inside a closed polygon (even-odd rule), bool (``height``, ``width``).

    ``polygon``: x and y in turn, pixels. Raises :class:`InvalidRequestError` for fewer than three points.
    """
    try:
        points = np.asarray(polygon, np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError('a polygon is a list of numbers: x1, y1, x2, y2, ...') from error
    if len(points) < 3 or not np.isfinite(points).all():
        raise InvalidRequestError(f'a polygon needs three finite points or more, got {len(points)}')
    (x1, y1), (x2, y2) = points.T, np.roll(points, -1, axis=0).T
    centres = np.arange(height) + 0.5
    edges, rows = np.nonzero((y1[:, None] <= centres) != (y2[:, None] <= centres))
    slopes = (x2 - x1)[edges] / (y2 - y1)[edges]
    columns = np.ceil(x1[edges] + slopes * (centres[rows] - y1[edges]) - 0.5)
    toggles = np.zeros((height, width + 1), np.int32)
    np.add.at(toggles, (rows, columns.clip(0, width).astype(np.intp)), 1)
    return np.asarray(toggles.cumsum(axis=1)[:, :width] % 2 == 1)


def fill_box(box_xyxy: Sequence[float], height: int, width: int) -> MaskArray:
    """Return a half-open box as a mask, bool (``height``, ``width``), clamped to the image, edges rounded."""
    x1, y1, x2, y2 = (max(round(value), 0) for value in box_xyxy)
    mask = np.zeros((height, width), np.bool_)
    mask[y1:y2, x1:x2] = True
    return mask


def _decode_runs(coded: Mapping[str, Any], height: int, width: int) -> MaskArray:
    if 'counts' not in coded or 'size' not in coded:
        raise InvalidRequestError(f'run lengths have size and counts, got {", ".join(map(str, coded))}')
    if list(coded['size']) != [height, width]:
        raise MaskSizeMismatchError(
            f'the mask is of size {list(coded["size"])} (height, width), its picture {[height, width]}'
        )
    counts = coded['counts']
    if isinstance(counts, str | bytes):
        counts = _decompress(counts.encode() if isinstance(counts, str) else counts)
    runs: npt.NDArray[np.int64] = np.asarray(counts, np.int64)
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        raise InvalidRequestError(
            f'the run lengths of a mask add up to {int(runs.sum())}, not to {height} x {width} pixels'
        )
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return pixels.reshape(height, width, order='F')


def _compress(counts: Sequence[int]) -> str:
    text = bytearray()
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        while True:
            digit = value & _DIGIT
            value >>= _BITS
            last = value == (-1 if digit & _SIGN else 0)
            text.append(_ZERO + (digit if last else digit | _MORE))
            if last:
                break
    return text.decode('ascii')


def _decompress(text: bytes) -> list[int]:
    counts: list[int] = []
    value = shift = 0
    for character in text:
        digit = character - _ZERO
        value |= (digit & _DIGIT) << shift
        shift += _BITS
        if digit & _MORE:
            continue
        if digit & _SIGN:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift or not all(0 <= character - _ZERO < 2 * _MORE for character in text):
        raise InvalidRequestError('the compressed run lengths of a mask are damaged')
    return counts
