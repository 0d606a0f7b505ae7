"""Sizes are never assumed: other head counts, other numbers of object tokens, other precisions, both variants."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from pixelrefer_core import vision_encoder
from pixelrefer_core.byte_tokenizer import byte_tokenizer
from pixelrefer_core.checkpoint import load_model, save_pretrained
from pixelrefer_core.decoding import DecodingRules
from pixelrefer_core.geometry import Grid
from pixelrefer_core.model_config import (
    COMPATIBILITY,
    OBJECT_ONLY,
    VISION_OBJECT,
    LanguageConfig,
    ModelConfig,
    ObjectRules,
    VisionConfig,
)
from pixelrefer_core.object_views import plan_views
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.reference_pipeline import embed_one_by_one
from pixelrefer_core.synthetic_clip import synthetic_clip
from pixelrefer_core.types import GenerationOptions, ObjectTokens
from pixelrefer_core.weights import fill_random

CPU = torch.device('cpu')
LIKE_GOLDEN = VisionConfig(hidden_size=64, intermediate_size=96, num_layers=3, num_heads=4)
CLIP = synthetic_clip(2, 2)


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def language(heads: int, kv_heads: int, *, tied: bool) -> LanguageConfig:
    return LanguageConfig(
        vocab_size=270,
        hidden_size=12 * heads,
        intermediate_size=70,
        num_layers=2,
        num_heads=heads,
        num_kv_heads=kv_heads,
        max_position_embeddings=2048,
        tie_word_embeddings=tied,
    )


def build(rules: ObjectRules, vision: VisionConfig, words: LanguageConfig) -> PixelRefer:
    config = ModelConfig(vision=vision, language=words, rules=rules)
    with torch.device('meta'):
        model = PixelRefer(config, byte_tokenizer(), DecodingRules(frozenset()))
    fill_random(model, CPU, torch.float32)
    return model


OTHERS = {
    '16 tokens': (16, LIKE_GOLDEN, language(4, 2, tied=True)),
    'untied': (32, LIKE_GOLDEN, language(3, 3, tied=False)),
    'one key for all': (40, LIKE_GOLDEN, language(5, 1, tied=True)),
    'wide tower': (32, VisionConfig(160, 96, num_layers=2, num_heads=10), language(4, 2, tied=True)),
}


@pytest.fixture(params=[VISION_OBJECT, OBJECT_ONLY], ids=['PixelRefer', 'Lite'])
def rules(request: pytest.FixtureRequest) -> ObjectRules:
    return request.param


@pytest.fixture(params=OTHERS.values(), ids=OTHERS)
def model(request: pytest.FixtureRequest, rules: ObjectRules) -> PixelRefer:
    num_tokens, vision, words = request.param
    return build(replace(rules, num_tokens=num_tokens), vision, words)


def objects_of(model: PixelRefer) -> list[list[ObjectTokens]]:
    made = [model.encode_objects(views) for views in CLIP]
    return [list(item) for item in zip(*made, strict=True)]


def ask(model: PixelRefer, objects: list[list[ObjectTokens]], count: int = 6) -> tuple[int, ...]:
    options = GenerationOptions(max_new_tokens=count)
    return model.generate('Compare <region> with <region>.', objects, options=options).token_ids


def test_object_tokens_are_those_of_a_plain_loop(model: PixelRefer):
    views = [view for frame in CLIP for view in frame]
    plan = plan_views(views, model.config, model.compat)
    with torch.no_grad():
        expected = embed_one_by_one(model.visual_model, plan)
    made = model.encode_objects(views)
    assert all(item.tokens.shape[1] == model.config.language.hidden_size for item in made)
    for item, reference in zip(made, expected.unbind(), strict=True):
        assert len(item.tokens) <= model.config.rules.num_tokens
        torch.testing.assert_close(item.tokens, reference, atol=1e-5, rtol=1e-4)


def test_answers_are_those_of_a_forward_pass_without_any_cache(model: PixelRefer):
    objects = objects_of(model)
    answer = ask(model, objects)
    embeds = model.embed_prompt('Compare <region> with <region>.', objects).embeds
    with torch.no_grad():
        for token in answer:
            assert int(model.language_model(embeds[None])[0, -1].argmax()) == token
            embeds = torch.cat([embeds, model.language_model.embed_ids([token])])


def test_a_saved_configuration_comes_back_and_answers_alike(model: PixelRefer, tmp_path: Path):
    save_pretrained(model, tmp_path)
    again = load_model(str(tmp_path), device='cpu')
    again.decoder.rules = model.decoder.rules
    assert (again.config.language, again.config.vision) == (model.config.language, model.config.vision)
    assert again.config.rules == model.config.rules
    assert ask(again, objects_of(again)) == ask(model, objects_of(model))


def test_reusing_a_prefix_and_answering_in_a_batch_change_nothing(rules: ObjectRules):
    model = build(rules, LIKE_GOLDEN, language(5, 1, tied=False))
    objects, options = objects_of(model), GenerationOptions(max_new_tokens=12)
    questions = ['<region> or <region>: which is larger?', '<region> or <region>: which one moves?']
    fresh, reused = [], [model.generate(question, objects, options=options) for question in questions]
    for question in questions:
        model.decoder.prefixes.clear()
        fresh.append(model.generate(question, objects, options=options))
    together = model.generate_batch([(question, objects) for question in questions], options=options)
    for ways in zip(fresh, reused, together, strict=True):
        assert len({way.token_ids for way in ways}) == 1


@pytest.mark.parametrize('compat', ['fixed', 'official'])
def test_several_turns_about_objects_of_different_times(rules: ObjectRules, compat: str):
    model = build(rules, LIKE_GOLDEN, language(4, 2, tied=True))
    model.compat = COMPATIBILITY[compat]
    one, two, three = [
        list(item) for item in zip(*map(model.encode_objects, synthetic_clip(3, 3)), strict=True)
    ]
    objects = [one, two[:2], three[2:]]  # one stays, one leaves, one comes with the last frame
    turns = [f'<region>, <region>, <region>: {text}?' for text in ('who is first', 'who moves', 'who is red')]
    whole, streamed, options = [], [], GenerationOptions(max_new_tokens=12)
    for turn in turns:
        pieces: list[str] = []
        whole.append(model.generate(turn, objects, options=options, on_text=pieces.append))
        streamed.append(''.join(pieces).strip())
    for turn, answer, text in zip(turns, whole, streamed, strict=True):
        model.decoder.prefixes.clear()
        fresh = model.generate(turn, objects, options=options)
        assert (fresh.token_ids, fresh.text) == (answer.token_ids, text)


def test_a_scene_is_read_once_for_several_questions(monkeypatch: pytest.MonkeyPatch):
    model = build(VISION_OBJECT, LIKE_GOLDEN, language(4, 2, tied=True))
    objects, options = objects_of(model), GenerationOptions(max_new_tokens=8)
    scene = model.encode_scene([views[0].frame for views in CLIP], video=True)
    read: list[int] = []
    original = model.language_model.extend

    def counted(embeds: torch.Tensor, cache: object) -> torch.Tensor:
        read.append(len(embeds))
        return original(embeds, cache)

    monkeypatch.setattr(model.language_model, 'extend', counted)

    def ask_about(question: str) -> tuple[tuple[int, ...], int]:
        read.clear()
        text = f'<region> and <region>: {question}'
        ids = model.generate(text, objects, options=options, scene=scene).token_ids
        return ids, sum(read) - len(ids) + 1

    _, whole = ask_about('who is first?')
    reused, rest = ask_about('are they red?')
    model.decoder.prefixes.clear()
    fresh, again = ask_about('are they red?')
    assert reused == fresh
    assert whole > sum(map(len, scene.frames)) > 300
    assert (rest, again) == (len('are they red?') + len('|\n|assistant\n'), whole)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_half_precision_answers_and_stays_close_to_float32(rules: ObjectRules, dtype: str, tmp_path: Path):
    exact = build(rules, LIKE_GOLDEN, language(4, 2, tied=True))
    save_pretrained(exact, tmp_path)
    half = load_model(str(tmp_path), device='cpu', dtype=dtype)
    expected, made = objects_of(exact), objects_of(half)
    for ours, theirs in zip(chain(*made), chain(*expected), strict=True):
        assert ours.tokens.dtype == getattr(torch, dtype)
        assert ours.tokens.shape == theirs.tokens.shape
        closeness = functional.cosine_similarity(ours.tokens.float(), theirs.tokens, dim=1)
        # A cell may fall to another cluster, so single tokens can differ; most must not.
        assert closeness.median() > 0.99
    assert len(ask(half, made)) == 6
    assert len(ask(half, expected)) == 6  # tokens of another precision are converted


@pytest.mark.parametrize('limit', [1, 300, 700, 10**6])
def test_encoding_in_groups_changes_nothing(limit: int, monkeypatch: pytest.MonkeyPatch):
    model = build(VISION_OBJECT, LIKE_GOLDEN, language(4, 2, tied=True))
    grids, merges = [Grid(8, 4), Grid(20, 24), Grid(4, 4), Grid(12, 10)], [1, 2, 1, 2]
    patches = torch.randn(sum(grid.cells for grid in grids), 588)
    encoder = model.visual_model.vision_encoder
    with torch.no_grad():
        expected = encoder(patches, grids, merges)
        monkeypatch.setitem(vision_encoder.AT_ONCE, 'cpu', limit)
        again = encoder(patches, grids, merges)
    assert expected.shape == (32 + 120 + 16 + 30, 64)
    torch.testing.assert_close(again, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ('sizes', 'limit', 'expected'),
    [
        ([5], 2, [slice(0, 1)]),
        ([2, 2, 2], 4, [slice(0, 2), slice(2, 3)]),
        ([1, 9, 1, 1], 4, [slice(0, 1), slice(1, 2), slice(2, 4)]),
    ],
)
def test_groups_stay_within_the_limit_where_pictures_allow(
    sizes: list[int], limit: int, expected: list[slice]
):
    assert vision_encoder._groups(sizes, limit) == expected


def test_the_number_of_object_tokens_is_that_of_the_prompt():
    model = build(replace(OBJECT_ONLY, num_tokens=16), LIKE_GOLDEN, language(4, 2, tied=True))
    embedded = model.embed_prompt('What is <region>?', [[model.encode_objects(CLIP[0])[0]]])
    assert np.sum([key not in range(300) for key in embedded.keys]) == 16
