"""Checkpoints in the official layout go in and come out; what is wrong with one is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pixelrefer_core.byte_tokenizer import byte_tokenizer
from pixelrefer_core.checkpoint import load_model, save_pretrained
from pixelrefer_core.decoding import DecodingRules
from pixelrefer_core.errors import ModelError
from pixelrefer_core.model_config import PRESETS
from pixelrefer_core.pixelrefer import PixelRefer

GOLDEN = Path(__file__).parents[1] / 'golden'
LM_HEAD = 'lm_head.weight'
EMBEDDINGS = 'model.embed_tokens.weight'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Lite checkpoint that a test may damage, its vision tower beside it."""
    shutil.copytree(GOLDEN / 'checkpoint_vision', tmp_path / 'checkpoint_vision')
    return Path(shutil.copytree(GOLDEN / 'checkpoint_lite', tmp_path / 'model'))


def rewrite(folder: Path, **changes: object) -> None:
    config = json.loads((folder / 'config.json').read_text())
    config |= changes
    (folder / 'config.json').write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def edit(folder: Path, change) -> None:
    tensors = load_file(folder / 'model.safetensors')
    change(tensors)
    save_file(tensors, folder / 'model.safetensors')


def equal(left: PixelRefer, right: PixelRefer) -> bool:
    ours, theirs = dict(left.named_parameters()), dict(right.named_parameters())
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_sizes_and_ids_come_from_the_files(folder: Path):
    model = load_model(str(folder))
    assert model.info.parameters == sum(
        tensor.numel()
        for key, tensor in load_file(folder / 'model.safetensors').items()
        if 'mask_embedding' not in key
    )
    assert (model.region_id, model.image_id) == (262, 259)
    assert model.info.trained
    assert model.info.context_length == 32768


def test_the_vocabulary_is_that_of_the_table_not_of_the_config(folder: Path):
    rewrite(folder, vocab_size=151936)
    assert load_model(str(folder)).language_model.embed_ids([0]).shape == (1, 48)
    assert load_model(str(folder)).config.language.vocab_size == 263


def test_pickled_weights_load_too(folder: Path):
    expected = load_model(str(folder))
    torch.save(load_file(folder / 'model.safetensors'), folder / 'pytorch_model.bin')
    (folder / 'model.safetensors').unlink()
    assert equal(load_model(str(folder)), expected)


@pytest.mark.parametrize('kind', ['safetensors', 'bin'])
def test_sharded_weights_load_and_a_missing_shard_is_named(folder: Path, kind: str):
    expected = load_model(str(folder))
    tensors = load_file(folder / 'model.safetensors')
    (folder / 'model.safetensors').unlink()
    stem = 'model' if kind == 'safetensors' else 'pytorch_model'
    save = save_file if kind == 'safetensors' else torch.save
    weight_map = {}
    for number in (1, 2):
        name = f'{stem}-0000{number}-of-00002.{kind}'
        part = {key: value for i, (key, value) in enumerate(tensors.items()) if i % 2 == number - 1}
        save(part, folder / name)
        weight_map |= dict.fromkeys(part, name)
    (folder / f'{stem}.{kind}.index.json').write_text(json.dumps({'weight_map': weight_map}))

    assert equal(load_model(str(folder)), expected)

    (folder / f'{stem}-00002-of-00002.{kind}').unlink()
    with pytest.raises(ModelError, match='00002-of-00002'):
        load_model(str(folder))


@pytest.mark.parametrize('content', ['', '{"weight_map": ', '{}', '[]', '{"weight_map": 1}'])
def test_a_damaged_index_is_named(folder: Path, content: str):
    (folder / 'model.safetensors.index.json').write_text(content)
    with pytest.raises(ModelError, match=r'model\.safetensors\.index\.json is damaged'):
        load_model(str(folder))


def test_a_pickle_with_code_in_it_is_not_run(folder: Path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ('the pickle was executed',))

    (folder / 'model.safetensors').unlink()
    torch.save({'model.norm.weight': Trap()}, folder / 'pytorch_model.bin')
    with pytest.raises(ModelError, match='more than tensors'):
        load_model(str(folder))


def test_tied_weights_share_one_table_and_an_lm_head_in_the_file_is_accepted(folder: Path):
    model = load_model(str(folder)).language_model.model
    assert model.lm_head.weight is model.model.embed_tokens.weight
    edit(folder, lambda tensors: tensors.update({LM_HEAD: tensors[EMBEDDINGS].clone()}))
    model = load_model(str(folder)).language_model.model
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_untied_weights_keep_a_table_of_their_own(folder: Path):
    rewrite(folder, tie_word_embeddings=False)
    edit(folder, lambda tensors: tensors.update({LM_HEAD: tensors[EMBEDDINGS] * 2}))
    model = load_model(str(folder)).language_model.model
    assert torch.equal(model.lm_head.weight, model.model.embed_tokens.weight * 2)


def test_an_untied_model_without_lm_head_is_refused(folder: Path):
    rewrite(folder, tie_word_embeddings=False)
    with pytest.raises(ModelError, match=r'lacks weights: lm_head\.weight'):
        load_model(str(folder))


def test_missing_weights_are_named(folder: Path):
    edit(folder, lambda tensors: tensors.pop('model.region_encoder.pos_linear.bias'))
    with pytest.raises(ModelError, match=r'lacks weights: model\.region_encoder\.pos_linear\.bias'):
        load_model(str(folder))


def test_unknown_weights_are_named(folder: Path):
    edit(folder, lambda tensors: tensors.update({'model.adapter.weight': torch.zeros(2)}))
    with pytest.raises(ModelError, match=r'unknown weights: model\.adapter\.weight'):
        load_model(str(folder))


def test_dead_weights_may_be_absent(folder: Path):
    expected = load_model(str(folder))
    for leaf in ('weight', 'bias'):
        edit(folder, lambda tensors, leaf=leaf: tensors.pop(f'model.region_encoder.mask_embedding.{leaf}'))
    assert equal(load_model(str(folder)), expected)


def test_a_weight_of_another_shape_is_named_with_both_shapes(folder: Path):
    edit(folder, lambda tensors: tensors.update({'model.norm.weight': torch.ones(47)}))
    with pytest.raises(ModelError, match=r'model\.norm\.weight is \(47,\) in the weights, \(48,\)'):
        load_model(str(folder))


def test_a_cut_off_file_is_named(folder: Path):
    content = (folder / 'model.safetensors').read_bytes()
    (folder / 'model.safetensors').write_bytes(content[:1000])
    with pytest.raises(ModelError, match=r'model\.safetensors is damaged'):
        load_model(str(folder))


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors', 'vocab.json'])
def test_a_missing_file_is_named(folder: Path, name: str):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name.replace('.', r'\.')):
        load_model(str(folder))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'model_type': 'llava'}, 'llava'),
        ({'hidden_size': None}, 'hidden_size'),
        ({'rope_scaling': {'type': 'yarn'}}, 'rope_scaling'),
        ({'mm_projector_type': 'linear'}, 'linear'),
    ],
)
def test_a_config_that_cannot_be_served_is_refused_by_name(folder: Path, changes: dict, message: str):
    rewrite(folder, **changes)
    with pytest.raises(ModelError, match=message):
        load_model(str(folder))


def test_without_the_vision_towers_config_the_error_says_which(folder: Path):
    shutil.rmtree(folder.parent / 'checkpoint_vision')
    with pytest.raises(ModelError, match=r'\.\./checkpoint_vision'):
        load_model(str(folder))


def test_the_vision_tower_is_found_from_any_directory(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir('/')
    rewrite(folder, mm_vision_encoder='/somewhere/on/the/training/machine/checkpoint_vision')
    assert load_model(str(folder)).config.vision.num_heads == 4


def test_a_repository_that_is_not_in_the_cache_says_how_to_fetch_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    with pytest.raises(ModelError, match='pixelrefer fetch example/missing'):
        load_model('example/missing')


def test_a_repository_in_the_cache_is_found_with_its_revision(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    revision = '0123456789abcdef0123456789abcdef01234567'
    repository = tmp_path / 'hub' / 'models--example--tiny'
    shutil.copytree(folder, repository / 'snapshots' / revision)
    shutil.copytree(folder.parent / 'checkpoint_vision', repository / 'snapshots' / 'checkpoint_vision')
    (repository / 'refs').mkdir()
    (repository / 'refs' / 'main').write_text(revision)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path / 'hub'))

    info = load_model('example/tiny').info

    assert (info.name, info.revision) == ('example/tiny', revision)


@pytest.mark.parametrize('path', ['no/such/folder/here', 'random-13b', ''])
def test_a_path_that_is_nothing_is_refused(path: str):
    with pytest.raises(ModelError):
        load_model(path)


@pytest.mark.parametrize(
    'options', [{'device': 'cuda:99'}, {'device': 'gpu'}, {'dtype': 'int4'}, {'compat': 'old'}]
)
def test_options_that_do_not_exist_are_refused(options: dict):
    with pytest.raises(ModelError):
        load_model('random-nano', **options)


@pytest.mark.parametrize('case', ['lite', 'pixelrefer'])
def test_a_saved_model_has_the_official_keys_and_loads_again(tmp_path: Path, case: str):
    source = GOLDEN / f'checkpoint_{case}'
    model = load_model(str(source))

    save_pretrained(model, tmp_path / 'saved')

    saved, official = load_file(tmp_path / 'saved/model.safetensors'), load_file(source / 'model.safetensors')
    assert {k: v.shape for k, v in saved.items()} == {k: v.shape for k, v in official.items()}
    assert all(torch.equal(saved[key], official[key]) for key in official if 'mask_embedding' not in key)
    again = load_model(str(tmp_path / 'saved'))
    assert equal(again, model)
    assert again.config.rules == model.config.rules
    assert again.config.language == model.config.language
    assert again.config.vision == model.config.vision
    assert again.tokenizer('Größe <REGION>?').input_ids == model.tokenizer('Größe <REGION>?').input_ids
    theirs = json.loads((source / 'config.json').read_text())
    ours = json.loads((tmp_path / 'saved/config.json').read_text())
    differing = {key for key in theirs if ours.get(key) != theirs[key]}
    assert differing <= {'mm_vision_encoder'}


def test_a_saved_random_model_does_not_claim_training(tmp_path: Path):
    model = load_model('random-nano')
    assert not model.info.trained
    save_pretrained(model, tmp_path / 'saved', tower_weights=True)
    again = load_model(str(tmp_path / 'saved'))
    assert not again.info.trained
    assert equal(again, model)
    assert (tmp_path / 'saved/vision_encoder_damovl/model.safetensors').is_file()


def test_random_models_are_the_same_each_time_and_small():
    first, second = load_model('random-nano'), load_model('random-nano')
    assert equal(first, second)
    assert 2e6 < first.info.parameters < 1e7


@pytest.mark.parametrize(
    ('preset', 'billions'),
    # Language model without a second table, vision tower, and about 0.02 of projectors and infusion.
    [('2b', 1.310 + 0.233 + 0.412 + 0.02), ('7b', 6.525 + 2 * 0.544 + 0.412 + 0.04)],
)
def test_presets_have_the_published_sizes(preset: str, billions: float):
    with torch.device('meta'):
        model = PixelRefer(PRESETS[preset], byte_tokenizer(), DecodingRules(frozenset()))
    assert model.info.parameters / 1e9 == pytest.approx(billions, abs=0.02)


def test_half_precision_keeps_rotary_frequencies_in_float32():
    model = load_model('random-nano', device='cpu', dtype='bfloat16')
    assert model.dtype == torch.bfloat16
    assert all(buffer.dtype == torch.float32 for buffer in model.buffers() if buffer.is_floating_point())
    full = load_model('random-nano', device='cpu')
    for ours, theirs in zip(model.buffers(), full.buffers(), strict=True):
        assert torch.equal(ours, theirs)
