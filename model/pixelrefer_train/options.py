"""Teaches a new language model to choose among options: "(A) red (B) blue".

Three things have to come together. The words of an option must know its letter: this is asked for after the second
layer. Where the answer begins, it must be known what is true (:class:`.meaning.Meaning`). And there the words that say
so must be found among all options: no answer is better than chance before, so this is asked of the attention of the
last layer but one itself. The letter of the right answer is the only label. ``T`` tokens, ``Q`` questions with options,
``W`` words of these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.pixelrefer import PixelRefer

from .guide import Compared, Watched
from .packing import PackedBatch

LETTERS = 'ABCD'
_PIECES = ('" ("', '"A"', '")"', '"."')
_LAYER = 1
_MATCHING_FROM_END = 2
_SCALE = 5.0  # scores are products of small embeddings


@dataclass(frozen=True)
class Marks:
    """Token ids: an option begins with ``opening``, one of ``letters`` and ``closing``; ``stop`` ends all."""

    letters: torch.Tensor
    opening: int
    closing: int
    stop: int


def find_options(ids: torch.Tensor, marks: Marks) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which of the ``ids`` (T) are words of an option, bool (T), and for each of these its letter's number."""
    is_letter = torch.isin(ids, marks.letters)
    is_letter &= (ids.roll(1) == marks.opening) & (ids.roll(-1) == marks.closing)
    place = torch.arange(len(ids), device=ids.device)
    latest = torch.where(is_letter, place, -1).cummax(0).values
    ended = torch.where(ids == marks.stop, place, -1).cummax(0).values
    words = (latest > ended) & (place > latest + 1) & (ids != marks.opening)
    return words, torch.searchsorted(marks.letters, ids[latest[words]])


@dataclass(frozen=True)
class Choices:
    """Questions with options. ``answers`` (Q): where each answer begins to be predicted; ``letters`` (Q): its number.

    ``words`` (W): places; ``questions`` (W): whose, 0 to Q - 1; ``numbers`` (W): of their letters.
    """

    answers: torch.Tensor
    letters: torch.Tensor
    words: torch.Tensor
    questions: torch.Tensor
    numbers: torch.Tensor


def find_choices(rows: PackedBatch, marks: Marks, is_word: torch.Tensor, numbers: torch.Tensor) -> Choices:
    """Find the questions that are answered by a letter, and which of the words of :func:`find_options` are theirs."""
    words = is_word.nonzero()[:, 0]
    count = int(rows.owners[-1]) + 1
    begins = torch.searchsorted(rows.owners, torch.arange(count, device=rows.owners.device))
    firsts, said = rows.sources[begins], rows.targets[begins]
    is_asked = torch.isin(said, marks.letters)
    # A question ends where its answer begins, and answers hold no options.
    branch = torch.searchsorted(firsts, words).clamp(max=count - 1)
    kept = is_asked[branch] & (words <= firsts[branch])
    asked, questions = branch[kept].unique(return_inverse=True)
    letters = torch.searchsorted(marks.letters, said[asked])
    return Choices(firsts[asked], letters, words[kept], questions, numbers[kept])


class Options:
    """Watches layers of a language model and scores how it reads options, and how it finds the right one."""

    def __init__(self, model: PixelRefer) -> None:
        """Raises :class:`InvalidRequestError` when the tokenizer has no tokens for letters, or layers are too few."""
        pieces = [model.token_ids(f' ({letter}).') for letter in LETTERS]
        if any(len(piece) != len(_PIECES) for piece in pieces):
            raise InvalidRequestError(f'options need a tokenizer that cuts " (A)." into {", ".join(_PIECES)}')
        opening, letters, closing, stop = zip(*pieces, strict=True)
        known = torch.tensor(sorted(letters), device=model.device)
        self._marks = Marks(known, opening[0], closing[0], stop[0])
        decoder: Any = model.language_model.model.model
        self._hidden = Watched(model, [_LAYER])
        self._matching = Compared(model, len(decoder.layers) - _MATCHING_FROM_END)
        self._table: nn.Embedding = model.language_model.model.get_input_embeddings()
        self._norm = decoder.norm

    def loss(self, rows: PackedBatch, embeds: torch.Tensor) -> torch.Tensor:
        """Return the sum of both losses, each a mean, 0 without options; ``embeds`` gives its kind."""
        words, numbers = find_options(rows.ids, self._marks)
        if not len(numbers):
            return embeds.new_zeros(())
        scores = self._norm(self._hidden[_LAYER][words]) @ self._table.weight[self._marks.letters].T
        return functional.cross_entropy(_SCALE * scores.float(), numbers) + self.matching(
            rows, find_choices(rows, self._marks, words, numbers)
        )

    def matching(self, rows: PackedBatch, found: Choices) -> torch.Tensor:
        """Return -log of the share of attention to options that goes to the right one, mean over heads and questions.

        That of the last token before the answer, in the first head of each group; 0 without questions.
        """
        if not len(found.answers):
            return rows.weights.new_zeros(())
        scores = self._matching.scores(rows, found.answers, found.words)
        own = found.questions == torch.arange(len(found.answers), device=scores.device)[:, None]  # (Q, W)
        right = own & (found.numbers == found.letters[:, None])
        over = [
            scores.masked_fill(~kept[..., None], -math.inf).logsumexp(dim=1) for kept in (own, right)
        ]  # (Q, groups)
        return (over[0] - over[1]).mean()

    def close(self) -> None:
        """Watch no longer."""
        self._hidden.close()
        self._matching.close()
