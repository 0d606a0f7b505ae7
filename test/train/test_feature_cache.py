"""Features that are kept are those that the encoder would give again, and no more of them than fit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pixelrefer_core.byte_tokenizer import byte_tokenizer
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_train.feature_cache import FeatureCache
from pixelrefer_train.learner import Learner, prepare
from pixelrefer_train.nano import nano_config, new_model

sys.path.insert(0, str(Path(__file__).parent))
from toys import disc_sample

BYTES_OF_ONE = 4 * 4 * 128 * 2  # patches of a 56 px picture, channels, float16


@pytest.fixture
def model() -> PixelRefer:
    torch.set_num_threads(1)
    tokenizer = byte_tokenizer()
    return new_model(nano_config(len(tokenizer)), tokenizer, seed=0, device=torch.device('cpu'), name='test')


def pictures(count: int) -> list[np.ndarray]:
    return [np.full((56, 56, 3), 10 * number, np.uint8) for number in range(count)]


def encoder_calls(model: PixelRefer) -> list[int]:
    """Return a list to which every run of the encoder adds its number of pictures."""
    calls: list[int] = []
    encoder: nn.Module = model.visual_model.vision_encoder
    encoder.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[1])))
    return calls


def test_a_picture_is_encoded_once_however_often_it_comes(model: PixelRefer):
    calls = encoder_calls(model)
    cache = FeatureCache(model.visual_model, limit_mb=10)
    first, second, third = pictures(3)
    cache.encode_pictures([first, second, first])
    features, grids = cache.encode_pictures([third, first])
    assert calls == [2, 1]
    wanted, wanted_grids = model.visual_model.encode_pictures([third, first])
    assert grids == wanted_grids
    assert torch.allclose(features, wanted, atol=2e-3)  # float16


def test_pictures_of_one_content_and_two_shapes_are_two(model: PixelRefer):
    cache = FeatureCache(model.visual_model, limit_mb=10)
    wide = np.zeros((56, 112, 3), np.uint8)
    _, grids = cache.encode_pictures([wide, wide.reshape(112, 56, 3)])
    assert [tuple(grid) for grid in grids] == [(4, 8), (8, 4)]


def test_what_was_used_longest_ago_is_forgotten_first(model: PixelRefer, monkeypatch: pytest.MonkeyPatch):
    calls = encoder_calls(model)
    monkeypatch.setattr('pixelrefer_train.feature_cache._MEGABYTE', 2 * BYTES_OF_ONE)
    cache = FeatureCache(model.visual_model, limit_mb=1)
    first, second, third = pictures(3)
    for picture in (first, second, first, third, first):  # the third takes the place of the second
        cache.encode_pictures([picture])
    assert len(calls) == 3
    assert cache.megabytes <= 1
    cache.encode_pictures([second])
    assert len(calls) == 4


def test_the_loss_is_the_same_with_and_without_kept_features(model: PixelRefer):
    learner = Learner(model)
    batch = prepare([disc_sample(0), disc_sample(4)], model.config, model.compat)
    plain = learner(batch).loss
    learner.cache = FeatureCache(model.visual_model, limit_mb=10)
    for _ in range(2):
        kept = learner(batch).loss
        assert kept.item() == pytest.approx(plain.item(), abs=2e-3)
    kept.backward()
    assert model.visual_model.object_tokenizer.pos_linear.weight.grad is not None
