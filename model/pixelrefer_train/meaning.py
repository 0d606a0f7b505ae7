"""Teaches a new language model to think of the answer before it says yes, no or a letter.

"Is it red?", "(A) red (B) blue": to find the colour is one step, to compare it with the words of the question another,
and one bit of answer teaches neither. Where a sample knows the answer to the open question, the place at which the
answer begins is asked for its tokens some layers before the last, in the words that the model would write; what is
left for the last layers is to compare. ``M`` tokens of meanings.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from pixelrefer_core.pixelrefer import PixelRefer

from .guide import Watched
from .packing import PackedBatch

# Layers that are left to compare what is true with what was asked.
_LAYERS_AFTER = 2


class Meaning:
    """Watches a layer before the last and scores what it knows of the answer."""

    def __init__(self, model: PixelRefer) -> None:
        """Raises :class:`InvalidRequestError` when layers are too few."""
        decoder = model.language_model.model.model
        self._layer = max(len(decoder.layers) - 1 - _LAYERS_AFTER, 1)
        self._hidden = Watched(model, [self._layer])
        self._norm, self._head = decoder.norm, model.language_model.model.lm_head

    def loss(self, rows: PackedBatch, embeds: torch.Tensor) -> torch.Tensor:
        """Return the mean over answers of that over the tokens of their meanings, 0 without any; ``embeds``: unused."""
        if not len(rows.meant):
            return embeds.new_zeros(())
        places, tokens = rows.meant.unbind(dim=1)
        found, which, sizes = places.unique(return_inverse=True, return_counts=True)
        logits = self._head(self._norm(self._hidden[self._layer][found])).float()  # (answers, vocabulary)
        losses = functional.cross_entropy(logits[which], tokens, reduction='none')  # (M)
        return (losses / sizes[which]).sum() / len(found)

    def close(self) -> None:
        """Watch no longer."""
        self._hidden.close()
