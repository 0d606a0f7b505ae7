"""Teaches a new language model which object a name means, from no labels but the prompts themselves.

"What colour is <object1>?" takes two steps of attention: the tokens of each object must come to know whose they are,
and the name in the question must find them. Answers alone teach neither for a long time, as one is of no use without
the other. So both are asked for: after the first layer each object token for the name it belongs to, and again after
the second, which would write over what later layers look for; after the second each name in a question for the content
of its object, among all objects of the batch. ``T`` tokens of a batch, ``D`` their width, ``O`` objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.pixelrefer import PixelRefer

from .guide import Watched
from .packing import PackedBatch
from .tokenizer import OBJECT_NAMES

_OWNER_LAYERS, _CONTENT_LAYER = (0, 1), 1
# What scores are multiplied by: those of names are products of small embeddings, those of contents are cosines.
_OWNER_SCALE, _CONTENT_SCALE = 5.0, 10.0


@dataclass(frozen=True, eq=False)
class Names:
    """Who is who in a batch.

    ``tokens``: bool (T), object tokens that have a name before them; ``numbers``: that name, for each of them;
    ``objects``: and which of the O objects of the batch it is. ``asked``: bool (T), names that come after all objects
    of their sample; ``wanted``: the object of each of them.
    """

    tokens: torch.Tensor
    numbers: torch.Tensor
    objects: torch.Tensor
    asked: torch.Tensor
    wanted: torch.Tensor


def find_names(rows: PackedBatch, name_ids: torch.Tensor, region_id: int) -> Names:
    """Find object tokens, their names, and where questions use these; ``name_ids``: of the names from 0 on."""
    ids, samples = rows.ids, rows.samples
    place = torch.arange(len(ids), device=ids.device)
    is_name, is_region = torch.isin(ids, name_ids), ids == region_id
    latest = torch.where(is_name, place, -1).cummax(0).values
    tokens = is_region & (latest >= 0) & (samples[latest.clamp(min=0)] == samples)
    count = len(name_ids)
    number = torch.searchsorted(name_ids, ids).clamp(max=count - 1)  # of those tokens that are names
    numbers = number[latest[tokens]]
    known, objects = (samples[tokens] * count + numbers).unique(return_inverse=True)
    ends = torch.full((int(samples[-1]) + 1,), -1, device=ids.device)
    ends.scatter_reduce_(0, samples[is_region], place[is_region], 'amax')
    key = samples * count + number
    asked = is_name & (place > ends[samples]) & torch.isin(key, known)
    return Names(tokens, numbers, objects, asked, torch.searchsorted(known, key[asked]))


class Binding:
    """Watches the first two layers of a language model and scores what they do with names."""

    def __init__(self, model: PixelRefer) -> None:
        """Raises :class:`InvalidRequestError` when the tokenizer cuts names into pieces, or layers are too few."""
        ids = [model.tokenizer.convert_tokens_to_ids(name) for name in OBJECT_NAMES]
        if None in ids or len(set(ids)) < len(ids) or ids != sorted(ids):
            raise InvalidRequestError(
                f'binding needs a tokenizer in which {OBJECT_NAMES[0]} is one token: that of a nano model'
            )
        self._hidden = Watched(model, {*_OWNER_LAYERS, _CONTENT_LAYER})
        self._table: nn.Embedding = model.language_model.model.get_input_embeddings()
        self._norm, self._region_id = model.language_model.model.model.norm, model.region_id
        self._ids = torch.tensor(ids, device=model.device)

    def close(self) -> None:
        """Watch no longer."""
        self._hidden.close()

    def loss(self, rows: PackedBatch, embeds: torch.Tensor) -> torch.Tensor:
        """Score the pass that has just been made; ``embeds``: what went in, (T, D). 0 without names."""
        names = find_names(rows, self._ids, self._region_id)
        if not names.tokens.any():
            return embeds.new_zeros(())
        loss = torch.stack([self._owning(names, layer) for layer in _OWNER_LAYERS]).mean()
        if names.asked.any():
            loss = loss + functional.cross_entropy(self._contents(names, embeds), names.wanted)
        return loss

    def _owning(self, names: Names, layer: int) -> torch.Tensor:
        owners = self._norm(self._hidden[layer][names.tokens]) @ self._table.weight[self._ids].T
        return functional.cross_entropy(_OWNER_SCALE * owners.float(), names.numbers)

    def _contents(self, names: Names, embeds: torch.Tensor) -> torch.Tensor:
        """Return how much what was added to each name asked about is like each object: (names, O)."""
        objects = embeds[names.tokens].float()
        sums = objects.new_zeros(int(names.objects.max()) + 1, objects.shape[1])
        means = sums.index_add_(0, names.objects, objects) / names.objects.bincount()[:, None]  # (O, D)
        known = functional.normalize(means - means.mean(dim=0), dim=-1)
        added = (self._hidden[_CONTENT_LAYER] - embeds)[names.asked].float()
        return _CONTENT_SCALE * functional.normalize(added, dim=-1) @ known.T
