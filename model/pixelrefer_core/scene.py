"""What PixelRefer (Vision-Object) sees besides objects: an image, or a video without its repetitions.

``F`` frames, ``N`` merged cells of a frame, ``P`` pixel values of a merged cell, ``D`` language model width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

# Least mean change of a cell, in 1/255 of normalised pixel values, for its token to be kept.
CHANGE_THRESHOLD = 0.1


@dataclass(frozen=True, eq=False)
class SceneTokens:
    """Tokens of a scene. ``frames``: (n, D) for each frame. ``times_s``: of a video, None for an image.

    ``full_counts``: tokens of each frame before repeated ones were dropped.
    """

    frames: tuple[torch.Tensor, ...]
    full_counts: tuple[int, ...]
    times_s: tuple[float, ...] | None = None


def changed_cells(patches: torch.Tensor) -> torch.Tensor:
    """Tell which cells of a video differ from the frame before, bool (F, N), for ``patches`` (F, N, P).

    All cells of the first frame count; a frame without any change keeps its first cell.
    """
    change = (patches[1:] - patches[:-1]).abs().mean(dim=-1) * 255
    keep = torch.cat([torch.ones_like(patches[:1, :, 0], dtype=torch.bool), change > CHANGE_THRESHOLD])
    keep[:, 0] |= ~keep.any(dim=1)
    return keep
