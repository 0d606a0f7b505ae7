"""Object tokens: what they depend on, what they do not, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from pixelrefer_core.byte_tokenizer import byte_tokenizer
from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.decoding import DecodingRules
from pixelrefer_core.errors import (
    DeviceOutOfMemoryError,
    EmptyPromptError,
    InvalidImageError,
    InvalidRequestError,
    MaskSizeMismatchError,
    ModelError,
    UnsupportedError,
)
from pixelrefer_core.geometry import PaddedBox, cell_positions
from pixelrefer_core.model_config import COMPATIBILITY, PRESETS, VISION_OBJECT
from pixelrefer_core.object_tokenizer import crop_object
from pixelrefer_core.object_views import plan_views
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.preprocess import to_patches
from pixelrefer_core.types import Frame, GenerationOptions, ObjectView
from pixelrefer_core.weights import fill_random

RANDOM = np.random.default_rng(11)
IMAGE = RANDOM.integers(0, 256, (120, 160, 3), dtype=np.uint8)


def rectangle(top: int, left: int, bottom: int, right: int, image: np.ndarray = IMAGE) -> np.ndarray:
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[top:bottom, left:right] = True
    return mask


A, B = rectangle(10, 10, 60, 50), rectangle(70, 90, 80, 101)


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope='module')
def lite() -> PixelRefer:
    return load_model('random-nano', device='cpu')


@pytest.fixture(scope='module')
def full() -> PixelRefer:
    config = replace(PRESETS['nano'], rules=VISION_OBJECT)
    with torch.device('meta'):
        model = PixelRefer(config, byte_tokenizer(), DecodingRules(frozenset()))
    fill_random(model, torch.device('cpu'), torch.float32)
    return model


def encode(model: PixelRefer, *masks: np.ndarray, image: np.ndarray = IMAGE) -> list[torch.Tensor]:
    frame = Frame(image, 5)
    return [item.tokens for item in model.encode_objects([ObjectView(frame, mask) for mask in masks])]


def test_every_object_has_32_tokens_of_the_language_models_width_and_its_stamp(lite: PixelRefer):
    tokens = lite.encode_objects([ObjectView(Frame(IMAGE, 77), A)])
    assert tokens[0].tokens.shape == (32, 256)
    assert tokens[0].stamp_ns == 77
    assert torch.isfinite(tokens[0].tokens).all()


def test_no_views_make_no_tokens(lite: PixelRefer):
    assert lite.encode_objects([]) == []


@pytest.mark.parametrize('variant', ['lite', 'full'])
def test_tokens_do_not_depend_on_the_other_objects_of_the_batch(variant: str, request: pytest.FixtureRequest):
    model = request.getfixturevalue(variant)
    other = RANDOM.integers(0, 256, (200, 90, 3), dtype=np.uint8)
    views = [
        ObjectView(Frame(IMAGE, 0), A),
        ObjectView(Frame(other, 1), rectangle(0, 0, 199, 89, other)),
        ObjectView(Frame(IMAGE, 2), B),
    ]
    together = model.encode_objects(views)
    for view, tokens in zip(views, together, strict=True):
        torch.testing.assert_close(
            model.encode_objects([view])[0].tokens, tokens.tokens, atol=2e-5, rtol=1e-4
        )


def test_the_same_input_gives_the_same_tokens(lite: PixelRefer):
    torch.manual_seed(1)
    first = encode(lite, A)[0]
    torch.manual_seed(2)
    assert torch.equal(encode(lite, A)[0], first)


def test_objects_of_one_frame_share_its_global_picture_but_not_their_local_one(lite: PixelRefer):
    frame, later = Frame(IMAGE, 0), Frame(IMAGE.copy(), 1)
    views = [ObjectView(frame, A), ObjectView(frame, B), ObjectView(later, A)]
    plan = plan_views(views, lite.config, COMPATIBILITY['fixed'])
    assert plan.whole_of == (0, 0, 1)
    assert plan.local_of == (0, 1, 2)
    assert len(plan.pictures) == 3 + 3 + 2
    assert all(picture.shape == (336, 336, 3) for picture in plan.whole)
    assert all(picture.shape == (224, 224, 3) for picture in plan.local)


def test_official_compatibility_shares_the_first_local_crop_and_the_budget(lite: PixelRefer):
    frame = Frame(IMAGE, 0)
    plan = plan_views([ObjectView(frame, A)] * 16, lite.config, COMPATIBILITY['official'])
    assert plan.local_of == (0,) * 16
    assert plan.whole[0].shape == (308, 308, 3)  # 8192 // 16 = 512 patches hold 22 x 22
    fixed = plan_views([ObjectView(frame, A)] * 16, lite.config, COMPATIBILITY['fixed'])
    assert fixed.whole[0].shape == (336, 336, 3)


def test_official_budget_resamples_features_onto_the_grid_of_the_mask():
    model = load_model('random-nano', device='cpu', compat='official')
    views = [ObjectView(Frame(IMAGE, 0), rectangle(50, 50, 58, 58))] * 4
    plan = plan_views(views, model.config, model.compat)
    assert plan.crops[0].shape[0] // 14 < plan.objects[0].grid.rows  # 2116 cells do not fit into 2048
    with torch.no_grad():
        encoded = model.visual_model.embed_views(plan)
    assert torch.isfinite(encoded.tokens).all()


@pytest.mark.parametrize('variant', ['lite', 'full'])
def test_up_to_32_cells_are_tokens_as_they_are_and_the_rest_is_zero(
    variant: str, request: pytest.FixtureRequest
):
    model = request.getfixturevalue(variant)
    image = RANDOM.integers(0, 256, (600, 800, 3), dtype=np.uint8)
    corners = rectangle(0, 0, 20, 20, image) | rectangle(580, 780, 600, 800, image)
    view = ObjectView(Frame(image, 0), corners)
    plan = plan_views([view], model.config, model.compat)
    grid, active = plan.objects[0].grid, plan.objects[0].active
    assert 0 < len(active) < 32
    visual = model.visual_model
    with torch.no_grad():
        encoded = visual.embed_views(plan)
        patches = visual._patches([to_patches(plan.crops[0])])
        features = visual.vision_encoder(patches, [grid], [1])
        expected = features + visual.object_tokenizer.pos_linear(
            torch.from_numpy(cell_positions(grid, PaddedBox(0, 0, 599, 799), (600, 800)))
        )
    torch.testing.assert_close(encoded.clusters[0, : len(active)], expected[active], atol=1e-5, rtol=1e-4)
    assert not encoded.clusters[0, len(active) :].any()
    assert len(model.encode_objects([view])[0].tokens) == (32 if variant == 'lite' else len(active))


def test_a_prompt_has_one_place_for_each_token_of_a_small_object(full: PixelRefer):
    image = RANDOM.integers(0, 256, (600, 800, 3), dtype=np.uint8)
    corners = rectangle(0, 0, 20, 20, image) | rectangle(580, 780, 600, 800, image)
    small = full.encode_objects([ObjectView(Frame(image, 0), corners)])
    large = full.encode_objects([ObjectView(Frame(image, 0), rectangle(100, 100, 300, 300, image))])
    lengths = [
        full.generate('<region>?', [item], options=GenerationOptions(max_new_tokens=1)).prompt_tokens
        for item in (small, large)
    ]
    assert lengths[1] - lengths[0] == 32 - len(small[0].tokens)


@pytest.mark.parametrize('side', [1, 2, 3, 8, 12])
def test_tiny_objects_stay_within_the_cap_of_crop_cells(lite: PixelRefer, side: int):
    crop = crop_object(IMAGE, rectangle(50, 50, 50 + side, 50 + side), lite.config.rules, lite.compat)
    assert crop.grid.cells <= 1024
    assert len(crop.active) > 0


@pytest.mark.parametrize('variant', ['lite', 'full'])
@pytest.mark.parametrize(
    'mask',
    [
        rectangle(0, 0, 120, 160),  # everything
        rectangle(0, 0, 1, 1),  # a corner
        rectangle(119, 159, 120, 160),  # the corner that PixelRefer's crop leaves out
        rectangle(60, 0, 61, 160),  # a line
        rectangle(0, 80, 120, 81),
        rectangle(0, 0, 3, 3) | rectangle(117, 157, 120, 160),  # two far corners
        np.eye(120, 160, dtype=np.bool_),  # a diagonal
    ],
    ids=['full', 'pixel', 'last pixel', 'horizontal', 'vertical', 'corners', 'diagonal'],
)
def test_odd_masks_make_finite_tokens(variant: str, mask: np.ndarray, request: pytest.FixtureRequest):
    tokens = encode(request.getfixturevalue(variant), mask)[0]
    assert 1 <= len(tokens) <= 32
    assert torch.isfinite(tokens).all()


@pytest.mark.parametrize('size', [(1, 1), (1, 300), (300, 1), (5, 7)])
def test_odd_images_make_finite_tokens(lite: PixelRefer, full: PixelRefer, size: tuple[int, int]):
    image = RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8)
    for model in (lite, full):
        assert torch.isfinite(encode(model, np.ones(size, np.bool_), image=image)[0]).all()


def test_a_thin_object_is_lost_upstream_and_kept_here(full: PixelRefer):
    # 56 rows of context become 12 cells, whose middles are 4.67 rows apart: none is next to row 28.
    image = RANDOM.integers(0, 256, (120, 700, 3), dtype=np.uint8)
    line = rectangle(60, 0, 61, 700, image)
    rules = full.config.rules
    assert len(crop_object(image, line, rules, COMPATIBILITY['official']).active) == 0
    assert len(crop_object(image, line, rules, COMPATIBILITY['fixed']).active) > 32


def test_masks_of_255_and_of_bool_mean_the_same(lite: PixelRefer):
    assert torch.equal(encode(lite, A.astype(np.uint8) * 255)[0], encode(lite, A)[0])


def test_an_empty_mask_is_refused_here_and_makes_tokens_upstream(lite: PixelRefer):
    empty = np.zeros_like(A)
    with pytest.raises(EmptyPromptError, match='no pixels'):
        encode(lite, empty)
    official = load_model('random-nano', device='cpu', compat='official')
    assert encode(official, empty)[0].shape == (32, 256)


def test_a_mask_of_another_size_is_refused_with_both_sizes(lite: PixelRefer):
    with pytest.raises(MaskSizeMismatchError, match=r'\(120, 159\).*\(120, 160\)'):
        encode(lite, A[:, :-1])


@pytest.mark.parametrize(
    'image', [IMAGE[..., 0], IMAGE.astype(np.float32), IMAGE[:0], np.zeros((4, 4, 4), np.uint8)]
)
def test_what_is_no_rgb_image_is_refused(lite: PixelRefer, image: np.ndarray):
    with pytest.raises(InvalidImageError, match='uint8 RGB'):
        encode(lite, np.ones(image.shape[:2], np.bool_), image=image)


def test_a_view_that_is_not_contiguous_is_read_rightly(lite: PixelRefer):
    flipped = IMAGE[:, ::-1]
    assert torch.equal(
        encode(lite, A[:, ::-1], image=flipped)[0],
        encode(lite, A[:, ::-1].copy(), image=flipped.copy())[0],
    )


def test_the_local_view_and_the_global_view_both_matter(lite: PixelRefer):
    tokens = encode(lite, A)[0]
    changed = IMAGE.copy()
    changed[110:, 140:] = 0  # far outside the crop of A
    assert not torch.allclose(encode(lite, A, image=changed)[0], tokens, atol=1e-4)


def test_gradients_reach_every_part_that_is_trained(lite: PixelRefer):
    plan = plan_views([ObjectView(Frame(IMAGE, 0), A)], lite.config, lite.compat)
    lite.visual_model.embed_views(plan).tokens.sum().backward()
    silent = {
        name
        for name, weight in lite.visual_model.named_parameters()
        if weight.grad is None and not name.startswith('scene_projector')
    }
    lite.zero_grad()
    assert silent == set()


def gpu_is_full(*args: object) -> None:
    raise torch.OutOfMemoryError('CUDA out of memory')


def ask_the_cpu_for_a_petabyte(*args: object) -> None:
    torch.empty(1 << 50, dtype=torch.uint8, device='cpu')


@pytest.mark.parametrize('fault', [gpu_is_full, ask_the_cpu_for_a_petabyte])
def test_out_of_memory_is_a_typed_error_and_the_next_call_works(
    lite: PixelRefer, monkeypatch: pytest.MonkeyPatch, fault: Callable[..., None]
):
    with monkeypatch.context() as patch:
        patch.setattr(lite.visual_model, 'embed_views', fault)
        with pytest.raises(DeviceOutOfMemoryError, match='shorten the window'):
            encode(lite, A)
    assert len(encode(lite, A)) == 1


# --- scenes ---


def frames(*images: np.ndarray) -> list[Frame]:
    return [Frame(image, index * 500_000_000) for index, image in enumerate(images)]


def test_a_repeated_frame_keeps_one_scene_token(full: PixelRefer):
    scene = full.encode_scene(frames(IMAGE, IMAGE, 255 - IMAGE), video=True)
    assert scene.full_counts == (24, 24, 24)  # 112 x 168 at 28 px
    assert [len(tokens) for tokens in scene.frames] == [24, 1, 24]
    assert scene.times_s == (0.0, 0.5, 1.0)


def test_a_scene_changes_the_answer(full: PixelRefer):
    objects = [full.encode_objects([ObjectView(Frame(IMAGE, 0), A)])]
    options = GenerationOptions(max_new_tokens=4)
    alone = full.generate('Is <region> red?', objects, options=options)
    scene = full.encode_scene(frames(IMAGE), video=False)
    seen = full.generate('Is <region> red?', objects, options=options, scene=scene)
    assert seen.prompt_tokens == alone.prompt_tokens + len(scene.frames[0]) + 1  # and a new line
    assert seen.mean_logprob != alone.mean_logprob


def test_lite_cannot_be_shown_a_scene(lite: PixelRefer):
    with pytest.raises(UnsupportedError, match='Lite'):
        lite.encode_scene(frames(IMAGE), video=False)


def test_scenes_that_are_none_are_refused(full: PixelRefer):
    with pytest.raises(InvalidRequestError):
        full.encode_scene([], video=True)
    with pytest.raises(InvalidRequestError):
        full.encode_scene(frames(IMAGE, IMAGE), video=False)
    with pytest.raises(InvalidImageError, match='one size'):
        full.encode_scene(frames(IMAGE, IMAGE[:-1]), video=True)
    with pytest.raises(InvalidImageError, match='200 times'):
        full.encode_scene(frames(np.zeros((14, 4000, 3), np.uint8)), video=False)


def test_tokens_of_another_model_are_refused(lite: PixelRefer):
    tokens = lite.encode_objects([ObjectView(Frame(IMAGE, 0), A)])[0]
    foreign = replace(tokens, tokens=tokens.tokens[:, :100])
    with pytest.raises(ModelError, match='another model'):
        lite.generate('What is <region>?', [[foreign]], options=GenerationOptions(max_new_tokens=1))
