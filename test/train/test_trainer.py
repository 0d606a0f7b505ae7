"""Training learns, saves what the core loads, and goes on after an interruption as if there had been none."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from safetensors.torch import load_file, save_file

from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.errors import InvalidRequestError, ModelError
from pixelrefer_core.types import GenerationOptions
from pixelrefer_train.nano import nano_config, new_visual_model
from pixelrefer_train.recipe import parse_recipe
from pixelrefer_train.trainer import train

sys.path.insert(0, str(Path(__file__).parent))
from toys import disc_sample

GOLDEN = Path(__file__).parents[1] / 'golden'
DISCS = {'source': 'toys:Discs', 'options': {'count': 12, 'frames': 1}}
RATES = {'language': 3e-3, 'projector': 3e-3, 'vision': 0, 'objects': 3e-3}


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def stage(**changes: Any) -> dict[str, Any]:
    return {'name': 'one', 'data': [DISCS], 'learning_rates': RATES, 'steps': 4, 'batch': 4} | changes


def recipe_for(output: Path, start: str = str(GOLDEN / 'checkpoint_lite'), **changes: Any):
    raw = {
        'model': {'start': start, 'tokenizer': {'vocab_size': 300, 'samples': 12}},
        'stages': [stage()],
        'output': str(output),
        'device': 'cpu',
        'precision': 'float32',  # tests compare to the last digits
        'log_steps': 1,
    }
    return parse_recipe(raw | changes)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / 'last' / 'model.safetensors')


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]


@pytest.mark.parametrize('checkpoint', ['checkpoint_lite', 'checkpoint_pixelrefer'])
def test_fine_tuning_an_official_checkpoint_lowers_the_loss_and_the_result_answers(
    tmp_path: Path, checkpoint: str
):
    held = {'data': [DISCS], 'samples': 6, 'minutes': 0}
    recipe = recipe_for(
        tmp_path, str(GOLDEN / checkpoint), stages=[stage(steps=25, warmup=0.1)], validation=held
    )
    result = train(recipe)
    losses = [line['loss'] for line in metrics(tmp_path) if 'loss' in line]
    assert losses[0] > 4.0
    assert losses[-1] < 0.6 * losses[0]
    assert result['finished']
    assert result['validation'].keys() == {'colour', 'motion', 'caption'}
    assert cv2.imread(str(tmp_path / 'curves.png')) is not None
    model = load_model(str(tmp_path / 'best'), device='cpu', dtype='float32')
    assert model.info.trained
    sample = disc_sample(0, frames=1)
    objects = [model.encode_objects(views) for views in sample.views()]
    scene = None if model.config.rules.infusion_heads else model.encode_scene(sample.frames, video=False)
    options = GenerationOptions(max_new_tokens=12)
    answer = model.generate(sample.turns[0].instruction, objects, options=options, scene=scene)
    assert answer.completion_tokens > 0


def test_a_resumed_run_ends_with_the_same_weights_as_one_without_interruption(tmp_path: Path):
    stages = [stage(steps=3), stage(name='two', steps=3, accumulate=2)]
    train(recipe_for(tmp_path / 'whole', stages=stages))
    for stop_after in (2, 4):
        parts = recipe_for(tmp_path / f'parts{stop_after}', stages=stages)
        asked = itertools.count(1)
        stopped = train(parts, should_stop=lambda asked=asked, n=stop_after: next(asked) == n)
        assert not stopped['finished']
        assert stopped['steps'] == stop_after
        assert train(parts, resume=True)['finished']
        whole, joined = weights(tmp_path / 'whole'), weights(Path(parts.output))
        assert whole.keys() == joined.keys()
        assert all(torch.equal(whole[key], joined[key]) for key in whole)
        losses = [
            [line['loss'] for line in metrics(tmp_path / name)] for name in ('whole', Path(parts.output).name)
        ]
        assert losses[0] == losses[1]


def test_nano_is_built_with_a_tokenizer_of_its_own_and_loads_again(tmp_path: Path):
    recipe = recipe_for(tmp_path, 'nano', stages=[stage(steps=1, batch=1)])
    train(recipe)
    model = load_model(str(tmp_path / 'last'), device='cpu', dtype='float32')
    assert model.config.rules.global_px == 168
    assert model.config.rules.num_tokens == 8
    assert 263 < len(model.tokenizer) <= 300
    assert model.config.language.vocab_size == len(model.tokenizer)


def changed_weights(folder: Path) -> set[str]:
    before = load_file(GOLDEN / 'checkpoint_lite' / 'model.safetensors')
    # Dead weights, which nobody reads, are saved as zeros.
    names = {key for key, value in weights(folder).items() if not torch.equal(value, before[key])}
    return {name for name in names if 'mask_embedding' not in name}


def test_a_rate_of_zero_leaves_weights_as_they_were(tmp_path: Path):
    rates = {'language': 0, 'projector': 0, 'vision': 0, 'objects': 1e-3}
    train(recipe_for(tmp_path, stages=[stage(steps=2, learning_rates=rates)]))
    changed = changed_weights(tmp_path)
    assert 'model.region_encoder.pos_linear.weight' in changed
    assert 'model.region_encoder.feat_linear.0.weight' in changed
    assert all(key.startswith('model.region_encoder.') for key in changed)


def test_the_vision_encoder_can_be_trained_too(tmp_path: Path):
    rates = {'language': 0, 'projector': 0, 'vision': 1e-3, 'objects': 0}
    train(recipe_for(tmp_path, stages=[stage(steps=2, learning_rates=rates)]))
    changed = changed_weights(tmp_path)
    assert changed
    assert all(key.startswith('model.vision_encoder.') for key in changed)


def test_a_pretrained_vision_encoder_is_taken_over(tmp_path: Path):
    prefix = 'model.vision_encoder.vision_encoder.'
    source = load_file(GOLDEN / 'checkpoint_pixelrefer' / 'model.safetensors')
    own = {key.removeprefix(prefix): value for key, value in source.items() if key.startswith(prefix)}
    save_file(own, tmp_path / 'vision.safetensors')
    start = str(GOLDEN / 'checkpoint_lite')
    for number, path in enumerate((tmp_path / 'vision.safetensors', GOLDEN / 'checkpoint_pixelrefer')):
        output = tmp_path / str(number)
        train(recipe_for(output, model={'start': start, 'init_vision': str(path)}, stages=[stage(steps=1)]))
        after = weights(output)
        assert all(torch.equal(after[prefix + key], value) for key, value in own.items())


def test_a_pretrained_seeing_half_is_taken_over(tmp_path: Path):
    trained = new_visual_model(nano_config(64), seed=5).state_dict()
    save_file(trained, tmp_path / 'visual.safetensors')
    model = {'start': 'nano', 'init_visual': str(tmp_path / 'visual.safetensors')}
    model['tokenizer'] = {'vocab_size': 300, 'samples': 12}
    frozen = {'language': 1e-3, 'projector': 0, 'vision': 0, 'objects': 0}
    train(recipe_for(tmp_path / 'run', model=model, stages=[stage(steps=1, learning_rates=frozen)]))
    after = load_model(
        str(tmp_path / 'run' / 'last'), device='cpu', dtype='float32'
    ).visual_model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in trained.items())


def test_a_seeing_half_of_another_size_is_refused(tmp_path: Path):
    save_file({'object_tokenizer.pos_linear.bias': torch.zeros(3)}, tmp_path / 'small.safetensors')
    model = {'start': str(GOLDEN / 'checkpoint_lite'), 'init_visual': str(tmp_path / 'small.safetensors')}
    with pytest.raises(ModelError, match=r'init_visual.*no visual model of these sizes'):
        train(recipe_for(tmp_path / 'run', model=model))


def test_features_of_a_frozen_encoder_can_be_kept_and_of_a_trained_one_never_are(tmp_path: Path):
    def losses(name: str, rate: float, room_mb: int) -> list[float]:
        rates = RATES | {'vision': rate}
        stages = [stage(steps=3, learning_rates=rates)]
        train(recipe_for(tmp_path / name, stages=stages, feature_cache_mb=room_mb))
        return [line['loss'] for line in metrics(tmp_path / name) if 'loss' in line]

    assert losses('kept', 0, 50) == pytest.approx(losses('frozen', 0, 0), abs=2e-2)
    assert losses('trained, room', 1e-3, 50) == losses('trained', 1e-3, 0)


def test_a_vocabulary_knows_the_words_of_every_stage(tmp_path: Path):
    later = {'source': 'toys:Discs', 'options': {'count': 12, 'frames': 1, 'questions': 2}}
    first = {'source': 'toys:Discs', 'options': {'count': 12, 'frames': 1, 'questions': 1}}
    stages = [stage(steps=1, data=[first]), stage(steps=1, data=[later])]
    model = {'start': 'nano', 'tokenizer': {'vocab_size': 400, 'samples': 24}}
    train(recipe_for(tmp_path, model=model, stages=stages))
    tokenizer = load_model(str(tmp_path / 'last'), device='cpu', dtype='float32').tokenizer
    assert len(tokenizer(' moving')['input_ids']) == 1  # a word of the second stage's questions alone


def test_a_vision_encoder_of_another_size_is_refused(tmp_path: Path):
    model = {'start': 'nano', 'init_vision': str(GOLDEN / 'checkpoint_lite')}
    with pytest.raises(ModelError, match='no vision encoder of this model'):
        train(recipe_for(tmp_path, model=model))


def test_a_time_budget_ends_a_stage(tmp_path: Path):
    result = train(recipe_for(tmp_path, stages=[stage(steps=0, minutes=0.01)]))
    assert result['finished']
    last = metrics(tmp_path)[-1]
    assert last['elapsed_s'] >= 0.6 or last['step'] > 0
    rates = [line['lr'] for line in metrics(tmp_path)]
    assert max(rates) <= 3e-3


def test_a_run_is_not_overwritten_and_a_missing_one_not_resumed(tmp_path: Path):
    recipe = recipe_for(tmp_path / 'run', stages=[stage(steps=1, batch=1)])
    with pytest.raises(InvalidRequestError, match='no run to resume'):
        train(recipe, resume=True)
    train(recipe)
    with pytest.raises(InvalidRequestError, match='holds a run already'):
        train(recipe)


def test_a_loss_that_is_no_number_ends_training_with_advice(tmp_path: Path):
    huge = dict.fromkeys(RATES, 1e30)
    with pytest.raises(ModelError, match='lower the learning rates'):
        train(recipe_for(tmp_path, stages=[stage(steps=6, learning_rates=huge, warmup=0)]))
