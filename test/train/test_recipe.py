"""A recipe is checked whole before anything runs; what is wrong in it is named."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from pixelrefer_core.cli.main import main
from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_train.batches import numbers, open_source
from pixelrefer_train.optimisation import group_of, rate_factor
from pixelrefer_train.recipe import DataRecipe, LearningRates, load_recipe, parse_recipe

RECIPES = Path(__file__).parents[2] / 'model' / 'pixelrefer_train' / 'recipes'
MINIMAL: dict[str, Any] = {
    'model': {'start': 'nano'},
    'stages': [
        {'name': 'one', 'data': [{'source': 'x:y'}], 'learning_rates': {'language': '1e-5'}, 'steps': 3}
    ],
}


def edited(*path: Any, value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(MINIMAL)
    place = raw
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return raw


def test_a_recipe_takes_defaults_and_numbers_that_yaml_reads_as_texts():
    recipe = parse_recipe(MINIMAL)
    assert recipe.stages[0].learning_rates == LearningRates(language=1e-5)
    assert recipe.stages[0].warmup == 0.03
    assert recipe.stages[0].data == (DataRecipe('x:y'),)


@pytest.mark.parametrize('name', ['nano_lite', 'finetune_official'])
def test_the_recipes_that_ship_go_from_perception_to_instruction_with_a_frozen_vision_encoder(name: str):
    recipe = load_recipe(RECIPES / f'{name}.yaml')
    assert (recipe.stages[0].name, recipe.stages[-1].name) == ('perception', 'instruction')
    assert all(stage.learning_rates.vision == 0 for stage in recipe.stages)


def test_the_official_recipe_has_the_values_of_the_paper():
    first, second = load_recipe(RECIPES / 'finetune_official.yaml').stages
    assert first.learning_rates == LearningRates(language=1e-5, projector=1e-5, vision=0, objects=1e-3)
    assert second.learning_rates == LearningRates(language=1e-5, projector=1e-5, vision=0, objects=1e-5)
    assert all(stage.batch * stage.accumulate == 256 for stage in (first, second))
    assert all((stage.epochs, stage.warmup, stage.weight_decay) == (1, 0.03, 0) for stage in (first, second))


@pytest.mark.parametrize(
    ('raw', 'message'),
    [
        (edited('stage', value=1), 'unknown keys: stage'),
        (edited('stages', 0, 'lr', value=1), r'stages\[0\] has unknown keys: lr'),
        (edited('stages', 0, 'learning_rates', 'decoder', value=1), 'unknown keys: decoder'),
        (edited('model', value={}), 'model lacks start'),
        (edited('stages', value=[]), 'one stage'),
        (edited('stages', 0, 'data', value=[]), 'data is empty'),
        (edited('stages', 0, 'minutes', value=5), 'one of epochs, steps and minutes'),
        (edited('stages', 0, 'steps', value=2.5), 'steps must be int'),
        (edited('stages', 0, 'batch', value=0), 'batch and accumulate'),
        (edited('stages', 0, 'warmup', value=1), 'warmup'),
        (edited('stages', 0, 'learning_rates', 'vision', value=-1), 'not be negative'),
        (edited('stages', 0, 'learning_rates', 'vision', value='fast'), 'vision must be float'),
        (edited('precision', value='int8'), 'precision'),
        (edited('gradient_checkpointing', value='yes'), 'must be bool'),
        (edited('stages', 0, 'data', 0, 'repeat', value=0), 'repeat'),
        ('nothing', 'must be a mapping'),
    ],
)
def test_what_is_wrong_is_named(raw: Any, message: str):
    with pytest.raises(InvalidRequestError, match=message):
        parse_recipe(raw)


@pytest.mark.parametrize(
    ('source', 'options', 'message'),
    [
        ('nowhere', {}, 'no data source'),
        ('math:nothing', {}, 'no data source'),
        ('official', {'colour': 1}, 'options of data source'),
        ('builtins:list', {}, 'is empty'),
    ],
)
def test_a_source_that_cannot_be_opened_is_named(source: str, options: dict[str, Any], message: str):
    with pytest.raises(InvalidRequestError, match=message):
        open_source(DataRecipe(source, options))


def take(count: int, *, start: int = 0, **options: int) -> list[list[tuple[int, int]]]:
    batches = numbers(5, 2, seed=7, start=start, **options)
    return [next(batches) for _ in range(count)]


def test_every_epoch_shows_each_sample_once_in_an_order_of_its_own():
    shown = [number for batch in take(5) for number in batch]
    for epoch in (0, 1):
        assert sorted(index for index, at in shown if at == epoch) == [0, 1, 2, 3, 4]
    assert [index for index, at in shown if at == 0] != [index for index, at in shown if at == 1]


def test_batches_go_on_where_they_were_left():
    assert take(3, start=4) == take(7)[4:]


def test_processes_share_batches_out_among_them():
    first, second = take(3, rank=0, processes=2), take(3, rank=1, processes=2)
    assert [batch for pair in zip(first, second, strict=True) for batch in pair] == take(6)


def test_the_rate_rises_over_the_warm_up_and_falls_to_nothing():
    assert rate_factor(0.0, 0.1) == 0.0
    assert rate_factor(0.05, 0.1) == pytest.approx(0.5)
    assert rate_factor(0.1, 0.1) == pytest.approx(1.0)
    assert rate_factor(0.55, 0.1) == pytest.approx(0.5)
    assert rate_factor(1.0, 0.1) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ('name', 'group'),
    [
        ('visual_model.vision_encoder.model.post_layernorm.weight', 'vision'),
        ('visual_model.object_tokenizer.pos_linear.weight', 'objects'),
        ('visual_model.object_infusion.ln_local.bias', 'objects'),
        ('visual_model.object_projector.0.weight', 'objects'),
        ('visual_model.scene_projector.0.weight', 'projector'),
        ('language_model.model.model.norm.weight', 'language'),
    ],
)
def test_weights_fall_into_the_groups_of_the_paper(name: str, group: str):
    assert group_of(name) == group


def test_the_command_says_what_is_wrong_with_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / 'recipe.yaml'
    file.write_text('stages: [')
    assert main(['train', str(file)]) == 2
    assert 'is no YAML' in capsys.readouterr().err
    assert main(['train', 'nothing_like_that']) == 2
    assert 'no recipe' in capsys.readouterr().err
