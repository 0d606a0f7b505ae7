"""Scale-adaptive object tokenizer (SAOT): an object of any size becomes at most 32 tokens.

First half on the host (:func:`crop_object`): cut the object out, scale it (eq. 2), mark its cells. Second
half on the device (:class:`ObjectTokenizer`): add positions (eq. 4), keep the object's cells, cluster them.
``B`` objects, ``N`` cells of the largest object, ``K`` tokens, ``C`` channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from .clustering import kmeans, strided_seeds
from .geometry import (
    PATCH,
    Grid,
    PaddedBox,
    capped_grid,
    cell_positions,
    object_scale,
    padded_box,
    scaled_grid,
)
from .model_config import Compatibility, ObjectRules
from .preprocess import mask_to_grid, mask_to_grid_rounded, resize_area, resize_linear
from .types import ImageArray, MaskArray


@dataclass(frozen=True, eq=False)
class ObjectCrop:
    """An object cut out of its frame.

    ``context``: the padded crop at the frame's resolution. ``picture``: the same as the encoder sees it.
    ``mask_grid``: float32 (h, w), > 0 where a cell is the object's. ``positions``: float32 (h * w, 2).
    """

    context: ImageArray
    picture: ImageArray
    mask_grid: npt.NDArray[np.float32]
    positions: npt.NDArray[np.float32]
    box: PaddedBox

    @property
    def grid(self) -> Grid:
        """Size of the mask grid."""
        return Grid(self.mask_grid.shape[0], self.mask_grid.shape[1])

    @property
    def active(self) -> npt.NDArray[np.int64]:
        """Row-major indices of the object's cells."""
        return np.flatnonzero(self.mask_grid > 0)


def crop_object(image: ImageArray, mask: MaskArray, rules: ObjectRules, compat: Compatibility) -> ObjectCrop:
    """Cut an object out of an image with its context and scale it (paper, eq. 2)."""
    area = int(mask.sum())
    if area == 0:
        return _empty_crop(image)
    box = padded_box(mask, rules.padding_px)
    last = int(rules.keep_last_line)
    # A box one pixel high or wide (an image that thin) would lose its only line.
    bottom, right = max(box.bottom + last, box.top + 1), max(box.right + last, box.left + 1)
    window = (slice(box.top, bottom), slice(box.left, right))
    context = image[window]
    scale = object_scale(area, rules.num_tokens, rules.large_object_cells)
    grid = scaled_grid(context.shape[0], context.shape[1], scale)
    if compat.max_crop_cells:
        grid = capped_grid(grid, compat.max_crop_cells)
    return ObjectCrop(
        context=context,
        picture=_scale(context, grid, rules),
        mask_grid=_mark_cells(mask, window, grid, rules, compat),
        positions=cell_positions(grid, box, image.shape[:2]),
        box=box,
    )


def _empty_crop(image: ImageArray) -> ObjectCrop:
    # Nothing of the picture counts; the context, which becomes the local view, is the whole image.
    return ObjectCrop(
        context=image,
        picture=np.zeros((PATCH, PATCH, 3), dtype=np.uint8),
        mask_grid=np.zeros((1, 1), dtype=np.float32),
        positions=np.zeros((1, 2), dtype=np.float32),
        box=PaddedBox(0, 0, 0, 0),
    )


def _scale(context: ImageArray, grid: Grid, rules: ObjectRules) -> ImageArray:
    height, width = grid.rows * PATCH, grid.columns * PATCH
    grows = height > context.shape[0] or width > context.shape[1]
    resize = resize_area if rules.area_shrink and not grows else resize_linear
    return resize(context, height, width)


def _mark_cells(
    mask: MaskArray, window: tuple[slice, slice], grid: Grid, rules: ObjectRules, compat: Compatibility
) -> npt.NDArray[np.float32]:
    to_grid = mask_to_grid if rules.smooth_mask else mask_to_grid_rounded
    cells = to_grid(mask[window], grid)
    if cells.any() or compat.lose_thin_objects:
        return cells
    return _touched_cells(mask, window, grid)


def _touched_cells(mask: MaskArray, window: tuple[slice, slice], grid: Grid) -> npt.NDArray[np.float32]:
    """Mark every cell that holds a pixel of a mask too thin to survive interpolation."""
    places = []
    for pixels, part, cells in zip(np.nonzero(mask), window, grid, strict=True):
        # Pixels on the line that PixelRefer's crop leaves out belong to the last cell.
        inside = np.minimum(pixels, part.stop - 1) - part.start
        places.append(inside * cells // (part.stop - part.start))
    touched = np.zeros(grid, dtype=np.float32)
    touched[tuple(places)] = 1.0
    return touched


@dataclass(frozen=True, eq=False)
class CellBatch:
    """Which features belong to which object, padded to one length. Made on the host, so no size needs a sync.

    ``index``: int64 (B, N), rows of the packed features. ``valid``: bool (B, N). ``positions``: float32
    (B, N, 2). ``seeds``: int64 (B, K), initial centroids along N. ``counts``: cells of each object.
    """

    index: torch.Tensor
    valid: torch.Tensor
    positions: torch.Tensor
    seeds: torch.Tensor
    counts: tuple[int, ...]

    def to(self, device: torch.device) -> CellBatch:
        """Copy the tensors to ``device``."""
        tensors = (self.index, self.valid, self.positions, self.seeds)
        index, valid, positions, seeds = (tensor.to(device, non_blocking=True) for tensor in tensors)
        return CellBatch(index, valid, positions, seeds, self.counts)


def batch_cells(
    crops: Sequence[ObjectCrop],
    offsets: Sequence[int],
    num_tokens: int,
    seeds: Sequence[npt.NDArray[np.int64] | None],
) -> CellBatch:
    """Lay the objects' cells side by side.

    ``offsets``: where each crop's features start among the packed ones. ``seeds``: for each object the
    initial centroids as indices into its active cells; None = evenly spaced.
    """
    active = [crop.active for crop in crops]
    counts = tuple(len(cells) for cells in active)
    longest = max(*counts, num_tokens)
    index = np.zeros((len(crops), longest), dtype=np.int64)
    positions = np.zeros((len(crops), longest, 2), dtype=np.float32)
    first = np.zeros((len(crops), num_tokens), dtype=np.int64)
    for row, (crop, cells, offset, seed) in enumerate(zip(crops, active, offsets, seeds, strict=True)):
        index[row, : len(cells)] = cells + offset
        positions[row, : len(cells)] = crop.positions[cells]
        if len(cells) > num_tokens:
            first[row] = strided_seeds(len(cells), num_tokens) if seed is None else seed
    valid = np.arange(longest) < np.array(counts)[:, None]
    return CellBatch(
        index=torch.from_numpy(index),
        valid=torch.from_numpy(valid),
        positions=torch.from_numpy(positions),
        seeds=torch.from_numpy(first),
        counts=counts,
    )


def random_seeds(crop: ObjectCrop, num_tokens: int) -> npt.NDArray[np.int64] | None:
    """Draw initial centroids from torch's global generator, as upstream does; None where none are needed."""
    count = len(crop.active)
    if count <= num_tokens:
        return None
    drawn: npt.NDArray[np.int64] = torch.randperm(count)[:num_tokens].numpy()
    return drawn


class ObjectTokenizer(nn.Module):
    """Positions and clustering; holds the position layer, the only weights of the tokenizer."""

    def __init__(self, channels: int, rules: ObjectRules) -> None:
        super().__init__()
        self._rules = rules
        self.pos_linear = nn.Linear(2, channels)

    def forward(self, features: torch.Tensor, batch: CellBatch) -> torch.Tensor:
        """Return the tokens of each object, (B, K, C), zeros after the last one of a small object.

        ``features``: (T, C), packed encoder output. Positions are added before the mask is applied, as in the
        code and unlike eq. 3 and 5 of the paper; the order makes no difference to the cells that are kept.
        """
        cells = features[batch.index] + self.pos_linear(batch.positions.to(features.dtype))  # (B, N, C)
        # Distances of half-precision features decide badly, so clustering runs in float32.
        cells = cells.float() * batch.valid[..., None]
        few = cells[:, : self._rules.num_tokens]  # (B, K, C)
        if max(batch.counts) <= self._rules.num_tokens:
            return few.to(features.dtype)
        many = kmeans(cells, batch.valid, batch.seeds, iterations=self._rules.kmeans_iterations)
        is_small = batch.valid.sum(dim=1) <= self._rules.num_tokens  # (B)
        return torch.where(is_small[:, None, None], few, many).to(features.dtype)


def resample(features: torch.Tensor, grid: Grid, target: Grid) -> torch.Tensor:
    """Resize features (h * w, C) of one crop bilinearly to another grid, (h' * w', C)."""
    planes = features.view(1, *grid, -1).permute(0, 3, 1, 2)
    resized = functional.interpolate(planes, size=tuple(target), mode='bilinear', align_corners=False)
    return resized.permute(0, 2, 3, 1).flatten(0, 2)
