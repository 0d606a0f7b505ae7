"""What is asked of the layers of a new language model beside its answers, to learn in steps what takes several."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import torch
from torch import nn
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.pixelrefer import PixelRefer

from .packing import PackedBatch


class Guide(Protocol):
    """Something that watches a model and adds to its loss."""

    def __init__(self, model: PixelRefer) -> None:
        """Begin to watch. Raises :class:`InvalidRequestError` when the model is not made for it."""

    def loss(self, rows: PackedBatch, embeds: torch.Tensor) -> torch.Tensor:
        """Score the pass that has just been made; ``embeds``: what went in, (T, D)."""

    def close(self) -> None:
        """Watch no longer."""


class Watched:
    """What some layers of a language model put out, by their numbers, each (T, D)."""

    def __init__(self, model: PixelRefer, layers: Collection[int]) -> None:
        """Raises :class:`InvalidRequestError` when the model has fewer layers."""
        decoder: Any = model.language_model.model.model
        if max(layers) >= len(decoder.layers):
            raise InvalidRequestError(
                f'a language model of {len(decoder.layers)} layers has none after the {max(layers)}th to guide'
            )
        self._hidden: dict[int, torch.Tensor] = {}
        self._hooks = [decoder.layers[layer].register_forward_hook(self._keeper(layer)) for layer in layers]

    def _keeper(self, layer: int) -> Any:
        def keep(module: object, inputs: object, output: torch.Tensor) -> None:
            self._hidden[layer] = output[0]

        return keep

    def __getitem__(self, layer: int) -> torch.Tensor:
        """Return what a layer put out last."""
        return self._hidden[layer]

    def close(self) -> None:
        """Watch no longer."""
        for hook in self._hooks:
            hook.remove()
        self._hidden.clear()


class Compared:
    """What the attention of a layer compares: of each group of heads, the queries of one with the group's keys."""

    def __init__(self, model: PixelRefer, layer: int) -> None:
        decoder: Any = model.language_model.model.model
        self._layer, self._rotary = decoder.layers[layer], decoder.rotary_emb
        self._hook = self._layer.register_forward_pre_hook(self._keep)
        self._read: torch.Tensor | None = None

    def _keep(self, module: object, inputs: tuple[torch.Tensor, ...]) -> None:
        self._read = inputs[0][0]

    def scores(
        self, rows: PackedBatch, sources: torch.Tensor, places: torch.Tensor, *, head: int = 0
    ) -> torch.Tensor:
        """Return how ``sources`` (Q) look at ``places`` (K), before the softmax: (Q, K, groups), float32.

        ``head``: which one of each group.
        """
        attention = self._layer.self_attn
        queries = self._turned(rows, sources, attention.q_proj)[:, head :: attention.num_key_value_groups]
        keys = self._turned(rows, places, attention.k_proj)
        scores: torch.Tensor = attention.scaling * torch.einsum('qge,kge->qkg', queries, keys).float()
        return scores

    def _turned(self, rows: PackedBatch, places: torch.Tensor, project: nn.Module) -> torch.Tensor:
        """Return queries or keys, turned by their positions, (places, heads, E)."""
        assert self._read is not None, 'scores are of a pass that has been made'
        hidden = self._layer.input_layernorm(self._read[places])
        vectors = project(hidden).unflatten(-1, (-1, self._layer.self_attn.head_dim))
        cos, sin = self._rotary(vectors, rows.positions[places][None])
        turned: torch.Tensor = apply_rotary_pos_emb(vectors, vectors, cos[0], sin[0])[0]
        return turned

    def close(self) -> None:
        """Watch no longer."""
        self._hook.remove()
        self._read = None
