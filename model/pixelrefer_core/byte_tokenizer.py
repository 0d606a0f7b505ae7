"""Qwen2 tokenizers that need no files: one token a byte for presets, or any byte-level vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transformers import AddedToken, Qwen2Tokenizer

from .byte_text import byte_letters
from .prompt import ADDED_TOKENS

END_OF_TURN = '<|im_end|>'
END_OF_TEXT = '<|endoftext|>'
CONTROL_TOKENS = (END_OF_TURN, END_OF_TEXT, '<|im_start|>', *ADDED_TOKENS)


def byte_tokenizer() -> Qwen2Tokenizer:
    """Return the tokenizer without merges: ids 0-255 are bytes, 256-262 control tokens in the official order."""
    return qwen_tokenizer({letter: index for index, letter in enumerate(sorted(byte_letters()))}, [])


def qwen_tokenizer(
    vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], *, names: Sequence[str] = ()
) -> Qwen2Tokenizer:
    """Return a tokenizer of byte-level tokens; ``names``, which are never cut, and control tokens come after them.

    ``vocabulary``: tokens, written in the letters of :func:`~.byte_text.byte_letters`, to ids from 0 on.
    ``merges``: pairs of tokens that become one, the first most urgent.
    """
    return Qwen2Tokenizer(
        vocab=dict(vocabulary),
        merges=list(merges),
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        padding_side='right',
        model_max_length=16384,
        added_tokens_decoder={
            len(vocabulary) + index: AddedToken(token, special=token in CONTROL_TOKENS, normalized=False)
            for index, token in enumerate((*names, *CONTROL_TOKENS))
        },
        additional_special_tokens=list(CONTROL_TOKENS),
    )
