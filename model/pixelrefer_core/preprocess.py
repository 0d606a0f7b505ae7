"""Pictures as the vision encoder takes them: resized, cut into patches, normalised.

Resizing runs on the host on uint8, so that one small copy brings all pictures of a call to the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch

from .geometry import PATCH, Grid
from .types import ImageArray, MaskArray

_PRECISION_BITS = 22


def resize_area(image: ImageArray, height: int, width: int) -> ImageArray:
    """Resize by averaging, uint8 (height, width, 3); the aspect ratio is not kept."""
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def resize_linear(image: ImageArray, height: int, width: int) -> ImageArray:
    """Resize bilinearly without antialiasing, uint8 (height, width, 3)."""
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def resize_bicubic(image: ImageArray, height: int, width: int) -> ImageArray:
    """Resize with the antialiased bicubic filter and 8-bit arithmetic of Pillow, uint8 (height, width, 3).

    Equal to ``PIL.Image.resize(..., BICUBIC)`` to the last bit: the official processor resizes with it.
    """
    if image.shape[1] != width:
        image = _resize_rows(image.swapaxes(0, 1), width).swapaxes(0, 1)
    if image.shape[0] != height:
        image = _resize_rows(image, height)
    return np.ascontiguousarray(image)


def _resize_rows(image: ImageArray, size: int) -> ImageArray:
    first, weights = _bicubic_taps(image.shape[0], size)
    total = np.full((size, *image.shape[1:]), 1 << (_PRECISION_BITS - 1), dtype=np.int32)
    for tap in range(weights.shape[1]):
        rows = np.minimum(first + tap, image.shape[0] - 1)  # taps beyond the edge weigh nothing
        total += image[rows].astype(np.int32) * weights[:, tap, None, None]
    return np.clip(total >> _PRECISION_BITS, 0, 255).astype(np.uint8)


def _bicubic_taps(size_in: int, size_out: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Return the first source row of each output row, and fixed-point weights (size_out, taps)."""
    scale = size_in / size_out
    stretch = max(scale, 1.0)
    support = 2.0 * stretch
    centre = (np.arange(size_out) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + support + 0.5).astype(np.int64), size_in)
    source = first[:, None] + np.arange(math.ceil(support) * 2 + 1)
    distance = np.abs((source - centre[:, None] + 0.5) / stretch)
    weights = np.where(source < last[:, None], _cubic(distance), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    fixed = weights * (1 << _PRECISION_BITS)
    return first, np.trunc(fixed + np.copysign(0.5, fixed)).astype(np.int32)


def _cubic(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def mask_to_grid(mask: MaskArray, grid: Grid) -> npt.NDArray[np.float32]:
    """Resize a mask to cells bilinearly, float32 (h, w); a cell counts as the object's when it is > 0."""
    size = (grid.columns, grid.rows)
    return np.asarray(
        cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR), dtype=np.float32
    )


def mask_to_grid_rounded(mask: MaskArray, grid: Grid) -> npt.NDArray[np.float32]:
    """Resize a mask to cells as torch resizes uint8 bilinearly: horizontally, then vertically, rounding each.

    Returns zeros and ones, float32 (h, w). Thin objects can vanish; see :func:`mask_to_grid`.
    """
    columns = _round_rows(mask.T.astype(np.float64), grid.columns).T
    return _round_rows(columns, grid.rows).astype(np.float32)


def _round_rows(mask: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    source = np.maximum((np.arange(size) + 0.5) * (len(mask) / size) - 0.5, 0.0)
    low = source.astype(np.int64)
    high = np.minimum(low + 1, len(mask) - 1)
    share = np.round((source - low) * 2**15)[:, None] / 2**15  # torch interpolates in fixed point
    return np.floor(mask[low] * (1.0 - share) + mask[high] * share + 0.5)


def to_patches(image: ImageArray, merge: int = 1) -> npt.NDArray[np.uint8]:
    """Cut an image into rows of 3 * 14 * 14 values in (channel, y, x) order, uint8 (h * w, 588).

    Cells come row by row or, with ``merge`` > 1, in the blocks of that side that the encoder averages.
    """
    rows, columns = image.shape[0] // PATCH // merge, image.shape[1] // PATCH // merge
    blocks = image.reshape(rows, merge, PATCH, columns, merge, PATCH, 3)
    return blocks.transpose(0, 3, 1, 4, 6, 2, 5).reshape(-1, 3 * PATCH * PATCH)


def grid_of(image: ImageArray) -> Grid:
    """Return the size of an image in patches."""
    return Grid(image.shape[0] // PATCH, image.shape[1] // PATCH)


class Normalizer:
    """Turns uint8 patches into the encoder's input by looking up each of the 256 values.

    The table is made in the official arithmetic: scaled by 1/255 in float64, cast to float32, then shifted
    and divided in float32.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        values = (np.arange(256, dtype=np.float64) * (1.0 / 255.0)).astype(np.float32)
        mean32 = np.asarray(mean, dtype=np.float32)[:, None]
        std32 = np.asarray(std, dtype=np.float32)[:, None]
        self._table = torch.from_numpy(((values - mean32) / std32).reshape(-1))  # (3 * 256)

    def __call__(
        self, patches: Sequence[npt.NDArray[np.uint8]], device: torch.device, dtype: torch.dtype
    ) -> torch.Tensor:
        """Return all patches normalised, (sum of h * w, 588) of ``dtype`` on ``device``."""
        joined = np.concatenate(patches)
        if device.type == 'cpu':
            return torch.from_numpy(self._look_up(joined)).to(dtype)
        packed = torch.from_numpy(joined).to(device, non_blocking=True)
        self._table = self._table.to(device)
        offset = torch.arange(3, device=device)[:, None] * 256
        values = packed.view(len(packed), 3, PATCH * PATCH).long() + offset
        return self._table.take(values).flatten(1).to(dtype)

    def _look_up(self, packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        # OpenCV looks bytes up seven times as fast as torch, which wants indices of eight bytes.
        planes = packed.reshape(len(packed), 3, PATCH * PATCH)
        values = np.empty(planes.shape, np.float32)
        for channel, table in enumerate(self._table.cpu().numpy().reshape(3, 256)):
            values[:, channel] = cv2.LUT(np.ascontiguousarray(planes[:, channel]), table)
        return values.reshape(len(packed), -1)
