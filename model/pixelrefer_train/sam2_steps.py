"""SAM 2 with gradients: prompts and tracked frames of many objects of many clips at once.

The parts are the tracker's own (:class:`Sam2Network`); only the decoding differs, since training looks at what the
tracker throws away: masks of objects that the model believes to be hidden, and how good it thinks they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import NO_OBJ_SCORE

from pixelrefer_core.tracker.sam2_memory import MemoryBank, MemoryLimits, Recall
from pixelrefer_core.tracker.sam2_network import Decoded, FrameFeatures, PointPrompt, Sam2Network

from .sam2_batches import PROMPT_PX, ClipBatch
from .sam2_prompts import Kind, point_prompts

# A mask that is taken as it is becomes logits of minus and plus this, as in SAM 2.
CERTAIN = 10.0
# Steps that a prompted frame may lie back, beyond the clip, so that long videos are nothing new.
OLDEST_PROMPT = 100


@dataclass(frozen=True, eq=False)
class Guess:
    """What the model says of N objects on one frame.

    ``logits``: (N, h, w). ``quality``: (N,), predicted overlap with the truth. ``scores``: (N,), > 0 = visible.
    ``decoded``: what the tracker would go on with.
    """

    logits: torch.Tensor
    quality: torch.Tensor
    scores: torch.Tensor
    decoded: Decoded


class Sam2Student:
    """Tracks batches of clips, differentiably. The model stays in eval mode: transformers drops outputs else."""

    def __init__(self, model: Sam2VideoModel) -> None:
        self.model = model.eval()
        self.network = Sam2Network(model)
        config = model.config
        forever = 1 << 62
        self._limits = MemoryLimits(
            maps=config.num_maskmem - 1,
            pointers=config.max_object_pointers_in_encoder - 1,
            frames=config.max_object_pointers_in_encoder - 1,
            prompts=4,
            window_ns=forever,
            hidden_ns=forever,
        )

    def encode(self, pixels: torch.Tensor) -> FrameFeatures:
        """Encode F pictures (F, 3, S, S); the features have F columns instead of one."""
        output = self.model.get_image_features(pixels, return_dict=True)
        maps, positions = output.fpn_hidden_states, output.fpn_position_encoding
        sizes = self.model.backbone_feature_sizes
        fine = tuple(
            level.permute(1, 2, 0).reshape(len(pixels), -1, *size)
            for level, size in zip(maps[:-1], sizes[:-1], strict=True)
        )
        return FrameFeatures(fine, maps[-1], positions[-1][:, :1])

    def track(
        self, batch: ClipBatch, kind: Kind, random: np.random.Generator, *, again: int = 0
    ) -> Iterator[Guess]:
        """Prompt all objects of a batch on its first frame and follow them; yields a guess for every frame.

        ``again``: a frame on which they are prompted once more, as to correct them; 0 = none.
        """
        frames, clips = batch.pixels.shape[:2]
        encoded = self.encode(batch.pixels.flatten(0, 1))
        banks = [MemoryBank(self._limits) for _ in batch.owners]
        age = int(random.integers(OLDEST_PROMPT)) if random.random() < 0.3 else 0
        for frame in range(frames):
            features = select(encoded, frame * clips + batch.owners)
            covers = batch.covers[frame]
            prompted = frame == 0 or (frame == again and all_promptable(covers))
            if prompted:
                guess = self.prompted(features, covers, kind, random)
            else:
                guess = self._followed(features, banks, age)
            yield guess
            if frame + 1 < frames:
                self._remember(features, guess.decoded, banks, frame, prompted=prompted)

    def prompted(
        self, features: FrameFeatures, covers: torch.Tensor, kind: Kind, random: np.random.Generator
    ) -> Guess:
        """Segment N objects, given prompts of one kind that are drawn from their masks (N, S, S)."""
        if kind == 'mask':
            return self._adopted(features, (covers >= 0.5).to(covers.dtype)[:, None])
        prompt = point_prompts(covers.numpy(), kind, random)
        return self._decode(features, self.network.unconditioned(features), prompt)

    def _adopted(self, features: FrameFeatures, masks: torch.Tensor) -> Guess:
        """Take masks (N, 1, S, S) as they are; what the decoder makes of them counts for the loss alone."""
        maps = features.tokens.permute(1, 2, 0).unflatten(-1, tuple(self.model.backbone_feature_sizes[-1]))
        guess = self._decode(features, maps, None, self.model.mask_downsample(masks), several=True)
        sharp = 2 * CERTAIN * masks - CERTAIN
        size = guess.logits.shape[-2:]
        logits = F.interpolate(sharp, size, mode='bilinear', align_corners=False, antialias=True)
        certain = torch.full_like(guess.decoded.scores, CERTAIN)
        decoded = Decoded(logits, sharp, guess.decoded.pointers, certain)
        return replace(guess, decoded=decoded)

    def _followed(self, features: FrameFeatures, banks: Sequence[MemoryBank], age: int) -> Guess:
        """Look for objects by what is remembered of them; those with memories of one shape share a call."""
        recalls = [_aged(bank.recall(), age) for bank in banks]
        groups: dict[tuple[int, int], list[int]] = {}
        for row, recall in enumerate(recalls):
            groups.setdefault(recall.shape, []).append(row)
        guesses = []
        for rows in groups.values():
            own = select(features, torch.tensor(rows))
            guesses.append(self._decode(own, self.network.conditioned(own, [recalls[row] for row in rows])))
        order = torch.tensor([row for rows in groups.values() for row in rows]).argsort()
        return _joined(guesses, order)

    def _decode(
        self,
        features: FrameFeatures,
        maps: torch.Tensor,
        prompt: PointPrompt | None = None,
        dense: torch.Tensor | None = None,
        *,
        several: bool = False,
    ) -> Guess:
        """Decode N coarse maps (N, C, h, w). ``prompt``: a row for each. ``dense``: masks (N, 1, S/4, S/4).

        ``several``: the best of three masks, as transformers has it for mask prompts, and for them alone.
        """
        model, count = self.model, len(maps)
        points, labels = (maps.new_zeros(count, 1, 1, 2), -torch.ones(count, 1, 1, dtype=torch.int32))
        if prompt is not None:
            points, labels = prompt.points, prompt.labels
        sparse, dense_embedding = model.prompt_encoder(points, labels, None, dense)
        masks, quality, tokens, scores = model.mask_decoder(
            image_embeddings=maps,
            image_positional_embeddings=model.get_image_wide_positional_embeddings().repeat(count, 1, 1, 1),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense_embedding,
            multimask_output=several,
            high_resolution_features=list(features.fine),
        )
        rows, best = torch.arange(count), quality[:, 0].argmax(dim=-1)
        masks, quality = masks[rows, 0, best], quality[rows, 0, best]
        share = (scores[:, 0] > 0).to(masks.dtype)  # (N, 1)
        pointers = share * model.object_pointer_proj(tokens[rows, 0, best])
        pointers = pointers + (1 - share) * model.no_object_pointer
        logits = torch.where(share[..., None, None] > 0, masks[:, None], NO_OBJ_SCORE)
        size = (self.network.image_size,) * 2
        sharp = F.interpolate(logits, size, mode='bilinear', align_corners=False)
        decoded = Decoded(logits, sharp, pointers, scores.flatten())
        return Guess(masks, quality, scores.flatten(), decoded)

    def _remember(
        self,
        features: FrameFeatures,
        decoded: Decoded,
        banks: Sequence[MemoryBank],
        frame: int,
        *,
        prompted: bool,
    ) -> None:
        """Remember the objects that seem to be there, as the tracker does."""
        rows = torch.nonzero(decoded.scores > 0)[:, 0].tolist()
        if prompted:
            rows = list(range(len(banks)))
        if not rows:
            return
        own = select(features, torch.tensor(rows))
        memories = self.network.memorise(own, decoded.select(rows), prompted=prompted)
        for row, memory in zip(rows, memories, strict=True):
            remember = banks[row].remember_prompt if prompted else banks[row].remember
            remember(memory, frame)


def select(features: FrameFeatures, columns: torch.Tensor) -> FrameFeatures:
    """Return the features of these columns, in this order; a column may be taken several times."""
    fine = tuple(level[columns] for level in features.fine)
    return FrameFeatures(fine, features.tokens[:, columns], features.positions)


def all_promptable(covers: torch.Tensor) -> bool:
    """Return whether enough is seen of every object (N, S, S) to point at it."""
    return bool(((covers >= 0.5).sum(dim=(-2, -1)) >= PROMPT_PX).all())


def _aged(recall: Recall, age: int) -> Recall:
    """Let the prompts lie further back by ``age``; among the pointers they come first."""
    prompts = sum(own == 0 for own, _ in recall.maps)
    older = tuple((own + age, memory) for own, memory in recall.pointers[:prompts])
    return Recall(recall.maps, older + recall.pointers[prompts:])


def _joined(guesses: Sequence[Guess], order: torch.Tensor) -> Guess:
    parts = [guess.decoded for guess in guesses]
    decoded = Decoded(
        torch.cat([part.logits for part in parts])[order],
        torch.cat([part.sharp for part in parts])[order],
        torch.cat([part.pointers for part in parts])[order],
        torch.cat([part.scores for part in parts])[order],
    )
    logits, quality, scores = (
        torch.cat(tensors)[order]
        for tensors in zip(*((item.logits, item.quality, item.scores) for item in guesses), strict=True)
    )
    return Guess(logits, quality, scores, decoded)
