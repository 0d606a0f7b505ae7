"""A Qwen2 tokenizer without merges: one token a byte. For presets, which come without tokenizer files."""

from __future__ import annotations

from transformers import AddedToken, Qwen2Tokenizer

from .byte_text import byte_letters
from .prompt import ADDED_TOKENS

END_OF_TURN = '<|im_end|>'
END_OF_TEXT = '<|endoftext|>'


def byte_tokenizer() -> Qwen2Tokenizer:
    """Return the tokenizer: ids 0-255 are bytes, 256-262 control tokens in the official order."""
    control = (END_OF_TURN, END_OF_TEXT, '<|im_start|>', *ADDED_TOKENS)
    vocabulary = {letter: index for index, letter in enumerate(sorted(byte_letters()))}
    return Qwen2Tokenizer(
        vocab=vocabulary,
        merges=[],
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        padding_side='right',
        model_max_length=16384,
        added_tokens_decoder={
            len(vocabulary) + index: AddedToken(token, special=True, normalized=False)
            for index, token in enumerate(control)
        },
        additional_special_tokens=list(control),
    )
