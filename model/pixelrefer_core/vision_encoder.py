"""The vision encoder: a NaViT that sees pictures of any size, many in one call.

Wraps ``VideoLlama3VisionModel`` of transformers, which equals the official tower to the last bit and, unlike
it, also runs without flash-attention. ``T`` patches of all pictures, ``C`` channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import VideoLlama3VisionConfig, VideoLlama3VisionModel
from transformers.models.video_llama_3.modeling_video_llama_3 import VideoLlama3VisionRotaryEmbedding

from .geometry import PATCH, Grid
from .model_config import VisionConfig

# Patches that go through the layers together: on a CPU as many as its cache holds well, on a GPU as its memory.
AT_ONCE = {'cpu': 2048, 'cuda': 65536}


class PatchEmbedding(nn.Conv2d):
    """A convolution whose windows do not overlap, as the one matrix product that it is: on a CPU far faster."""

    def __init__(self, channels: int) -> None:
        super().__init__(3, channels, PATCH, PATCH)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Embed patches (T, 3, 14, 14); returns (T, C, 1, 1)."""
        embedded = functional.linear(patches.flatten(1), self.weight.flatten(1), self.bias)
        return embedded[..., None, None]


class VisionEncoder(nn.Module):
    """Patches to features; attention stays inside each picture, so pictures do not influence one another."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self._settings = VideoLlama3VisionConfig(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            layer_norm_eps=config.layer_norm_eps,
            patch_size=PATCH,
            attn_implementation='sdpa',
        )
        self.model = VideoLlama3VisionModel(self._settings)
        self.model.embeddings.patch_embedding = PatchEmbedding(config.hidden_size)

    def forward(self, patches: torch.Tensor, grids: Sequence[Grid], merges: Sequence[int]) -> torch.Tensor:
        """Encode pictures.

        ``patches``: (T, 588), the pictures one after the other. ``grids``: their sizes in patches.
        ``merges``: 1, or the side of the blocks whose features are averaged into one.
        Returns (sum of h * w / merge**2, C), last layer after the final norm, row-major within a picture.
        """
        limit = AT_ONCE.get(patches.device.type, AT_ONCE['cuda'])
        encoded, start = [], 0
        for group in _groups([grid.cells for grid in grids], limit):
            count = sum(grid.cells for grid in grids[group])
            encoded.append(self._encode(patches[start : start + count], grids[group], merges[group]))
            start += count
        return torch.cat(encoded)

    def _encode(self, patches: torch.Tensor, grids: Sequence[Grid], merges: Sequence[int]) -> torch.Tensor:
        sizes = torch.tensor([(1, *grid) for grid in grids], dtype=torch.int64)
        sides = torch.tensor(list(merges), dtype=torch.int64)
        # The sizes stay on the host: the model reads them there, and a device tensor would cost a sync each.
        features: torch.Tensor = self.model(
            pixel_values=patches,
            grid_thw=sizes,
            merge_sizes=sides,
            position_ids=_patch_positions(grids, merges).to(patches.device, non_blocking=True),
            **self._bounds(patches.device, grids),
        ).last_hidden_state
        return features

    def _bounds(self, device: torch.device, grids: Sequence[Grid]) -> dict[str, Any]:
        """Where pictures begin, for flash-attention, which wants it on the device; computed here without a sync."""
        if self.model.config._attn_implementation == 'sdpa':
            return {}
        lengths = [grid.cells for grid in grids]
        starts = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32)
        return {'cu_seqlens': starts.to(device, non_blocking=True), 'max_seqlen': max(lengths)}

    def reset_rotary(self, device: torch.device) -> None:
        """Compute the rotary frequencies anew, in float32 whatever the precision of the weights."""
        self.model.rotary_pos_emb = VideoLlama3VisionRotaryEmbedding(self._settings).to(device)


def _groups(sizes: Sequence[int], limit: int) -> list[slice]:
    """Split pictures of these sizes, in order, into groups of at most ``limit``; a larger one stands alone."""
    groups, start, filled = [], 0, 0
    for index, size in enumerate(sizes):
        if index > start and filled + size > limit:
            groups.append(slice(start, index))
            start, filled = index, 0
        filled += size
    return [*groups, slice(start, len(sizes))]


def _patch_positions(grids: Sequence[Grid], merges: Sequence[int]) -> torch.Tensor:
    """Return row and column of every patch, (T, 2), in the block order of :func:`.preprocess.to_patches`."""
    positions = []
    for (rows, columns), merge in zip(grids, merges, strict=True):
        grid = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing='ij'), dim=-1)
        blocks = grid.view(rows // merge, merge, columns // merge, merge, 2)
        positions.append(blocks.transpose(1, 2).reshape(-1, 2))
    return torch.cat(positions)
