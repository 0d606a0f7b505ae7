"""Binary masks: box, overlap, resizing and cleaning up. Pure functions; every mask is bool (H, W).

The cost of each is a fixed number of passes over the pixels, however many specks a mask consists of.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from .types import BoxXYXY, MaskArray


def mask_box(mask: MaskArray) -> BoxXYXY | None:
    """Return the smallest half-open box around the mask, pixels; None when the mask is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    # Only the rows that hold something are looked at again: wide images with small objects stay cheap.
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def mask_iou(first: MaskArray, second: MaskArray) -> float:
    """Return intersection over union in [0, 1]; two empty masks agree, so theirs is 1."""
    if first.shape != second.shape:
        raise ValueError(f'masks of one size are needed, got {first.shape} and {second.shape}')
    union = int(np.count_nonzero(first | second))
    return int(np.count_nonzero(first & second)) / union if union else 1.0


def resize_mask(mask: MaskArray, height: int, width: int) -> MaskArray:
    """Return the mask at ``height`` x ``width``: a pixel is set when half of it or more is covered."""
    if mask.shape == (height, width):
        return mask
    shrinks = height < mask.shape[0] or width < mask.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    cover = cv2.resize(mask.astype(np.float32), (width, height), interpolation=interpolation)
    return np.asarray(cover >= 0.5)


def resize_soft_mask(
    field: npt.NDArray[np.float32], height: int, width: int, level: float = 0.5
) -> MaskArray:
    """Return where a soft mask float32 (h, w), resized to ``height`` x ``width``, is above ``level``.

    ``field``: probabilities, or log odds with ``level`` 0. The field itself is resized, bilinearly with the centres of
    the pixels half a pixel from their corners, so that the outline falls between the pixels of the small mask.
    """
    shrinks = height < field.shape[0] or width < field.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(field, (width, height), interpolation=interpolation) > level)


def largest_component(mask: MaskArray) -> MaskArray:
    """Return the largest 8-connected piece (the first in raster order among equals); empty stays empty."""
    labels, areas = _components(mask)
    return labels == 1 + int(np.argmax(areas)) if areas.size else np.zeros_like(mask)


def remove_specks(mask: MaskArray, minimum_area: int) -> MaskArray:
    """Return the mask without its 8-connected pieces of fewer than ``minimum_area`` pixels."""
    labels, areas = _components(mask)
    return np.asarray(np.concatenate(([False], areas >= minimum_area))[labels])


def fill_holes(mask: MaskArray, maximum_area: int) -> MaskArray:
    """Return the mask with its holes of at most ``maximum_area`` pixels filled.

    A hole is a 4-connected piece of background that does not touch the border of the image.
    """
    labels, areas = _components(~mask, connectivity=4)
    small = np.concatenate(([False], areas <= maximum_area))
    border = np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    small[border] = False
    return np.asarray(mask | small[labels])


def clean_mask(mask: MaskArray, *, speck_share: float = 0.02, hole_share: float = 0.02) -> MaskArray:
    """Return the mask without specks and small holes: pieces and holes smaller than these shares of its area.

    Only the mask's box is looked at, so that a small object costs little in a large image.
    """
    box = mask_box(mask)
    if box is None:
        return mask
    x0, y0, x1, y1 = box
    inside = mask[y0:y1, x0:x1]
    area = int(np.count_nonzero(inside))
    # A rim of background joins what lies outside the box: only true holes are closed in.
    kept = np.pad(remove_specks(inside, math.ceil(speck_share * area)), 1)
    cleaned = np.zeros_like(mask)
    cleaned[y0:y1, x0:x1] = fill_holes(kept, math.floor(hole_share * area))[1:-1, 1:-1]
    return cleaned


def _components(
    mask: MaskArray, connectivity: int = 8
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return labels int32 (H, W), 0 = unset, and the areas of labels 1, 2, ... in pixels."""
    pixels = mask.astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(pixels, connectivity=connectivity)
    return np.asarray(labels, np.int32), np.asarray(statistics[1:, cv2.CC_STAT_AREA], np.int32)
