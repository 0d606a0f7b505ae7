"""From a box or points to the mask of what they point at, without a trained model: GrabCut on a small image."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from ..masks import largest_component, resize_mask
from ..types import ImageArray, MaskArray, Prompt

# GrabCut's time grows with the pixels: the image is shrunk to at most so many rows.
ROWS = 240
ITERATIONS = 4
# Colours within this distance (Lab, 0-255) of a clicked pixel may belong to the object.
CLICK_RANGE = (28, 14, 14)
# Shares of a box that GrabCut must leave to be believed.
BELIEVED = (0.1, 0.98)


def prompt_mask(prompt: Prompt, image: ImageArray) -> MaskArray:
    """Return the mask, bool (H, W), of a checked prompt on an RGB image (H, W, 3); never empty."""
    if prompt.mask is not None:
        return prompt.mask
    height, width = image.shape[:2]
    scale = min(1.0, ROWS / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    labels = (
        _box_labels(prompt, small.shape, scale) if prompt.box_xyxy else _click_labels(prompt, small, scale)
    )
    before = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    _add_points(labels, prompt, scale)
    found = _grab_cut(small, labels)
    believed = (
        BELIEVED[0] * before.sum() <= found.sum() <= (BELIEVED[1] if prompt.box_xyxy else 4) * before.sum()
    )
    chosen = resize_mask(largest_component(found) if believed else before, height, width)
    return chosen if chosen.any() else resize_mask(before, height, width) | _marked(prompt, (height, width))


def _box_labels(prompt: Prompt, shape: tuple[int, ...], scale: float) -> npt.NDArray[np.uint8]:
    labels = np.full(shape[:2], cv2.GC_BGD, np.uint8)
    assert prompt.box_xyxy is not None
    x0, y0, x1, y1 = (value * scale for value in prompt.box_xyxy)
    rows = slice(int(y0), max(int(np.ceil(y1)), int(y0) + 1))
    columns = slice(int(x0), max(int(np.ceil(x1)), int(x0) + 1))
    labels[rows, columns] = cv2.GC_PR_FGD
    return labels


def _click_labels(prompt: Prompt, image: ImageArray, scale: float) -> npt.NDArray[np.uint8]:
    """Probable object: what is joined to a clicked pixel and has a colour like it."""
    smooth = cv2.cvtColor(cv2.bilateralFilter(image, 7, 30, 5), cv2.COLOR_RGB2LAB)
    flood = np.zeros((image.shape[0] + 2, image.shape[1] + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (1 << 8)
    for (x, y), on_object in _points(prompt, scale):
        if on_object:
            cv2.floodFill(smooth, flood, (x, y), 0, CLICK_RANGE, CLICK_RANGE, flags)
    region = flood[1:-1, 1:-1]
    around = cv2.dilate(region, np.ones((9, 9), np.uint8))
    labels = np.full(region.shape, cv2.GC_BGD, np.uint8)
    labels[around > 0] = cv2.GC_PR_BGD
    labels[region > 0] = cv2.GC_PR_FGD
    return labels


def _add_points(labels: npt.NDArray[np.uint8], prompt: Prompt, scale: float) -> None:
    for (x, y), on_object in _points(prompt, scale):
        cv2.circle(labels, (x, y), 2, cv2.GC_FGD if on_object else cv2.GC_BGD, -1)


def _points(prompt: Prompt, scale: float) -> list[tuple[tuple[int, int], bool]]:
    if prompt.points is None:
        return []
    labels = np.ones(len(prompt.points), np.bool_) if prompt.point_labels is None else prompt.point_labels
    return [
        ((int(x * scale), int(y * scale)), bool(label))
        for (x, y), label in zip(prompt.points, labels, strict=True)
    ]


def _grab_cut(image: ImageArray, labels: npt.NDArray[np.uint8]) -> MaskArray:
    is_object = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    # Its colour models need pixels of both kinds.
    if not is_object.any() or is_object.all():
        return is_object
    cv2.setRNGSeed(0)
    unused_box = (0, 0, 1, 1)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cut, *_ = cv2.grabCut(image, labels.copy(), unused_box, *models, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return np.asarray((cut == cv2.GC_FGD) | (cut == cv2.GC_PR_FGD))


def _marked(prompt: Prompt, shape: tuple[int, int]) -> MaskArray:
    """The prompted pixels themselves, at full size: what is left when the small image shows nothing."""
    marked = np.zeros(shape, np.uint8)
    if prompt.box_xyxy is not None:
        x0, y0, x1, y1 = prompt.box_xyxy
        marked[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = 1
    for (x, y), on_object in _points(prompt, 1.0):
        cv2.circle(marked, (x, y), 2, int(on_object), -1)
    return marked > 0
