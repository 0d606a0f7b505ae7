"""The language model: Qwen2 of transformers, fed with embeddings, since object tokens have no ids.

``L`` positions, ``D`` width, ``S`` size of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from .errors import ModelError
from .model_config import LanguageConfig
from .prefix_cache import common_length


@dataclass(frozen=True, eq=False)
class PromptEmbedding:
    """A prompt as the model reads it.

    ``embeds``: (L, D). ``keys``: what each position stands for; equal keys mean equal embeddings.
    ``sources``: the tensors that keys refer to by identity.
    """

    embeds: torch.Tensor
    keys: Sequence[Hashable]
    sources: Sequence[torch.Tensor]


@dataclass(eq=False)
class BatchState:
    """Several prompts and their answers, side by side. ``padding``: (B), empty positions before each prompt."""

    model: LanguageModel
    cache: DynamicCache
    padding: torch.Tensor
    logits: torch.Tensor = field(init=False)

    def extend(self, ids: Sequence[int]) -> torch.Tensor:
        """Read one more token of each row; returns the logits after it, (B, S)."""
        return self.read(self.model.embed_ids(ids)[:, None])

    @torch.no_grad()
    def read(self, embeds: torch.Tensor) -> torch.Tensor:
        """Read ``embeds`` (B, L, D); returns the logits after the last of them, (B, S)."""
        self.logits = self.model.model.lm_head(self._hidden(embeds)[:, -1])
        return self.logits

    @torch.no_grad()
    def end_with(self, rows: Sequence[int], tails: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the logits after each of ``tails`` (L, D), read after what row ``rows[n]`` holds; (N, S).

        The batch is at its end with that: shorter tails are padded behind.
        """
        chosen = torch.tensor(rows, device=self.padding.device)
        self.cache.batch_select_indices(chosen)
        self.padding = self.padding[chosen]
        longest = max(len(tail) for tail in tails)
        embeds = torch.stack([functional.pad(tail, (0, 0, 0, longest - len(tail))) for tail in tails])
        last = torch.tensor([len(tail) - 1 for tail in tails], device=embeds.device)
        hidden = self._hidden(embeds)[torch.arange(len(tails), device=embeds.device), last]  # (N, D)
        logits: torch.Tensor = self.model.model.lm_head(hidden)
        return logits

    def _hidden(self, embeds: torch.Tensor) -> torch.Tensor:
        """Read ``embeds`` (B, L, D) after what the cache holds; returns the last layer's states, (B, L, D)."""
        start = self.cache.get_seq_length()
        columns = torch.arange(start + embeds.shape[1], device=embeds.device)
        hidden: torch.Tensor = self.model.model.model(
            inputs_embeds=embeds,
            attention_mask=(columns >= self.padding[:, None]).long(),
            position_ids=(columns[start:] - self.padding[:, None]).clamp(min=0),
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state
        return hidden


class LanguageModel(nn.Module):
    """Embeddings in, logits out, with a cache of keys and values in between."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self._settings = Qwen2Config(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads,
            max_position_embeddings=config.max_position_embeddings,
            rope_parameters={'rope_type': 'default', 'rope_theta': config.rope_theta},
            rms_norm_eps=config.rms_norm_eps,
            tie_word_embeddings=config.tie_word_embeddings,
            attn_implementation='sdpa',
        )
        self.model = Qwen2ForCausalLM(self._settings)

    def embed_ids(self, ids: Sequence[int]) -> torch.Tensor:
        """Look up token ids; returns (L, D)."""
        table = self.model.get_input_embeddings()
        embedded: torch.Tensor = table(torch.tensor(ids, device=table.weight.device))
        return embedded

    @torch.no_grad()
    def embed_prompt(
        self, ids: Sequence[int], vectors: Mapping[int, Sequence[torch.Tensor]]
    ) -> PromptEmbedding:
        """Look up ``ids`` and put ``vectors`` (n, D), in order, where their placeholder's id stands.

        Raises :class:`ModelError` when a placeholder and its vectors differ in number or width.
        """
        embeds = self.embed_ids(ids)
        keys: list[Hashable] = list(ids)
        for placeholder, tensors in vectors.items():
            places = [place for place, token in enumerate(ids) if token == placeholder]
            rows = [(id(tensor), row) for tensor in tensors for row in range(len(tensor))]
            if len(places) != len(rows):
                raise ModelError(f'{len(rows)} vectors for {len(places)} places in the prompt')
            if any(tensor.shape[1] != embeds.shape[1] for tensor in tensors):
                raise ModelError('the object tokens were made by another model: their width differs')
            for place, row in zip(places, rows, strict=True):
                keys[place] = row
            if places:
                where = torch.tensor(places, device=embeds.device)
                embeds = embeds.index_copy(0, where, torch.cat(list(tensors)).to(embeds.dtype))
        return PromptEmbedding(embeds, keys, [tensor for tensors in vectors.values() for tensor in tensors])

    def forward(self, embeds: torch.Tensor) -> torch.Tensor:
        """Return the logits of all positions, (B, L, S), for ``embeds`` (B, L, D); differentiable."""
        logits: torch.Tensor = self.model(inputs_embeds=embeds, use_cache=False).logits
        return logits

    @torch.no_grad()
    def extend(self, embeds: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        """Read ``embeds`` (L, D) after what ``cache`` holds, growing it; returns the last logits, (S)."""
        output = self.model(
            inputs_embeds=embeds[None], past_key_values=cache, use_cache=True, logits_to_keep=1
        )
        logits: torch.Tensor = output.logits[0, -1]
        return logits

    @torch.no_grad()
    def start_batch(self, prompts: Sequence[torch.Tensor]) -> BatchState:
        """Read several prompts (L, D) at once."""
        longest = max(len(prompt) for prompt in prompts)
        padding = torch.tensor([longest - len(prompt) for prompt in prompts], device=prompts[0].device)
        # Padded in front, so that all prompts end, and their answers begin, in the same column.
        embeds = torch.stack([functional.pad(p, (0, 0, longest - len(p), 0)) for p in prompts])  # (B, L, D)
        state = BatchState(self, self.new_cache(), padding)
        state.read(embeds)
        return state

    def next_logits(self, prompts: Sequence[PromptEmbedding]) -> torch.Tensor:
        """Return the logits after each prompt, (N, S), all side by side; what several begin with is read once."""
        groups: dict[tuple[int, ...], list[PromptEmbedding]] = {}
        for prompt in prompts:
            groups.setdefault(_sources(prompt), []).append(prompt)
        # At least the last position of each is left, since its logits are wanted.
        shared = {
            key: min(min(common_length(group[0].keys, other.keys), len(other.keys) - 1) for other in group)
            for key, group in groups.items()
        }
        batch = self.start_batch([group[0].embeds[: shared[key]] for key, group in groups.items()])
        places = {key: place for place, key in enumerate(groups)}
        return batch.end_with(
            [places[_sources(prompt)] for prompt in prompts],
            [prompt.embeds[shared[_sources(prompt)] :] for prompt in prompts],
        )

    def new_cache(self) -> DynamicCache:
        """Return an empty cache of keys and values."""
        return DynamicCache(config=self._settings)

    def greedy_ids(self, embeds: torch.Tensor, count: int) -> list[int]:
        """Return the ``count`` most likely next tokens after ``embeds`` (L, D), whatever they are."""
        cache = self.new_cache()
        ids: list[int] = []
        for _ in range(count):
            ids.append(int(self.extend(embeds, cache).argmax()))
            embeds = self.embed_ids(ids[-1:])
        return ids

    def reset_rotary(self, device: torch.device) -> None:
        """Compute the rotary frequencies anew, in float32 whatever the precision of the weights."""
        self.model.model.rotary_emb = Qwen2RotaryEmbedding(config=self._settings).to(device)

    def tie(self) -> None:
        """Let the output layer share the embedding table, where the configuration says so."""
        if self._settings.tie_word_embeddings:
            self.model.lm_head.weight = self.model.model.embed_tokens.weight


def _sources(prompt: PromptEmbedding) -> tuple[int, ...]:
    """What tells prompts apart that are about other objects or frames."""
    return tuple(map(id, prompt.sources))
