"""How well a model follows the clips that are kept back from its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .sam2_batches import PROMPT_PX, ClipBatch, Piece, make_batch, promptable, resize_frames
from .sam2_clips import RenderedClip
from .sam2_losses import mask_overlap
from .sam2_prompts import KINDS
from .sam2_recipe import Sam2Validation
from .sam2_steps import Sam2Student


@dataclass(frozen=True)
class TrackingScore:
    """``overlap``: mean intersection over union, 1 where nothing is and nothing is said to be, over all frames but
    the prompted one. ``prompted``: the same on prompted frames, boxes and points only. ``seen``: share of right
    answers to "is it there".
    """

    overlap: float
    prompted: float
    seen: float


def validation_batches(clips: Sequence[RenderedClip], settings: Sam2Validation) -> list[ClipBatch]:
    """Cut the same frames out of the first clips every time; a clip without a promptable object is left out."""
    batches = []
    for clip in [clip for clip in clips if clip.frames > 1][: settings.clips]:
        indices = range(0, clip.frames, settings.stride)[: settings.frames]
        piece = resize_frames([clip.read(index) for index in indices], settings.image_size)
        chosen = promptable(piece.covers[0])[: settings.objects]
        if len(chosen):
            batches.append(make_batch([Piece(piece.pictures, piece.covers[:, chosen])]))
    return batches


@torch.inference_mode()
def validate_tracking(student: Sam2Student, batches: Sequence[ClipBatch]) -> TrackingScore:
    """Follow all batches; prompts of all kinds in turn."""
    overlaps, prompted, seen = [], [], []
    for number, batch in enumerate(batches):
        kind = KINDS[number % len(KINDS)]
        for frame, guess in enumerate(student.track(batch, kind, np.random.default_rng(number))):
            covers = batch.covers[frame]
            if frame == 0:
                if kind != 'mask':
                    prompted += mask_overlap(guess.decoded.sharp[:, 0], covers).tolist()
                continue
            truth = (covers >= 0.5).sum(dim=(-2, -1))
            nothing = (truth == 0) & ~(guess.decoded.sharp[:, 0] > 0).any(dim=-1).any(dim=-1)
            overlaps += torch.where(nothing, 1.0, mask_overlap(guess.decoded.sharp[:, 0], covers)).tolist()
            clear = (truth == 0) | (truth >= PROMPT_PX)
            seen += ((guess.scores > 0) == (truth > 0))[clear].float().tolist()
    return TrackingScore(_mean(overlaps), _mean(prompted), _mean(seen))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
