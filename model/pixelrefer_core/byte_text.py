"""Byte-level vocabulary: how Qwen2 writes bytes as letters, and text streamed out of such tokens."""

from __future__ import annotations

import codecs
from functools import cache

from transformers import PreTrainedTokenizerBase


@cache
def byte_letters() -> tuple[str, ...]:
    """Return the letter that stands for each byte: itself when it is printable, else one from U+0100 on."""
    printable = {
        *range(ord('!'), ord('~') + 1),
        *range(ord('¡'), ord('¬') + 1),
        *range(ord('®'), ord('ÿ') + 1),
    }
    others = iter(range(256, 512))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


class TextStream:
    """Turns token ids into text piece by piece; a character whose bytes are incomplete is held back."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._silent = frozenset(tokenizer.all_special_ids)
        self._bytes = {letter: byte for byte, letter in enumerate(byte_letters())}
        self._decoder = codecs.getincrementaldecoder('utf-8')(errors='replace')

    def push(self, token_id: int) -> str:
        """Return the text that ``token_id`` completes, often empty; special tokens make none."""
        if token_id in self._silent:
            return ''
        letters = self._tokenizer.convert_ids_to_tokens(token_id) or ''  # ids past the vocabulary have none
        if not all(letter in self._bytes for letter in letters):
            return self.finish() + letters  # an added token, written in plain text
        return self._decoder.decode(bytes(self._bytes[letter] for letter in letters))

    def finish(self) -> str:
        """Return what is held back; broken bytes become U+FFFD."""
        return self._decoder.decode(b'', final=True)
