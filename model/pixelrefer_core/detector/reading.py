"""How each family of detectors reads words, and what its scores say about them.

``W`` words, ``T`` tokens, ``N`` boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ..errors import InvalidPromptError


@dataclass(frozen=True, eq=False)
class Reading:
    """Words as a network takes them. ``inputs``: tensors by name. ``spans``: the tokens of each word, half-open."""

    inputs: dict[str, torch.Tensor]
    spans: tuple[tuple[int, int], ...] = ()


class Reader(Protocol):
    """The words' side of a family of detectors."""

    def read(self, words: Sequence[str]) -> Reading:
        """Return the words as the network takes them."""
        ...

    def rate(self, logits: torch.Tensor, reading: Reading) -> tuple[torch.Tensor, torch.Tensor]:
        """Return for each box its score (N,) in [0, 1] and the index (N,) of the word that it fits best."""
        ...


@dataclass(frozen=True)
class OwlReader:
    """OWL-ViT and OWLv2: every word alone, each with a score of its own. ``length``: tokens that they read."""

    tokenizer: Any
    length: int

    def read(self, words: Sequence[str]) -> Reading:
        """Return ``input_ids`` and ``attention_mask``, (W, length) each."""
        encoded = self.tokenizer(
            list(words), padding='max_length', truncation=True, max_length=self.length, return_tensors='pt'
        )
        return Reading({name: encoded[name] for name in ('input_ids', 'attention_mask')})

    def rate(self, logits: torch.Tensor, reading: Reading) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the best word of each box and its probability, of ``logits`` (N, W)."""
        best = logits.float().sigmoid().max(dim=-1)
        return best.values, best.indices


@dataclass(frozen=True)
class DinoReader:
    """Grounding DINO: all words in one text, "red ball. mug.", with scores for its tokens. ``length``: most tokens."""

    tokenizer: Any
    length: int

    def read(self, words: Sequence[str]) -> Reading:
        """Return the text, (1, T), and where each word is in it. Raises :class:`InvalidPromptError`."""
        # The full stop ends a name.
        phrases = [' '.join(word.lower().replace('.', ' ').split()) for word in words]
        starts = [sum(len(phrase) + 2 for phrase in phrases[:k]) for k in range(len(phrases))]
        encoded = self.tokenizer(
            '. '.join(phrases) + '.',
            return_offsets_mapping=True,
            return_token_type_ids=True,
            return_tensors='pt',
        )
        offsets = encoded.pop('offset_mapping')[0].tolist()
        if len(offsets) > self.length:
            raise InvalidPromptError(
                f'the words to look for are {len(offsets)} tokens; this detector reads {self.length}'
            )
        spans = [
            _tokens_between(offsets, start, start + len(phrase))
            for start, phrase in zip(starts, phrases, strict=True)
        ]
        return Reading(dict(encoded), tuple(spans))

    def rate(self, logits: torch.Tensor, reading: Reading) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the word whose tokens fit a box best on average, and the best of its tokens, of ``logits`` (N, >= T).

        The average chooses, since "red ball" and "red mug" share a token; the best token is the family's confidence.
        """
        probabilities = logits.float().sigmoid()
        spans = [probabilities[:, start:end] for start, end in reading.spans]
        means = torch.stack([span.mean(dim=-1) for span in spans], dim=-1)  # (N, W)
        peaks = torch.stack([span.amax(dim=-1) for span in spans], dim=-1)  # (N, W)
        labels = means.argmax(dim=-1)
        return peaks.gather(-1, labels[:, None])[:, 0], labels


def _tokens_between(offsets: Sequence[Sequence[int]], start: int, end: int) -> tuple[int, int]:
    """Return the tokens of the characters from ``start`` to ``end``; special tokens have no characters."""
    inside = [k for k, (first, last) in enumerate(offsets) if first < last and start <= first and last <= end]
    if not inside:
        raise InvalidPromptError('words to look for must hold letters or digits that the detector can read')
    return inside[0], inside[-1] + 1
