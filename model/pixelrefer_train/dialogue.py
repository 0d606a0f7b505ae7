"""From a sample's turns to token ids: the chat template, and which tokens are to be learnt."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from pixelrefer_core.byte_tokenizer import END_OF_TURN
from pixelrefer_core.prompt import IMAGE_TOKEN, REGION_SLOT, REGION_TOKEN, chat, fill_regions

from .packing import Branch
from .samples import Turn

_PLACEHOLDERS = re.compile(f'((?:{REGION_TOKEN})+|(?:{IMAGE_TOKEN})+)')
# Phrasings repeat, so most pieces of text have been split into tokens before.
_REMEMBERED = 1 << 16


class Dialogue:
    """Renders turns; each message is tokenised by itself, as in the official training code."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._placeholders: Mapping[str, int] = {
            token: tokenizer.convert_tokens_to_ids(token) for token in (REGION_TOKEN, IMAGE_TOKEN)
        }
        self._ids = functools.lru_cache(_REMEMBERED)(self._split)

    def branches(
        self, turns: Sequence[Turn], slots: Sequence[str], *, scene: str = '', chained: bool = False
    ) -> list[Branch]:
        """Return a branch for each turn, or, ``chained``, one for all of them.

        ``slots``: the text of each object, see :func:`pixelrefer_core.prompt.region_slot`. ``scene``: the
        text of the scene, which opens each conversation.
        """
        if chained:
            return [self._branch(turns, _share_out(turns, slots), scene)]
        return [self._branch([turn], [slots], scene) for turn in turns]

    def _branch(self, turns: Sequence[Turn], slots: Sequence[Sequence[str]], scene: str) -> Branch:
        ids: list[int] = []
        answers: list[int] = []
        for number, (turn, own) in enumerate(zip(turns, slots, strict=True)):
            content = fill_regions(turn.instruction, own)
            content = scene + content.strip() if scene and not number else content
            ids += self._ids('\n') if number else ()
            ids += self._encode(chat(content))
            answer = self._ids(turn.answer + END_OF_TURN)
            answers += range(len(ids), len(ids) + len(answer))
            ids += answer
        first = turns[0]
        # With a space before it: as it stands in questions, to be compared with them.
        meaning = np.array(self._ids(first.meaning and f' {first.meaning}'), np.int64)
        return Branch(np.array(ids), np.array(answers), first.kind, first.answer, meaning)

    def _encode(self, text: str) -> Iterator[int]:
        # The tokenizer cuts at placeholders before anything else, so the pieces between them are independent.
        for number, piece in enumerate(_PLACEHOLDERS.split(text)):
            if number % 2:
                token = REGION_TOKEN if piece.startswith(REGION_TOKEN) else IMAGE_TOKEN
                yield from [self._placeholders[token]] * (len(piece) // len(token))
            else:
                yield from self._ids(piece)

    def _split(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=False)['input_ids']) if text else ()


def _share_out(turns: Sequence[Turn], slots: Sequence[str]) -> list[Sequence[str]]:
    shares, start = [], 0
    for turn in turns:
        count = turn.instruction.count(REGION_SLOT)
        shares.append(slots[start : start + count])
        start += count
    return shares
