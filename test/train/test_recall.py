"""Names in questions are taught to find how their objects move, from no labels but masks."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_train.learner import Learner, prepare
from pixelrefer_train.nano import nano_config, new_model
from pixelrefer_train.packing import Branch, join, pack
from pixelrefer_train.recall import find_recalled
from pixelrefer_train.samples import Sample, Turn
from pixelrefer_train.tokenizer import OBJECT_NAMES, train_tokenizer
from pixelrefer_train.travel import WAYS

sys.path.insert(0, str(Path(__file__).parent))
from toys import disc_sample, guided

REGION, NAMES = 9, torch.tensor([20, 21, 22])
STILL, LEFT, RIGHT = (WAYS.index(way) for way in ('still', 'left', 'right'))
INTRO = f'There are 2 objects in the video: {OBJECT_NAMES[0]}<region>, {OBJECT_NAMES[1]}<region>.\n'


def nano(words: str) -> PixelRefer:
    torch.set_num_threads(1)
    tokenizer = train_tokenizer([words] * 8, 500)
    return new_model(nano_config(len(tokenizer)), tokenizer, seed=2, device=torch.device('cpu'), name='nano')


def branch(*ids: int) -> Branch:
    return Branch(np.array(ids), np.array([len(ids) - 1]))


def test_a_name_recalls_the_second_and_the_last_frame_of_its_object():
    # Frames of two tokens; the first object is seen three times, the second twice.
    ids = (20, 9, 9, 1, 9, 9, 1, 9, 9, 21, 9, 9, 1, 9, 9)
    two = pack([branch(*ids, 5, 21, 6, 7), branch(*ids, 4, 20, 21, 7)], [REGION])
    ways = np.repeat([-1, STILL, LEFT, -1, RIGHT], 2)
    rows = join([two], [10], ways, np.repeat([1, 2, 3, 5, 6], 2))
    found = find_recalled(rows, NAMES)
    assert rows.ids[found.askers].tolist() == [21, 20, 21]
    assert found.early.tolist() == [14, 5, 14]
    assert found.late.tolist() == [14, 8, 14]
    assert found.ways.tolist() == [RIGHT, LEFT, RIGHT]


def test_for_an_object_without_a_name_the_token_before_the_answer_recalls():
    alone = pack([branch(1, 9, 1, 9, 3, 4, 7)], [REGION])
    still = pack([branch(20, 9, 5, 20, 6, 7)], [REGION])
    rows = join([still, alone], [1, 2], np.array([-1, -1, STILL]), np.array([1, 1, 2]))
    found = find_recalled(rows, NAMES)  # on one frame nothing is recalled
    assert rows.ids[found.askers].tolist() == [4]
    assert (found.early.tolist(), found.late.tolist(), found.ways.tolist()) == ([9], [9], [STILL])


def two_discs() -> Sample:
    one = disc_sample(3, frames=3)
    corner = np.zeros((96, 128), np.bool_)
    corner[2:16, 100:126] = True
    turns = (
        Turn(INTRO + f'What is {OBJECT_NAMES[0]}?', 'a disc'),
        Turn(INTRO + f'Say {OBJECT_NAMES[1]}.', 'it'),
    )
    return replace(one, objects=(*one.objects, tuple((number, corner) for number in range(3))), turns=turns)


def test_recalling_is_learnt_where_objects_are_seen_twice_and_costs_nothing_elsewhere():
    model = nano(
        INTRO
        + 'What is it? Say: a disc. It is still, it goes left, right, towards or away: '
        + ' '.join(WAYS)
    )
    learner = Learner(model)
    once = prepare([disc_sample(3, frames=1)], model.config, model.compat)
    before = learner(once).loss.item()
    learner.guide(recall=1.0)
    assert learner(once).loss.item() == before
    extras = guided(
        learner, prepare([two_discs(), disc_sample(0, frames=3)], model.config, model.compat), steps=40
    )
    assert extras[-1] < 0.3 * extras[0]


def test_recalling_needs_words_that_are_tokens():
    with pytest.raises(InvalidRequestError, match='recall needs a tokenizer'):
        Learner(nano('nothing of the kind')).guide(recall=1.0)
