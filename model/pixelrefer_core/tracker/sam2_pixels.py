"""Between the camera's pixels and SAM 2's: the picture is squashed to a square; masks have a quarter of its side."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ..types import ImageArray, MaskArray, Prompt
from .sam2_network import PointPrompt

# Mean and standard deviation of the pictures that the image encoder was trained on (ImageNet), red, green, blue.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BESIDE, ON, CORNER, FAR_CORNER = 0, 1, 2, 3


def to_pixels(image: ImageArray, size: int, device: torch.device) -> torch.Tensor:
    """Return an RGB image (H, W, 3) as the encoder wants it: float32 (3, size, size), normalised."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None]
    if pixels.shape[-2:] != (size, size):
        # Only the CPU resizes bytes as bytes; rounding makes the two alike.
        source = pixels if device.type == 'cpu' else pixels.float()
        resized = F.interpolate(source, (size, size), mode='bilinear', align_corners=False, antialias=True)
        pixels = resized.float().round().clamp(0, 255)
    mean, deviation = (torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, DEVIATION))
    return (pixels[0].float() / 255 - mean) / deviation


def to_mask_input(mask: MaskArray, size: int, device: torch.device) -> torch.Tensor:
    """Return a mask prompt (H, W) as float32 (1, 1, size, size) of 0 and 1; one with pixels never becomes empty."""
    cover = torch.from_numpy(mask.astype(np.float32)).to(device)[None, None]
    cover = F.interpolate(cover, (size, size), mode='bilinear', align_corners=False, antialias=True)
    # A mask thinner than a pixel of the square keeps its best covered pixels.
    return (cover >= min(0.5, float(cover.max()))).float()


def to_point_prompt(prompt: Prompt, height: int, width: int, size: int, device: torch.device) -> PointPrompt:
    """Return a box and points, in pixels of an image of this height and width, as points of the square input."""
    points: list[tuple[float, float]] = []
    labels: list[int] = []
    if prompt.box_xyxy is not None:
        x0, y0, x1, y1 = prompt.box_xyxy
        points, labels = [(x0, y0), (x1, y1)], [CORNER, FAR_CORNER]
    if prompt.points is not None:
        on = np.ones(len(prompt.points), np.bool_) if prompt.point_labels is None else prompt.point_labels
        points += [(float(x), float(y)) for x, y in prompt.points]
        labels += [ON if label else BESIDE for label in on]
    scale = torch.tensor([size / width, size / height], device=device)
    return PointPrompt(
        torch.tensor(points, dtype=torch.float32, device=device)[None, None] * scale,
        torch.tensor(labels, dtype=torch.int32, device=device)[None, None],
    )


def to_mask(logits: npt.NDArray[np.float32], height: int, width: int) -> MaskArray:
    """Return mask logits (h, w) as a mask of the camera's size: interpolated first, then cut at zero."""
    if not (logits > 0).any():
        return np.zeros((height, width), np.bool_)
    full = cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full > 0)
