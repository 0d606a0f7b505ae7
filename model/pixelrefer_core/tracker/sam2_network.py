"""The parts of a SAM 2 video model, each for any number of objects of one frame.

Transformers drives them object by object and keeps all that it has ever computed. Here the caller chooses how many
objects share a call and what is remembered; with one object a call, results equal transformers' to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel
from transformers.models.sam2_video.modeling_sam2_video import NO_OBJ_SCORE, get_1d_sine_pe

from .sam2_memory import Memory, Recall


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """A frame as the image encoder sees it; made once, shared by all objects.

    ``fine``: (1, C/8, S/4, S/4) and (1, C/4, S/8, S/8). ``tokens`` and ``positions``: (L, 1, C), L = (S/16)^2.
    """

    fine: tuple[torch.Tensor, ...]
    tokens: torch.Tensor
    positions: torch.Tensor


@dataclass(frozen=True, eq=False)
class Decoded:
    """Masks of N objects. ``logits``: (N, 1, S/4, S/4). ``pointers``: (N, C). ``scores``: (N,), > 0 = visible.

    ``sharp``: the logits at input size (N, 1, S, S).
    """

    logits: torch.Tensor
    sharp: torch.Tensor
    pointers: torch.Tensor
    scores: torch.Tensor

    def select(self, indices: Sequence[int]) -> Decoded:
        """Return the objects at these places."""
        chosen = list(indices)
        return Decoded(self.logits[chosen], self.sharp[chosen], self.pointers[chosen], self.scores[chosen])


@dataclass(frozen=True, eq=False)
class PointPrompt:
    """Points in pixels of the input: ``points`` (1, 1, P, 2), ``labels`` int32 (1, 1, P).

    Labels: 1 on the object, 0 beside it, 2 and 3 the first and second corner of a box.
    """

    points: torch.Tensor
    labels: torch.Tensor


class Sam2Network:
    """Runs the parts of a ``Sam2VideoModel``, ``EdgeTamVideoModel`` or ``Sam3TrackerVideoModel`` in eval mode."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.config = model.config
        self._grid = model.get_image_wide_positional_embeddings().to(model.dtype)  # (1, C, S/16, S/16)
        # Only EdgeTAM has one: it compresses the memories.
        self._perceiver = getattr(model, 'spatial_perceiver', None)
        self._positions: torch.Tensor | None = None

    @property
    def image_size(self) -> int:
        """Side of the square input, pixels."""
        return int(self.config.image_size)

    def encode(self, pixels: torch.Tensor) -> FrameFeatures:
        """Encode normalised pixels (3, S, S)."""
        output = self.model.get_image_features(pixels[None].to(self.model.dtype), return_dict=True)
        maps, positions = output.fpn_hidden_states, output.fpn_position_encoding
        sizes = self.model.backbone_feature_sizes
        fine = tuple(
            level.permute(1, 2, 0).view(1, -1, *size)
            for level, size in zip(maps[:-1], sizes[:-1], strict=True)
        )
        return FrameFeatures(fine, maps[-1], positions[-1])

    def unconditioned(self, features: FrameFeatures) -> torch.Tensor:
        """Return the coarse map (1, C, S/16, S/16) for an object of which nothing is remembered."""
        return self._to_map(features.tokens + self.model.no_memory_embedding)

    def conditioned(self, features: FrameFeatures, recalls: Sequence[Recall]) -> torch.Tensor:
        """Return coarse maps (N, C, S/16, S/16) after attention to N memories, all of one :attr:`Recall.shape`."""
        count = len(recalls)
        keys = [self._keys(recall) for recall in recalls]
        pieces = len(recalls[0].pointers) * self._pieces
        spatial = {} if self._perceiver is None else {'num_spatial_memory_tokens': len(recalls[0].maps)}
        output = self.model.memory_attention(
            current_vision_features=features.tokens.expand(-1, count, -1),
            current_vision_position_embeddings=features.positions.expand(-1, count, -1),
            memory=torch.stack([tokens for tokens, _ in keys], dim=1),
            memory_posision_embeddings=torch.stack([positions for _, positions in keys], dim=1),
            num_object_pointer_tokens=pieces,
            **spatial,
        )  # (1, N, L, C)
        side_y, side_x = self.model.backbone_feature_sizes[-1]
        return output[0].transpose(1, 2).reshape(count, -1, side_y, side_x)

    def decode(
        self,
        features: FrameFeatures,
        maps: torch.Tensor,
        prompt: PointPrompt | None = None,
        *,
        first: bool = False,
    ) -> Decoded:
        """Decode the masks of N coarse maps (N, C, S/16, S/16).

        ``prompt``: shared by all of them; None while tracking. ``first``: nothing is known of the object yet.
        """
        count = len(maps)
        prompt = prompt or self._no_prompt()
        several = self._wants_several(prompt, first)
        sparse, dense = self.model.prompt_encoder(
            input_points=prompt.points.expand(count, -1, -1, -1),
            input_labels=prompt.labels.expand(count, -1, -1),
            input_boxes=None,
            input_masks=None,
        )
        masks, quality, tokens, scores = self.model.mask_decoder(
            image_embeddings=maps,
            image_positional_embeddings=self._grid.repeat(count, 1, 1, 1),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
            high_resolution_features=[level.expand(count, -1, -1, -1) for level in features.fine],
        )
        rows = torch.arange(count, device=maps.device)
        best = quality[:, 0].argmax(dim=-1)
        is_visible = scores[:, 0] > 0  # (N, 1)
        logits = torch.where(is_visible[..., None, None], masks[rows, 0, best][:, None], NO_OBJ_SCORE)
        # Falls back to the only token where there is no choice of masks.
        pointers = self.model.object_pointer_proj(tokens[rows, 0, best.clamp(max=tokens.shape[2] - 1)])
        share = is_visible.to(pointers.dtype)
        pointers = share * pointers + (1 - share) * self.model.no_object_pointer
        return Decoded(logits, self._sharpened(logits), pointers, scores.flatten())

    def adopt(self, features: FrameFeatures, mask: torch.Tensor) -> Decoded:
        """Take a mask, float (1, 1, S, S) of 0 and 1, as what the object is; the decoder only makes its pointer."""
        # Transformers' own: prompts are few, and its layout differs between the models.
        output = self.model._use_mask_as_output(
            self._to_map(features.tokens), list(features.fine), mask.to(self.model.dtype)
        )
        pointers = output.object_pointer.reshape(1, -1)
        return Decoded(
            output.pred_masks, output.high_res_masks, pointers, output.object_score_logits.flatten()
        )

    def memorise(self, features: FrameFeatures, decoded: Decoded, *, prompted: bool) -> list[Memory]:
        """Encode N masks into memories; those of a prompt are taken as certain."""
        count = len(decoded.scores)
        cover = (decoded.sharp > 0).to(decoded.sharp.dtype) if prompted else torch.sigmoid(decoded.sharp)
        cover = cover * self.config.sigmoid_scale_for_mem_enc
        cover = cover + self.config.sigmoid_bias_for_mem_enc
        maps, positions = self.model.memory_encoder(
            self._to_map(features.tokens.expand(-1, count, -1)), cover
        )  # (N, 64, h, w) each
        hidden = self.model.occlusion_spatial_embedding_parameter
        if hidden is not None:
            share = (decoded.scores > 0).float()[:, None, None, None]
            maps = maps + ((1 - share) * hidden[..., None, None]).to(maps.dtype)
        tokens, places = self._flattened(maps, positions.to(decoded.sharp.dtype))
        # Copies: a slice would keep the whole batch alive.
        return [
            Memory(item.clone(), place, pointer.clone())
            for item, place, pointer in zip(tokens, places, decoded.pointers, strict=True)
        ]

    @property
    def _pieces(self) -> int:
        """Tokens that one object pointer is cut into."""
        return int(max(1, self.model.hidden_dim // self.model.mem_dim))

    def _flattened(
        self, maps: torch.Tensor, positions: torch.Tensor
    ) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
        """(N, 64, h, w) each -> tokens (N, L, 64) as they are stored, and N times their positions (L, 64)."""
        if self._perceiver is not None:
            # One by one: it takes no batches.
            pairs = [self._perceiver(maps[k, None], positions[k, None]) for k in range(len(maps))]
            return torch.cat([tokens for tokens, _ in pairs]), [places.flatten(0, -2) for _, places in pairs]
        if self._positions is None:
            # They depend on the size alone: all memories share one copy.
            self._positions = positions[0].flatten(1).T.clone()
        return maps.to(torch.bfloat16).flatten(2).transpose(1, 2), [self._positions] * len(maps)

    def _keys(self, recall: Recall) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what one object attends to, maps first: tokens and positions, (K, 64) each."""
        dtype = self.model.dtype
        ages = self.model.memory_temporal_positional_encoding[:, 0]  # (num_maskmem, 1, 64)
        tokens = [memory.features.to(dtype) for _, memory in recall.maps]
        # Age 0, a prompted frame, takes the last row.
        positions = [memory.positions + ages[age - 1] for age, memory in recall.maps]
        pointers = torch.stack([memory.pointer for _, memory in recall.pointers])  # (P, C)
        tokens.append(pointers.reshape(-1, self.model.mem_dim))
        positions.append(self._pointer_positions([age for age, _ in recall.pointers], pointers))
        return torch.cat(tokens), torch.cat(positions)

    def _pointer_positions(self, ages: Sequence[int], pointers: torch.Tensor) -> torch.Tensor:
        """Return the positions (P * pieces, 64) of object pointers of these ages, in ticks."""
        if not self.config.enable_temporal_pos_encoding_for_object_pointers:
            return pointers.new_zeros(len(ages) * self._pieces, self.model.mem_dim)
        farthest = float(self.config.max_object_pointers_in_encoder - 1)
        times = torch.tensor(ages, device=pointers.device, dtype=torch.float32) / farthest
        waves = get_1d_sine_pe(times, dim=self.model.hidden_dim).to(pointers.dtype)
        return self.model.temporal_positional_encoding_projection_layer(waves).repeat_interleave(
            self._pieces, dim=0
        )

    def _to_map(self, tokens: torch.Tensor) -> torch.Tensor:
        """(L, N, C) -> (N, C, h, w)."""
        return tokens.permute(1, 2, 0).view(
            tokens.shape[1], tokens.shape[2], *self.model.backbone_feature_sizes[-1]
        )

    def _sharpened(self, logits: torch.Tensor) -> torch.Tensor:
        size = (self.image_size, self.image_size)
        sharp = F.interpolate(logits.float(), size=size, mode='bilinear', align_corners=False)
        return sharp.to(logits.dtype)

    def _no_prompt(self) -> PointPrompt:
        device = self._grid.device
        return PointPrompt(
            torch.zeros(1, 1, 1, 2, dtype=self._grid.dtype, device=device),
            -torch.ones(1, 1, 1, dtype=torch.int32, device=device),
        )

    def _wants_several(self, prompt: PointPrompt, first: bool) -> bool:
        """Whether the decoder proposes several masks, of which the best is taken: while a prompt is ambiguous."""
        config, labels = self.config, prompt.labels
        points = 0 if labels.numel() == 1 and int(labels) == -1 else labels.shape[-1]
        allowed = config.multimask_output_in_sam and (first or config.multimask_output_for_tracking)
        return bool(allowed and config.multimask_min_pt_num <= points <= config.multimask_max_pt_num)
