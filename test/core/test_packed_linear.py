"""Packed weights give the same result but for rounding, and leave no trace in what is saved or trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from pixelrefer_core import packed_linear
from pixelrefer_core.checkpoint import load_model, save_pretrained
from pixelrefer_core.packed_linear import PackedLinear, can_pack, pack, unpack
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.synthetic_clip import synthetic_clip

pytestmark = pytest.mark.skipif(
    not can_pack(torch.zeros(1, dtype=torch.bfloat16)),
    reason='this CPU or this torch has no bfloat16 in oneDNN',
)
VIEWS = synthetic_clip(1, 2)[0]
ONE_ROUNDING = {'rtol': 2**-7, 'atol': 2**-9}


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def packed() -> PixelRefer:
    return load_model('random-nano', device='cpu', dtype='bfloat16')


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> PixelRefer:
    with monkeypatch.context() as patch:
        patch.setattr(packed_linear, 'can_pack', lambda weight: False)
        return load_model('random-nano', device='cpu', dtype='bfloat16')


def layers(model: nn.Module) -> int:
    return sum(isinstance(part, PackedLinear) for part in model.modules())


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.to_dense() if p.is_mkldnn else p for name, p in model.named_parameters()}


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('shape', [(70,), (1, 70), (3, 70), (2, 5, 70), (0, 70), (300, 70)])
def test_a_packed_layer_gives_what_the_plain_one_gives(shape: tuple[int, ...], bias: bool):
    model = nn.Sequential(nn.Linear(70, 36, bias=bias, dtype=torch.bfloat16))
    features = torch.randn(shape, dtype=torch.bfloat16)
    expected = model(features)
    pack(model)
    assert layers(model) == 1
    torch.testing.assert_close(model(features), expected, **ONE_ROUNDING)


def test_features_that_are_not_contiguous_are_read_rightly():
    model = nn.Sequential(nn.Linear(70, 36, dtype=torch.bfloat16))
    features = torch.randn(6, 140, dtype=torch.bfloat16)[:, ::2]
    expected = model(features)
    pack(model)
    torch.testing.assert_close(model(features), expected, **ONE_ROUNDING)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_other_precisions_stay_as_they_are(dtype: torch.dtype):
    model = nn.Sequential(nn.Linear(4, 4, dtype=dtype))
    pack(model)
    assert layers(model) == 0


def test_a_whole_model_makes_the_same_tokens_and_logits(packed: PixelRefer, plain: PixelRefer):
    assert layers(packed) > 60
    assert layers(plain) == 0
    made = [model.encode_objects(VIEWS) for model in (packed, plain)]
    for ours, theirs in zip(*made, strict=True):
        closeness = functional.cosine_similarity(ours.tokens.float(), theirs.tokens.float(), dim=1)
        assert closeness.median() > 0.999
    embeds = packed.embed_prompt('<region> or <region>?', [[item] for item in made[0]]).embeds
    with torch.no_grad():
        ours, theirs = (model.language_model(embeds[None]).float() for model in (packed, plain))
    assert functional.cosine_similarity(ours, theirs, dim=2).min() > 0.999


def test_a_packed_model_counts_and_saves_its_weights_like_any_other(
    packed: PixelRefer, plain: PixelRefer, tmp_path: Path
):
    assert packed.info == plain.info
    save_pretrained(packed, tmp_path / 'packed')
    save_pretrained(plain, tmp_path / 'plain')
    ours, theirs = (load_file(tmp_path / name / 'model.safetensors') for name in ('packed', 'plain'))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_packed_model_lets_go_of_its_file(packed: PixelRefer, tmp_path: Path):
    maps = Path('/proc/self/maps')
    if not maps.is_file():
        pytest.skip('no /proc here to tell which files are in memory')
    save_pretrained(packed, tmp_path)
    again = load_model(str(tmp_path), device='cpu', dtype='bfloat16')
    assert layers(again) == layers(packed)
    assert str(tmp_path) not in maps.read_text()


def test_training_unpacks_and_shares_the_table_again(packed: PixelRefer, plain: PixelRefer):
    packed.train()
    assert layers(packed) == 0
    language = packed.language_model.model
    assert language.lm_head.weight is language.model.embed_tokens.weight
    ours, theirs = weights(packed), weights(plain)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    packed.language_model(torch.randn(1, 3, 256, dtype=torch.bfloat16)).sum().backward()
    assert all(p.grad is not None for p in packed.language_model.parameters())


def test_packing_twice_and_unpacking_what_is_plain_do_nothing(packed: PixelRefer):
    count = layers(packed)
    pack(packed)
    assert layers(packed) == count
    unpack(packed)
    unpack(packed)
    assert layers(packed) == 0
