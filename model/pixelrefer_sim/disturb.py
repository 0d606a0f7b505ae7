"""What a tracker gets wrong, and what a camera does: masks and pictures that are a little off, as on a robot."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from pixelrefer_core.masks import mask_box
from pixelrefer_core.types import ImageArray, MaskArray

Rng = np.random.Generator

_MOST_PX = 3
# The colours of objects keep their names under these.
_WHITE_BALANCE, _EXPOSURE = 0.06, 0.15
_BLUR_SHARE, _JPEG_SHARE = 0.25, 0.1
_NEGATIVE_SHARE, _GREY_SHARE = 0.25, 0.25


def disturb_mask(mask: MaskArray, rng: Rng) -> MaskArray:
    """Return the mask eroded, dilated, shifted, with a part missing or with a piece of its surroundings.

    One of these at random; a mask that would be lost for the better part is returned as it is.
    """
    box = mask_box(mask)
    if box is None:
        return mask
    x1, y1, x2, y2 = box
    pad = 2 * _MOST_PX
    top, left = max(y1 - pad, 0), max(x1 - pad, 0)
    part = mask[top : y2 + pad, left : x2 + pad]
    kind = int(rng.integers(5))
    changed = (_grown, _shrunk, _shifted, _cut, _spilt)[kind](part.astype(np.uint8), rng)
    if 2 * np.count_nonzero(changed) < np.count_nonzero(part):
        return mask
    result = mask.copy()
    result[top : y2 + pad, left : x2 + pad] = changed
    return result


class Look:
    """One look of a camera: drawn once, then applied to every frame of a clip."""

    def __init__(self, rng: Rng) -> None:
        gains = rng.uniform(1 - _EXPOSURE, 1 + _EXPOSURE) * rng.uniform(
            1 - _WHITE_BALANCE, 1 + _WHITE_BALANCE, 3
        )
        levels = np.arange(256)[:, None] * gains
        self._table = np.clip(np.round(levels), 0, 255).astype(np.uint8)[None]
        self._blur = float(rng.uniform(0.4, 0.9)) if rng.random() < _BLUR_SHARE else 0.0
        self._quality = int(rng.integers(45, 90)) if rng.random() < _JPEG_SHARE else 0

    def apply(self, image: ImageArray) -> ImageArray:
        """Return the image, uint8 RGB (H, W, 3), as this camera takes it."""
        seen: Any = cv2.LUT(image, self._table)
        if self._blur:
            seen = cv2.GaussianBlur(seen, (0, 0), self._blur)
        if self._quality:
            coded = cv2.imencode('.jpg', seen, (cv2.IMWRITE_JPEG_QUALITY, self._quality))[1]
            seen = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        return np.asarray(seen, np.uint8)


def strange_colours(image: ImageArray, rng: Rng) -> ImageArray:
    """Return uint8 RGB (H, W, 3) in colours that nothing has: hues turned, grey or negative; shapes stay.

    Who learns shapes from it cannot learn them by their colours.
    """
    seen: Any = 255 - image if rng.random() < _NEGATIVE_SHARE else image
    if rng.random() < _GREY_SHARE:
        seen = cv2.cvtColor(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    else:
        hsv = cv2.cvtColor(seen, cv2.COLOR_RGB2HSV_FULL)
        hsv[..., 0] += np.uint8(rng.integers(256))  # the circle of hues closes at 256
        seen = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
    return np.asarray(seen, np.uint8)


def _disc(rng: Rng) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    size = 2 * int(rng.integers(1, _MOST_PX + 1)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def _grown(part: ImageArray, rng: Rng) -> MaskArray:
    return np.asarray(cv2.dilate(part, _disc(rng)) > 0)


def _shrunk(part: ImageArray, rng: Rng) -> MaskArray:
    return np.asarray(cv2.erode(part, _disc(rng)) > 0)


def _shifted(part: ImageArray, rng: Rng) -> MaskArray:
    dx, dy = rng.integers(-_MOST_PX, _MOST_PX + 1, 2).tolist()
    move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    return np.asarray(cv2.warpAffine(part, move, part.shape[::-1], flags=cv2.INTER_NEAREST) > 0)


def _cut(part: ImageArray, rng: Rng) -> MaskArray:
    """Drop what lies beyond a line at random, up to 40 % of the mask."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.nonzero(part)
    along = rows * np.sin(angle) + columns * np.cos(angle)
    kept = along <= np.quantile(along, rng.uniform(0.6, 0.95))
    result = np.zeros(part.shape, np.bool_)
    result[rows[kept], columns[kept]] = True
    return result


def _spilt(part: ImageArray, rng: Rng) -> MaskArray:
    """Add a disc somewhere on the border."""
    rows, columns = np.nonzero(part)
    place = int(rng.integers(len(rows)))
    radius = max(2, round(0.25 * len(rows) ** 0.5))
    result = part.copy()
    cv2.circle(result, (int(columns[place]), int(rows[place])), radius, 1, cv2.FILLED)
    return np.asarray(result > 0)
