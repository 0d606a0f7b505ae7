"""How well a model follows the clips that are kept back from its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .sam2_batches import PROMPT_PX, ClipBatch, Piece, disturbed, make_batch, promptable, resize_frames
from .sam2_clips import RenderedClip
from .sam2_losses import mask_overlap
from .sam2_prompts import KINDS
from .sam2_recipe import Sam2Validation
from .sam2_steps import Sam2Student


@dataclass(frozen=True)
class TrackingScore:
    """``overlap``: mean intersection over union, 1 where nothing is and nothing is said to be, over all frames but
    the prompted one. ``prompted``: the same on prompted frames, boxes and points only. ``returned``: overlap on
    the frames on which an object is seen that was hidden before. ``seen`` and ``gone``: shares of right answers to
    "is it there", where it is and where it is not.
    """

    overlap: float
    prompted: float
    returned: float
    seen: float
    gone: float

    @property
    def total(self) -> float:
        """What the best checkpoint is chosen by; masks and answers count alike, and so do both answers."""
        return (self.overlap + (self.seen + self.gone) / 2) / 2


def validation_batches(clips: Sequence[RenderedClip], settings: Sam2Validation) -> list[ClipBatch]:
    """Cut the same frames out of the first clips every time, as they are and disturbed, each in a batch of its own.

    A clip without a promptable object is left out.
    """
    batches = []
    for number, clip in enumerate([clip for clip in clips if clip.frames > 1][: settings.clips]):
        indices = range(0, clip.frames, settings.stride)[: settings.frames]
        piece = resize_frames([clip.read(index) for index in indices], settings.image_size)
        chosen = promptable(piece.covers[0])[: settings.objects]
        if len(chosen):
            piece = Piece(piece.pictures, piece.covers[:, chosen])
            harder = disturbed(piece, settings.objects, np.random.default_rng(number))
            batches += [make_batch([item]) for item in (piece, harder) if item.covers.shape[1]]
    return batches


@torch.inference_mode()
def validate_tracking(student: Sam2Student, batches: Sequence[ClipBatch]) -> TrackingScore:
    """Follow all batches; prompts of all kinds in turn."""
    overlaps, prompted, returned, seen, gone = [], [], [], [], []
    for number, batch in enumerate(batches):
        kind = KINDS[number // 2 % len(KINDS)]
        was_hidden = torch.zeros(len(batch.owners), dtype=torch.bool)
        for frame, guess in enumerate(student.track(batch, kind, np.random.default_rng(number))):
            covers, masks = batch.covers[frame], guess.decoded.sharp[:, 0]
            if frame == 0:
                if kind != 'mask':
                    prompted += mask_overlap(masks, covers).tolist()
                continue
            area = (covers >= 0.5).sum(dim=(-2, -1))
            hidden, visible = area == 0, area >= PROMPT_PX
            nothing = hidden & ~(masks > 0).any(dim=-1).any(dim=-1)
            found = torch.where(nothing, 1.0, mask_overlap(masks, covers))
            overlaps += found.tolist()
            returned += found[visible & was_hidden].tolist()
            seen += (guess.scores > 0)[visible].float().tolist()
            gone += (guess.scores <= 0)[hidden].float().tolist()
            was_hidden |= hidden
    return TrackingScore(*map(_mean, (overlaps, prompted, returned, seen, gone)))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
