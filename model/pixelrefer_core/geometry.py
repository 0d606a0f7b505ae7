"""Where an object is and how large it should be seen: padded box, scale (eq. 2), patch grid, cell positions.

Pure functions on numbers and numpy arrays. ``H W`` pixels, ``h w`` patches ("cells") of 14 x 14 pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .types import MaskArray

PATCH = 14
CELL_AREA = PATCH * PATCH


class PaddedBox(NamedTuple):
    """Box of an object and its context, pixels. Closed: ``bottom``, ``right`` are the last row and column."""

    top: int
    left: int
    bottom: int
    right: int


class Grid(NamedTuple):
    """Size of a picture in patches."""

    rows: int
    columns: int

    @property
    def cells(self) -> int:
        """Number of patches."""
        return self.rows * self.columns


def padded_box(mask: MaskArray, padding_px: int) -> PaddedBox:
    """Return the box of the mask's pixels, grown by ``padding_px`` on each side and clamped to the image.

    An empty mask gives (0, 0, 0, 0), as upstream does for Lite.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return PaddedBox(0, 0, 0, 0)
    columns = np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    return PaddedBox(
        top=max(int(rows[0]) - padding_px, 0),
        left=max(int(columns[0]) - padding_px, 0),
        bottom=min(int(rows[-1]) + padding_px, height - 1),
        right=min(int(columns[-1]) + padding_px, width - 1),
    )


def object_scale(area_px: int, num_tokens: int, large_cells: int) -> float:
    """Return the factor by which a crop is enlarged or shrunk before it is cut into patches (paper, eq. 2).

    Small objects grow until their mask covers about ``num_tokens`` cells; objects of more than
    ``large_cells`` cells shrink to that many. The paper takes the plain root: the code rounds it up.
    ``area_px`` must be positive.
    """
    scale = math.ceil(math.sqrt(CELL_AREA * num_tokens / area_px))
    cells = area_px / CELL_AREA
    if scale == 1 and cells > large_cells:
        return 1.0 / math.sqrt(cells / large_cells)
    return float(scale)


def scaled_grid(height: int, width: int, scale: float) -> Grid:
    """Return the patches that cover a crop of ``height`` x ``width`` pixels enlarged by ``scale``."""
    return Grid(math.ceil(height * scale / PATCH), math.ceil(width * scale / PATCH))


def capped_grid(grid: Grid, max_cells: int) -> Grid:
    """Shrink a grid to at most ``max_cells``, keeping its aspect as far as whole cells allow."""
    if grid.cells <= max_cells:
        return grid
    shrink = math.sqrt(grid.cells / max_cells)
    rows = min(max(math.floor(grid.rows / shrink), 1), max_cells)
    columns = min(max(math.floor(grid.columns / shrink), 1), max_cells // rows)
    return Grid(rows, columns)


def smart_resize(
    height: int, width: int, *, factor: int, max_pixels: int, min_pixels: int = 56 * 56
) -> tuple[int, int]:
    """Return the size, in multiples of ``factor``, at which the vision encoder sees a picture.

    The area ends within ``min_pixels`` .. ``max_pixels`` and the aspect is nearly kept.
    Raises ValueError when one side is more than 200 times the other.
    """
    if min(height, width) < factor:
        grow = factor / min(height, width)
        height, width = round(height * grow), round(width * grow)
    elif max(height, width) / min(height, width) > 200:
        raise ValueError(
            f'a picture of {height} x {width} pixels is too long: the sides differ more than 200 times'
        )
    rows, columns = round(height / factor) * factor, round(width / factor) * factor
    if rows * columns > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        rows = math.floor(height / shrink / factor) * factor
        columns = math.floor(width / shrink / factor) * factor
    elif rows * columns < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        rows = math.ceil(height * grow / factor) * factor
        columns = math.ceil(width * grow / factor) * factor
    return rows, columns


def cell_positions(grid: Grid, box: PaddedBox, image_size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return the position of every cell of a crop in the whole image, float32 (h*w, 2), row-major (eq. 4).

    upstream: region_encoder.py:6-18 mixes up the axes. The first component walks along the columns of the
    crop, but over the *vertical* extent of the box, and the second the other way round. The published
    weights were trained with that, so it is kept. ``image_size``: height and width of the image, pixels.
    """
    height, width = image_size
    along_x = np.arange(grid.columns, dtype=np.float32) / np.float32(grid.columns)
    along_y = np.arange(grid.rows, dtype=np.float32) / np.float32(grid.rows)
    first = (along_x * (box.bottom - box.top) + box.top) / max(width - 1, 1)
    second = (along_y * (box.right - box.left) + box.left) / max(height - 1, 1)
    positions = np.empty((grid.rows, grid.columns, 2), dtype=np.float32)
    positions[..., 0] = first
    positions[..., 1] = second[:, None]
    return positions.reshape(-1, 2)
