"""Teaches the tokens of an object which way it has gone since the frame before, from no labels but its masks.

"What is it doing?" asks for the difference of two places on two frames, which nothing in a single frame's tokens tells.
Answers alone left a small model guessing for thousands of clips. So the last token of each object's frame, which has
seen all of them, is asked after the second layer for the way that the object's mask has gone in the picture; a word
stands for each way. And since it takes thousands of clips to look at the right tokens for that, attention in the first
layer is asked to go to those of the same object on the frame before, and to those of its own frame, since each of these
has a place of its own. ``T`` object tokens of a batch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.types import MaskArray, ObjectView

from .guide import Compared, Watched
from .packing import PackedBatch

Point = npt.NDArray[np.float64]
# Down in the picture is towards a camera that looks from above.
WAYS = ('still', 'left', 'right', 'towards', 'away')
UNKNOWN = -1
NO_VIEW = -1  # of tokens that are no object's
# Shares of the picture's width that the middle of a mask goes from frame to frame: less is rest, more is motion, the
# larger part of it this many times the other.
_REST, _MOTION, _RATIO = 0.003, 0.008, 1.5
_LAYER = 1
_SCALE = 5.0  # scores are products of small embeddings


def ways_of(views: Sequence[ObjectView]) -> tuple[int, ...]:
    """Return for each view of one object the number of its way among :data:`WAYS`, or :data:`UNKNOWN`."""
    middles = [middle(view.mask) for view in views]
    return (UNKNOWN, *(_way(now - then) for then, now in itertools.pairwise(middles)))[: len(views)]


def number_views(counts: Sequence[int]) -> tuple[int, ...]:
    """Number the object-frames of objects with so many each; a number is left out before each object's first.

    So the frame before has the number before, or none has it.
    """
    ends = itertools.accumulate(counts, lambda end, count: end + count + 1, initial=0)
    return tuple(
        end + number for end, count in zip(ends, counts, strict=False) for number in range(1, count + 1)
    )


def middle(mask: MaskArray) -> Point:
    """Return the middle of the box around a mask, right and down, in widths of the picture."""
    spans = [np.flatnonzero(mask.any(axis=axis)) for axis in (0, 1)]
    return np.array([(span[0] + span[-1]) / 2 if len(span) else np.nan for span in spans]) / mask.shape[1]


def _way(step: Point) -> int:
    across, down = (float(part) for part in step)
    size = np.hypot(across, down)
    if size < _REST:
        return WAYS.index('still')
    if not size > _MOTION or max(abs(across), abs(down)) < _RATIO * min(abs(across), abs(down)):
        return UNKNOWN
    if abs(across) > abs(down):
        return WAYS.index('left' if across < 0 else 'right')
    return WAYS.index('away' if down < 0 else 'towards')


class Travel:
    """Watches the first two layers of a language model and scores what object tokens know of their object's way."""

    def __init__(self, model: PixelRefer) -> None:
        """Raises :class:`InvalidRequestError` when the tokenizer cuts words for ways, or layers are too few."""
        ids = [model.token_ids(f' {way}') for way in WAYS]
        if any(len(pieces) != 1 for pieces in ids):
            raise InvalidRequestError(
                f'travel needs a tokenizer in which {", ".join(WAYS)} are one token each: that of a nano model'
            )
        self._words = torch.tensor([pieces[0] for pieces in ids], device=model.device)
        self._hidden = Watched(model, [_LAYER])
        self._finding = Compared(model, 0)
        self._table: nn.Embedding = model.language_model.model.get_input_embeddings()
        self._norm = model.language_model.model.model.norm

    def loss(self, rows: PackedBatch, embeds: torch.Tensor) -> torch.Tensor:
        """Return the sum of both losses, each a mean, 0 without any; ``embeds`` gives its kind."""
        return self.telling(rows, embeds) + self.finding(rows)

    def telling(self, rows: PackedBatch, embeds: torch.Tensor) -> torch.Tensor:
        """Return the mean over tokens, in which each way counts as the root of how often it occurs."""
        known = (rows.ways != UNKNOWN) & is_last(rows)
        ways = rows.ways[known]
        if not len(ways):
            return embeds.new_zeros(())
        hidden = self._norm(self._hidden[_LAYER][rows.places[known]])
        scores = _SCALE * (hidden @ self._table.weight[self._words].T).float()
        return functional.cross_entropy(scores, ways, weight=weigh_ways(ways).to(scores))

    def finding(self, rows: PackedBatch) -> torch.Tensor:
        """Return how far attention is from the mean over a frame: KL divergence, mean over tokens and heads.

        In the first head of each group over the frame before, in the second over its own. Objects come before all
        questions, so each token sees what precedes it.
        """
        losses = []
        samples, ends = rows.samples[rows.places], is_last(rows)
        for sample in samples.unique():
            own = samples == sample
            places, views = rows.places[own], rows.views[own]
            sources, of = places[ends[own]], views[ends[own]]
            begin = int(torch.searchsorted(rows.samples, sample))
            seen = torch.arange(begin, int(places[-1]) + 1, device=places.device)  # (K)
            key_views = torch.full_like(seen, NO_VIEW).index_copy(0, places - begin, views)
            has_before = torch.isin(of - 1, of)
            sources, of = sources[has_before], of[has_before]
            if not len(of):
                continue
            is_later = (seen > sources[:, None])[..., None]
            for head, wanted in enumerate((of - 1, of)):
                scores = self._finding.scores(rows, sources, seen, head=head)  # (Q, K, groups)
                chances = scores.masked_fill(is_later, -math.inf).log_softmax(dim=1)
                right = (key_views == wanted[:, None])[..., None]
                counts = right.sum(dim=1)
                surprise = -chances.masked_fill(~right, 0.0).sum(dim=1) / counts - counts.log()
                losses.append(surprise.flatten())
        return torch.cat(losses).mean() if losses else rows.weights.new_zeros(())

    def close(self) -> None:
        """Watch no longer."""
        self._hidden.close()
        self._finding.close()


def weigh_ways(ways: torch.Tensor) -> torch.Tensor:
    """Return weights (5) of ways that are inverse to the roots of how often they occur.

    Most objects stand still most of the time; but were all ways alike, rest would hardly ever be said.
    """
    return torch.bincount(ways, minlength=len(WAYS)).clamp(min=1).float().rsqrt()


def is_last(rows: PackedBatch) -> torch.Tensor:
    """Return which placeholders are the last ones of an object's frame, which have seen all of it."""
    following = functional.pad(rows.views[1:], (0, 1), value=NO_VIEW)
    return (rows.views != NO_VIEW) & (following != rows.views)
