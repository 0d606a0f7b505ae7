"""A tokenizer learnt from texts writes them shorter, writes anything, and comes back from a checkpoint."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import pytest
import torch

from pixelrefer_core.checkpoint import load_model, save_pretrained
from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_train.nano import nano_config, new_model
from pixelrefer_train.tokenizer import train_tokenizer

sys.path.insert(0, str(Path(__file__).parent))
from toys import disc_sample

TEXTS = ['What colour is the marked object?', 'What is the marked object doing?', 'The ball rolls.'] * 4
CONTROL = [
    '<|im_end|>',
    '<|endoftext|>',
    '<|im_start|>',
    '<image>',
    '<|stream_start|>',
    '<|stream_end|>',
    '<REGION>',
]


@pytest.fixture(scope='module')
def tokenizer():
    return train_tokenizer(TEXTS, 320)


def ids(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)['input_ids']


def test_known_texts_become_short(tokenizer):
    assert len(ids(tokenizer, TEXTS[0])) < 0.4 * len(TEXTS[0])


@pytest.mark.parametrize('text', ['naïve Ärger 漢字 🙂', 'tab\tand\nline', ''.join(map(chr, range(1, 256)))])
def test_any_text_can_be_written_and_read_back(tokenizer, text: str):
    normal = unicodedata.normalize('NFC', text)
    assert tokenizer.decode(ids(tokenizer, text), clean_up_tokenization_spaces=False) == normal


def test_control_tokens_come_last_in_the_official_order(tokenizer):
    size = len(tokenizer)
    assert size <= 320
    assert [tokenizer.convert_tokens_to_ids(token) for token in CONTROL] == list(range(size - 7, size))


def test_the_name_of_an_object_is_one_token_and_is_written_as_it_is(tokenizer):
    text = 'Is <object0> larger than <object9>?'
    pieces = [tokenizer.decode([token]) for token in ids(tokenizer, text)]
    assert pieces.count('<object0>') == pieces.count('<object9>') == 1
    assert ''.join(pieces) == text
    assert tokenizer.decode(ids(tokenizer, text), skip_special_tokens=True) == text


def test_digits_stay_apart_as_qwen_keeps_them():
    learnt = train_tokenizer(['Time 12.5: 12.5 12.5'] * 20, 400)
    assert '12' not in learnt.get_vocab()


def test_too_small_a_vocabulary_is_refused():
    with pytest.raises(InvalidRequestError, match='273 tokens at least'):
        train_tokenizer(TEXTS, 200)


def test_nano_is_saved_with_its_tokenizer_and_its_smaller_views(tmp_path: Path, tokenizer):
    config = nano_config(len(tokenizer))
    model = new_model(config, tokenizer, seed=1, device=torch.device('cpu'), name='nano')
    save_pretrained(model, tmp_path)
    again = load_model(str(tmp_path), device='cpu', dtype='float32')
    assert again.config.rules == config.rules
    assert (again.config.vision, again.config.language) == (config.vision, config.language)
    assert ids(again.tokenizer, TEXTS[1]) == ids(tokenizer, TEXTS[1])
    assert 2e6 < again.info.parameters < 4e6


def test_signals_of_a_new_model_have_one_scale(tokenizer):
    model = new_model(nano_config(len(tokenizer)), tokenizer, seed=1, device=torch.device('cpu'), name='nano')
    views = [view for views in disc_sample(0).views() for view in views]
    tokens = torch.cat([item.tokens for item in model.encode_objects(views)])
    words = model.language_model.embed_ids(range(200))
    assert 0.3 < float(tokens.std() / words.detach().std()) < 3.0
    position = model.visual_model.object_tokenizer.pos_linear
    assert torch.allclose(position(torch.tensor([0.5, 0.5])), torch.zeros(128), atol=1e-5)
