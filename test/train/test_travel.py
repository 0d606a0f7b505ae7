"""Object tokens are asked which way their object has gone, as its masks tell."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.types import Frame, ObjectView
from pixelrefer_train.learner import Learner, prepare
from pixelrefer_train.nano import nano_config, new_model
from pixelrefer_train.tokenizer import train_tokenizer
from pixelrefer_train.travel import WAYS, Travel, number_views, ways_of

sys.path.insert(0, str(Path(__file__).parent))
from toys import disc_sample, guided

PICTURE = Frame(np.zeros((300, 400, 3), np.uint8), 0)


def nano(words: str) -> PixelRefer:
    torch.set_num_threads(1)
    tokenizer = train_tokenizer([words] * 8, 500)
    return new_model(nano_config(len(tokenizer)), tokenizer, seed=2, device=torch.device('cpu'), name='nano')


@pytest.fixture(scope='module')
def model() -> PixelRefer:
    return nano('It is still, it goes left, right, towards or away: ' + ' '.join(WAYS))


def view(x: int, y: int, side: int = 20) -> ObjectView:
    mask = np.zeros((300, 400), bool)
    mask[y : y + side, x : x + side] = True
    return ObjectView(PICTURE, mask)


@pytest.mark.parametrize(
    ('x', 'y', 'way'),
    [
        (100, 100, 'still'),
        (101, 100, 'still'),  # 1/400 of the width
        (96, 100, 'left'),
        (110, 104, 'right'),
        (100, 110, 'towards'),
        (102, 80, 'away'),
    ],
)
def test_a_way_is_that_of_the_middle_of_the_mask_since_the_frame_before(x: int, y: int, way: str):
    assert ways_of([view(100, 100), view(x, y)]) == (-1, WAYS.index(way))


def test_what_is_neither_rest_nor_motion_nor_along_one_axis_is_not_asked():
    assert ways_of([view(100, 100), view(102, 100)]) == (-1, -1)
    assert ways_of([view(100, 100), view(110, 110)]) == (-1, -1)
    assert ways_of([view(100, 100), view(0, 0, side=0), view(100, 100)]) == (-1, -1, -1)
    assert ways_of([]) == ()


def test_each_token_of_an_object_is_asked_for_its_own_way(model: PixelRefer):
    moves, rests = disc_sample(3, frames=3), disc_sample(0, frames=3)
    batch = prepare([moves, rests], model.config, model.compat)
    right, still = WAYS.index('right'), WAYS.index('still')
    assert [questions.ways for questions in batch.samples] == [((-1, right, right),), ((-1, still, still),)]


def test_ways_are_learnt_where_something_is_seen_twice_and_cost_nothing_elsewhere(model: PixelRefer):
    seen = prepare([disc_sample(3, frames=3), disc_sample(0, frames=3)], model.config, model.compat)
    once = prepare([disc_sample(3, frames=1)], model.config, model.compat)
    learner = Learner(model)
    before = learner(once).loss.item()
    learner.guide(travel=1.0)
    assert learner(once).loss.item() == before
    extras = guided(learner, seen, steps=40)
    assert extras[-1] < 0.3 * extras[0]


def test_the_frame_before_has_the_number_before_or_none_has_it():
    assert number_views([3, 1, 2]) == (1, 2, 3, 5, 7, 8)
    assert number_views([]) == ()


def test_attention_learns_to_find_an_object_on_the_frame_before(model: PixelRefer):
    learner = Learner(model)
    learner.guide(travel=1.0)
    (guide,) = (guide for _, guide in learner._guides)
    found: list[torch.Tensor] = []
    finding, guide.finding = guide.finding, lambda rows: found.append(finding(rows)) or found[-1]
    guided(
        learner,
        prepare([disc_sample(index, frames=4) for index in (3, 1)], model.config, model.compat),
        steps=60,
    )
    assert isinstance(guide, Travel)
    assert 0.0 <= found[-1] < 0.1 * found[0]


def test_ways_need_words_that_are_tokens():
    with pytest.raises(InvalidRequestError, match='travel needs a tokenizer'):
        Learner(nano('nothing of the kind')).guide(travel=1.0)
