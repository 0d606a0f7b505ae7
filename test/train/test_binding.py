"""A small model is taught which object a name means: by the prompts alone, beside the answers."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pixelrefer_core.byte_tokenizer import byte_tokenizer
from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.errors import InvalidQuestionError, InvalidRequestError
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.types import GenerationOptions
from pixelrefer_train.binding import find_names
from pixelrefer_train.learner import Learner, prepare
from pixelrefer_train.nano import nano_config, new_model
from pixelrefer_train.packing import Branch, join, pack
from pixelrefer_train.samples import Sample, Turn
from pixelrefer_train.tokenizer import train_tokenizer

sys.path.insert(0, str(Path(__file__).parent))
from toys import disc_sample, guided

GOLDEN = Path(__file__).parents[1] / 'golden'
REGION, NAMES = 9, torch.tensor([20, 21, 22])
INTRO = 'There are 2 objects in the image: <object0><region>, <object1><region>.\n'


@pytest.fixture(scope='module')
def model() -> PixelRefer:
    torch.set_num_threads(1)
    tokenizer = train_tokenizer([INTRO + 'What is <object0>? Where is <object1>?'] * 4, 500)
    return new_model(nano_config(len(tokenizer)), tokenizer, seed=1, device=torch.device('cpu'), name='nano')


def two_objects() -> Sample:
    one = disc_sample(1, frames=1)
    mask = np.zeros((96, 128), np.bool_)
    mask[60:80, 90:120] = True
    turns = (
        Turn(INTRO + 'What is <object0>?', 'a disc'),
        Turn(INTRO + 'What is <object1>?', 'a box'),
        Turn(INTRO + 'What is here?', 'things'),
    )
    return replace(one, objects=(one.objects[0], ((0, mask),)), turns=turns)


def branch(*ids: int) -> Branch:
    return Branch(np.array(ids), np.array([len(ids) - 1]))


def test_object_tokens_belong_to_the_name_before_them_and_questions_want_the_object_of_the_name():
    two = pack([branch(1, 20, 9, 9, 21, 9, 2, 21, 5), branch(1, 20, 9, 9, 21, 9, 3, 20, 22, 5)], [REGION])
    nameless = pack([branch(1, 9, 9, 3, 5)], [REGION])
    second = pack([branch(1, 21, 9, 20, 9, 4, 20, 5)], [REGION])
    rows = join([two, nameless, second], [3, 2, 2])
    names = find_names(rows, NAMES, REGION)
    place = torch.nonzero(names.tokens).flatten()
    assert rows.ids[place].tolist() == [REGION] * 5
    assert rows.samples[place].tolist() == [0, 0, 0, 2, 2]
    assert names.numbers.tolist() == [0, 0, 1, 1, 0]
    assert names.objects.tolist() == [0, 0, 1, 3, 2]
    assert rows.ids[names.asked].tolist() == [21, 20, 20]  # 22 is none of the sample's objects
    assert names.wanted.tolist() == [1, 0, 2]


def test_names_are_learnt_where_answers_say_nothing_about_them(model: PixelRefer):
    batch = prepare([two_objects()], model.config, model.compat)
    learner = Learner(model)
    plain = learner(batch).loss.item()
    learner.guide(binding=1.0)
    extras = guided(learner, batch, steps=12)
    assert extras[0] > 0.1  # two names, two objects: chance is 2 log 2
    assert extras[-1] < 0.5 * extras[0]
    learner.guide()
    assert learner(batch).loss.item() < plain


def test_a_batch_without_names_costs_nothing_more(model: PixelRefer):
    batch = prepare([disc_sample(3)], model.config, model.compat)
    learner = Learner(model)
    before = learner(batch).loss.item()
    learner.guide(binding=1.0)
    assert learner(batch).loss.item() == before


def test_a_tokenizer_that_cuts_names_is_refused(model: PixelRefer):
    official = load_model(str(GOLDEN / 'checkpoint_lite'), device='cpu', dtype='float32')
    with pytest.raises(InvalidRequestError, match='<object0> is one token'):
        Learner(official).guide(binding=0.5)
    tokenizer = byte_tokenizer()
    cut = new_model(nano_config(len(tokenizer)), tokenizer, seed=1, device=torch.device('cpu'), name='nano')
    with pytest.raises(InvalidRequestError, match='<object0> is one token'):
        Learner(cut).guide(binding=0.5)


def test_questions_may_hold_names_that_are_tokens_and_no_other_added_token(model: PixelRefer):
    sample = two_objects()
    objects = [model.encode_objects(views) for views in sample.views()]
    options = GenerationOptions(max_new_tokens=2)
    assert model.generate(INTRO + 'Where is <object1>?', objects, options=options).token_ids
    with pytest.raises(InvalidQuestionError, match=r'<\|im_end\|>'):
        model.generate(INTRO + 'Where is <object1>?<|im_end|>', objects, options=options)
