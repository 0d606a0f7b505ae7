"""The seeing half: from pictures to tokens of the language model's width.

``B`` object-frames, ``K`` object tokens, ``T`` patches of all pictures, ``C`` channels of the vision encoder,
``D`` width of the language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from .geometry import CELL_AREA, PATCH, Grid
from .model_config import ModelConfig
from .object_infusion import ObjectInfusion
from .object_tokenizer import ObjectTokenizer, batch_cells, resample
from .object_views import ViewPlan, fit_picture
from .preprocess import Normalizer, grid_of, to_patches
from .projector import Projector
from .scene import SceneTokens, changed_cells
from .types import ImageArray
from .vision_encoder import VisionEncoder


@dataclass(frozen=True, eq=False)
class EncodedObjects:
    """Object tokens on their way: ``clusters`` (B, K, C) after SAOT, ``tokens`` (B, K, D) when ready.

    ``filled``: how many of the K clusters hold something. ``given``: how many the language model is given.
    """

    clusters: torch.Tensor
    tokens: torch.Tensor
    filled: tuple[int, ...]
    given: tuple[int, ...]

    def unbind(self) -> list[torch.Tensor]:
        """Return the tokens of each object, (given, D)."""
        return [tokens[:count] for tokens, count in zip(self.tokens, self.given, strict=True)]


class VisualModel(nn.Module):
    """Vision encoder, object tokenizer, infusion and projectors, composed as the configuration says."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        rules, channels, width = config.rules, config.vision.hidden_size, config.language.hidden_size
        self.config = config
        self.vision_encoder = VisionEncoder(config.vision)
        self.object_tokenizer = ObjectTokenizer(channels, rules)
        self.object_infusion = (
            ObjectInfusion(channels, rules.infusion_heads) if rules.infusion_heads else None
        )
        self.object_projector = Projector(channels, width)
        # Lite never shows scenes to its language model, but its checkpoints carry the projector.
        self.scene_projector = Projector(channels, width)
        self._normalize = Normalizer(config.vision.image_mean, config.vision.image_std)

    def encode_pictures(self, pictures: Sequence[ImageArray]) -> tuple[torch.Tensor, list[Grid]]:
        """Run the vision encoder on pictures of any sizes; returns features (T, C) and the pictures' grids."""
        grids = [grid_of(picture) for picture in pictures]
        patches = self._patches([to_patches(picture) for picture in pictures])
        return self.vision_encoder(patches, grids, [1] * len(grids)), grids

    def embed_views(self, plan: ViewPlan) -> EncodedObjects:
        """Run the encoder, SAOT, infusion and projection on planned views; differentiable."""
        return self.tokenize_views(plan, *self.encode_pictures(plan.pictures))

    def tokenize_views(self, plan: ViewPlan, features: torch.Tensor, grids: Sequence[Grid]) -> EncodedObjects:
        """Run SAOT, infusion and projection on the ``features`` (T, C) of a plan's pictures; differentiable."""
        per_picture = features.split([grid.cells for grid in grids])
        count, num_tokens = len(plan.objects), self.config.rules.num_tokens
        packed, offsets = _on_mask_grids(features, per_picture[:count], grids[:count], plan)
        batch = batch_cells(plan.objects, offsets, num_tokens, plan.seeds).to(features.device)
        clusters = self.object_tokenizer(packed, batch)  # (B, K, C)
        fused = clusters
        if self.object_infusion is not None:
            split = count + len(plan.local)
            local = torch.stack(per_picture[count:split])  # (P, L, C)
            whole = torch.stack(per_picture[split:])  # (Q, G, C)
            local_of, whole_of = (
                torch.tensor(of, dtype=torch.int64).to(features.device, non_blocking=True)
                for of in (plan.local_of, plan.whole_of)
            )
            fused = self.object_infusion(clusters, local, whole, local_of, whole_of)
        filled = tuple(min(cells, num_tokens) for cells in batch.counts)
        given = (num_tokens,) * count if self.config.rules.pad_tokens else filled
        return EncodedObjects(clusters, self.object_projector(fused), filled, given)

    def embed_scene(self, images: Sequence[ImageArray], times_s: Sequence[float] | None) -> SceneTokens:
        """Encode, project and thin out a scene; ``times_s`` of a video, None for an image; differentiable."""
        merge = self.config.spatial_merge if times_s is not None else 1
        budget = self.config.max_length // len(images) * merge**2 * CELL_AREA
        pictures = [fit_picture(image, budget, factor=PATCH * merge) for image in images]
        patches = self._patches([to_patches(picture, merge) for picture in pictures])
        grids = [grid_of(picture) for picture in pictures]
        tokens = self.scene_projector(self.vision_encoder(patches, grids, [merge] * len(grids)))
        counts = tuple(grid.cells // merge**2 for grid in grids)
        frames = tokens.split(counts)
        if len(frames) > 1:
            changed = changed_cells(patches.view(len(frames), counts[0], -1))
            frames = tuple(frame[kept] for frame, kept in zip(frames, changed, strict=True))
        return SceneTokens(frames, counts, None if times_s is None else tuple(times_s))

    def _patches(self, patches: Sequence[npt.NDArray[np.uint8]]) -> torch.Tensor:
        weight = self.object_tokenizer.pos_linear.weight
        return self._normalize(patches, weight.device, weight.dtype)  # (T, 588)


def _on_mask_grids(
    features: torch.Tensor, crops: Sequence[torch.Tensor], grids: Sequence[Grid], plan: ViewPlan
) -> tuple[torch.Tensor, list[int]]:
    """Return features in which every crop has its mask's grid, and where each crop's begin.

    Only the official budget ever changes a crop's grid; its features are then resampled and appended.
    """
    offsets, start, extra = [], 0, [features]
    end = len(features)
    for crop, grid, item in zip(crops, grids, plan.objects, strict=True):
        offsets.append(start)
        start += grid.cells
        if grid != item.grid:
            offsets[-1] = end
            extra.append(resample(crop, grid, item.grid))
            end += item.grid.cells
    return (torch.cat(extra) if len(extra) > 1 else features), offsets
