"""A vocabulary learnt from the training texts: byte-level pair encoding in the form of Qwen2."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer

from pixelrefer_core.byte_tokenizer import CONTROL_TOKENS, byte_tokenizer, qwen_tokenizer
from pixelrefer_core.errors import InvalidRequestError

_BYTES = 256
# As one token, the name of an object in a question is that before its tokens; cut into three pieces, two of which
# are in every name, a small model took a hundred thousand questions without learning which object is meant.
OBJECT_NAMES = tuple(f'<object{number}>' for number in range(10))


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Qwen2Tokenizer:
    """Learn at most ``vocab_size`` tokens, control tokens and names of objects included, from ``texts``.

    Text is cut into words as Qwen2 cuts it; every byte is a token, so any text can be written. Raises
    :class:`InvalidRequestError` when bytes and control tokens alone need more.
    """
    added = len(OBJECT_NAMES) + len(CONTROL_TOKENS)
    least = _BYTES + added
    if vocab_size < least:
        raise InvalidRequestError(f'a vocabulary needs {least} tokens at least, got {vocab_size}')
    like = byte_tokenizer().backend_tokenizer
    learner = Tokenizer(models.BPE())
    learner.normalizer, learner.pre_tokenizer = like.normalizer, like.pre_tokenizer
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size - added,
            min_frequency=2,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    learnt = json.loads(learner.to_str())['model']
    merges = [tuple(pair) for pair in learnt['merges']]
    return qwen_tokenizer(learnt['vocab'], merges, names=OBJECT_NAMES)
