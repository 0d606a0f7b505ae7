"""Teaches the names in questions to find how their objects move at the beginning and at the end of a video.

Object tokens come to know which way their object goes (:mod:`.travel`), and what a name means is found
(:mod:`.binding`), yet questions about motion stay guesses for hours: of all the tokens of an object a single one tells
how it moves at the end. So attention in the third layer is asked to go there from each name, and in another head to
the second frame, the first that shows a way; then the name is asked for the way at the end. An object that is alone
in a prompt may have no name; for it the token before the answer is asked. ``A`` askers, ``F`` object-frames of a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.pixelrefer import PixelRefer

from .guide import Compared, Watched
from .packing import PackedBatch
from .tokenizer import OBJECT_NAMES
from .travel import UNKNOWN, WAYS, is_last, weigh_ways

_LAYER = 2
_SCALE = 5.0  # scores are products of small embeddings
# One group of heads does this; the others are free.
_GROUP = 0


@dataclass(frozen=True, eq=False)
class Recalled:
    """Who recalls what. ``askers`` (A): places in the batch; ``early``, ``late`` (A): the last tokens of its object's

    second frame and last frame; ``ways`` (A): on the latter, :data:`UNKNOWN` where it is not clear.
    """

    askers: torch.Tensor
    early: torch.Tensor
    late: torch.Tensor
    ways: torch.Tensor


def find_recalled(rows: PackedBatch, name_ids: torch.Tensor) -> Recalled:
    """Find what is asked of objects that are seen on two frames or more; ``name_ids``: of names, ascending."""
    ends, ways, first, last = _objects(rows)
    ids, samples = rows.ids, rows.samples
    place = torch.arange(len(ids), device=ids.device)
    is_name, count = torch.isin(ids, name_ids), len(name_ids)
    latest = torch.where(is_name, place, -1).cummax(0).values[ends[first]]
    named = (latest >= 0) & (samples[latest.clamp(min=0)] == samples[ends[first]])
    number = torch.searchsorted(name_ids, ids).clamp(max=count - 1)  # of those tokens that are names
    # Keys of objects ascend with their places; nameless ones have the number after all names.
    keys = samples[ends[first]] * (count + 1) + torch.where(named, number[latest.clamp(min=0)], count)
    after = place > _end_of_objects(rows)[samples]
    begins = torch.searchsorted(rows.owners, rows.owners.unique())
    nameless = torch.zeros_like(is_name).index_fill(0, rows.sources[begins], True) & ~is_name
    askers = (after & (is_name | nameless)).nonzero()[:, 0]
    wanted = samples[askers] * (count + 1) + torch.where(is_name[askers], number[askers], count)
    found = torch.searchsorted(keys, wanted).clamp(max=max(len(keys) - 1, 0))
    if not len(keys):
        return Recalled(*[askers[:0]] * 4)
    known = (keys[found] == wanted) & (last > first)[found]
    askers, found = askers[known], found[known]
    return Recalled(askers, ends[first[found] + 1], ends[last[found]], ways[last[found]])


def _objects(rows: PackedBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the last token of each object-frame and its way (F), and of each object the first and last of these."""
    chosen = is_last(rows)
    ends, views, ways = rows.places[chosen], rows.views[chosen], rows.ways[chosen]
    samples = rows.samples[ends]
    begins = functional.pad((views.diff() != 1) | (samples.diff() != 0), (1, 0), value=True)[: len(ends)]
    first = begins.nonzero()[:, 0]
    last = torch.cat([first[1:] - 1, first.new_full((min(len(first), 1),), len(ends) - 1)])
    return ends, ways, first, last


def _end_of_objects(rows: PackedBatch) -> torch.Tensor:
    """Return the last placeholder of each sample, -1 without any."""
    ends = torch.full((int(rows.samples[-1]) + 1,), -1, device=rows.ids.device)
    return ends.scatter_reduce(0, rows.samples[rows.places], rows.places, 'amax')


class Recall:
    """Watches the third layer of a language model and scores how names find their objects' ways."""

    def __init__(self, model: PixelRefer) -> None:
        """Raises :class:`InvalidRequestError` when the tokenizer cuts names or ways, or a group has one head."""
        names = [model.tokenizer.convert_tokens_to_ids(name) for name in OBJECT_NAMES]
        ways = [model.token_ids(f' {way}') for way in WAYS]
        if None in names or len(set(names)) < len(names) or any(len(pieces) != 1 for pieces in ways):
            raise InvalidRequestError(
                f'recall needs a tokenizer in which {OBJECT_NAMES[0]} and {", ".join(WAYS)} are one token each: '
                'that of a nano model'
            )
        decoder = model.language_model.model.model
        self._finding, self._hidden = Compared(model, _LAYER), Watched(model, [_LAYER])
        if decoder.layers[_LAYER].self_attn.num_key_value_groups < 2:
            raise InvalidRequestError(
                'recall: the beginning and the end are looked at by two heads of a group'
            )
        self._names = torch.tensor(sorted(names), device=model.device)
        self._words = torch.tensor([pieces[0] for pieces in ways], device=model.device)
        self._table: nn.Embedding = model.language_model.model.get_input_embeddings()
        self._norm = decoder.norm

    def loss(self, rows: PackedBatch, embeds: torch.Tensor) -> torch.Tensor:
        """Return the sum of both losses, each a mean, 0 without any; ``embeds`` gives its kind."""
        recalled = find_recalled(rows, self._names)
        if not len(recalled.askers):
            return embeds.new_zeros(())
        return self.finding(rows, recalled) + self.telling(recalled, embeds)

    def telling(self, recalled: Recalled, embeds: torch.Tensor) -> torch.Tensor:
        """Return the mean over askers, in which each way counts as the root of how often it occurs."""
        known = recalled.ways != UNKNOWN
        ways = recalled.ways[known]
        if not len(ways):
            return embeds.new_zeros(())
        hidden = self._norm(self._hidden[_LAYER][recalled.askers[known]])
        scores = _SCALE * (hidden @ self._table.weight[self._words].T).float()
        return functional.cross_entropy(scores, ways, weight=weigh_ways(ways).to(scores))

    def finding(self, rows: PackedBatch, recalled: Recalled) -> torch.Tensor:
        """Return -log of the share of attention that goes to the right token, mean over askers and both heads.

        Of that to the asker itself and to what all questions of a sample share.
        """
        losses = []
        samples, ends = rows.samples[recalled.askers], _end_of_objects(rows)
        for sample in samples.unique():
            own = samples == sample
            askers = recalled.askers[own]
            begin = int(torch.searchsorted(rows.samples, sample))
            shared = torch.arange(begin, int(ends[sample]) + 1, device=askers.device)
            of_others = ~torch.eye(len(askers), dtype=torch.bool, device=askers.device)
            hidden = functional.pad(of_others, (len(shared), 0), value=False)
            seen = torch.cat([shared, askers])
            for head, wanted in enumerate((recalled.late[own], recalled.early[own])):
                scores = self._finding.scores(rows, askers, seen, head=head)[..., _GROUP]  # (Q, K)
                scores = scores.masked_fill(hidden, -math.inf)
                losses.append(functional.cross_entropy(scores, wanted - begin, reduction='none'))
        return torch.cat(losses).mean()

    def close(self) -> None:
        """Watch no longer."""
        self._hidden.close()
        self._finding.close()
