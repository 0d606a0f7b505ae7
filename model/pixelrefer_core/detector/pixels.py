"""Pictures as zero-shot detectors take them; transformers' own processors need Pillow or torchvision for this.

Three kinds: OWLv2 pads to a square and resizes, OWL-ViT squashes to a square, Grounding DINO keeps the proportions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ..errors import ModelError
from ..preprocess import resize_bicubic
from ..types import ImageArray

Fit = Literal['pad', 'squash', 'keep']
# A checkpoint holds the numbers in the first of these files, or in the second under a key.
_FILES = (('preprocessor_config.json', ''), ('processor_config.json', 'image_processor'))


@dataclass(frozen=True)
class PixelRecipe:
    """How a picture becomes the network's input.

    ``fit``: how it is brought to its size. ``height``, ``width``: of the input; for ``keep``, the shorter side and the
    most of the longer one. ``mean``, ``deviation``: of red, green, blue, of pictures in [0, 1].
    """

    fit: Fit
    height: int
    width: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def to_pixels(self, image: ImageArray, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """Return an RGB image (H, W, 3) as the network wants it, (1, 3, h, w)."""
        if self.fit == 'pad':
            picture = torch.from_numpy(_padded(image, self.height, self.width))
        elif self.fit == 'squash':
            picture = torch.from_numpy(resize_bicubic(image, self.height, self.width)) / 255
        else:
            picture = _resized(image, *self.size_of(image)) / 255
        planes = picture.to(device).permute(2, 0, 1)[None]
        mean, deviation = (torch.tensor(x, device=device).view(3, 1, 1) for x in (self.mean, self.deviation))
        return ((planes - mean) / deviation).to(dtype)

    def size_of(self, image: ImageArray) -> tuple[int, int]:
        """Return height and width of the input that an image is made into."""
        if self.fit != 'keep':
            return self.height, self.width
        rows, columns = image.shape[:2]
        short, long = min(rows, columns), max(rows, columns)
        side = min(self.height, self.width * short / long)
        sizes = max(1, round(side)), max(1, math.floor(side * long / short))
        return sizes if rows <= columns else sizes[::-1]

    def unit_of(self, image: ImageArray) -> tuple[float, float]:
        """Return what a width and a height of 1 of the network's boxes are, in pixels of the image."""
        rows, columns = image.shape[:2]
        side = max(rows, columns)
        return (side, side) if self.fit == 'pad' else (columns, rows)


def read_recipe(folder: Path, fit: Fit) -> PixelRecipe:
    """Read how a checkpoint wants its pictures. Raises :class:`ModelError`."""
    raw = _read(folder)
    try:
        height, width = _size(raw['size'], fit)
        mean, deviation = (tuple(float(x) for x in raw[key]) for key in ('image_mean', 'image_std'))
        if min(height, width) < 1 or len(mean) != 3 or len(deviation) != 3 or not all(deviation):
            raise ValueError(f'size {height} x {width}, mean {mean}, deviation {deviation}')
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f'{folder} does not say how it wants its pictures ({error!r}): fetch it again'
        ) from error
    return PixelRecipe(fit, height, width, mean, deviation)


def _read(folder: Path) -> Mapping[str, Any]:
    for name, key in _FILES:
        try:
            raw = json.loads((folder / name).read_text(encoding='utf-8'))
            return raw[key] if key else raw
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f'{folder / name} is damaged ({error!r}): fetch it again') from error
    raise ModelError(f'{folder} has no {_FILES[0][0]}: fetch it again, with all of its .json files')


def _size(raw: Any, fit: Fit) -> tuple[int, int]:
    if isinstance(raw, Mapping):
        names = ('shortest_edge', 'longest_edge') if fit == 'keep' else ('height', 'width')
        return int(raw[names[0]]), int(raw[names[1]])
    # As old checkpoints write it: one number, or two.
    height, width = (raw, raw) if isinstance(raw, int) else raw
    return int(height), int(width)


def _padded(image: ImageArray, height: int, width: int) -> np.ndarray:
    """Pad with black, below or to the right, blur as far as shrinking asks for, resize: float32 (height, width, 3)."""
    rows, columns = image.shape[:2]
    side = max(rows, columns)
    square = np.zeros((side, side, 3), np.float32)
    np.divide(image, np.float32(255), out=square[:rows, :columns])
    sigma_y, sigma_x = ((side / size - 1) / 2 for size in (height, width))
    if min(sigma_x, sigma_y) > 0:
        kernel = (2 * math.ceil(3 * sigma_x) + 1, 2 * math.ceil(3 * sigma_y) + 1)
        square = np.asarray(cv2.GaussianBlur(square, kernel, sigma_x, sigmaY=sigma_y))
    return np.asarray(cv2.resize(square, (width, height), interpolation=cv2.INTER_LINEAR))


def _resized(image: ImageArray, height: int, width: int) -> torch.Tensor:
    """Resize bilinearly with antialiasing, uint8 (height, width, 3)."""
    planes = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    resized = F.interpolate(planes, (height, width), mode='bilinear', align_corners=False, antialias=True)
    return resized[0].permute(1, 2, 0)
