"""Odd input gets a defined answer or an error that says what is wrong; the official code crashes or misreads."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.errors import InvalidImageError, InvalidQuestionError, MaskSizeMismatchError
from pixelrefer_core.object_views import plan_views
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.types import Frame, GenerationOptions, ObjectTokens, ObjectView

RANDOM = np.random.default_rng(5)
IMAGE = RANDOM.integers(0, 256, (120, 160, 3), dtype=np.uint8)
SHORT = GenerationOptions(max_new_tokens=4)


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope='module')
def lite() -> PixelRefer:
    return load_model('random-nano', device='cpu')


@pytest.fixture(scope='module')
def full() -> PixelRefer:
    return load_model('random-pixelrefer-nano', device='cpu')


def square(size: tuple[int, int], top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros(size, np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


def encode(model: PixelRefer, image: np.ndarray, mask: np.ndarray) -> ObjectTokens:
    return model.encode_objects([ObjectView(Frame(image, 0), mask)])[0]


# --- masks ---

MASK = square((120, 160), 30, 40, 25)


@pytest.mark.parametrize('variant', ['lite', 'full'])
@pytest.mark.parametrize(
    'same',
    [MASK.astype(np.uint8), MASK * np.uint8(255), MASK.astype(np.float32), MASK * 0.25, MASK * -1],
    ids=['0 and 1', '0 and 255', 'float', 'fraction', 'negative'],
)
def test_every_way_to_write_a_mask_means_the_same(
    variant: str, same: np.ndarray, request: pytest.FixtureRequest
):
    model = request.getfixturevalue(variant)
    assert torch.equal(encode(model, IMAGE, same).tokens, encode(model, IMAGE, MASK).tokens)


@pytest.mark.parametrize('shape', [(160, 120), (120, 160, 1), (120,), ()])
def test_a_mask_of_another_shape_is_refused(lite: PixelRefer, shape: tuple[int, ...]):
    with pytest.raises(MaskSizeMismatchError):
        encode(lite, IMAGE, np.ones(shape, np.bool_))


@pytest.mark.parametrize('variant', ['lite', 'full'])
def test_two_dots_in_the_corners_of_a_4k_frame_take_bounded_memory(
    variant: str, request: pytest.FixtureRequest
):
    model = request.getfixturevalue(variant)
    image = np.zeros((2160, 3840, 3), np.uint8)
    dots = square((2160, 3840), 0, 0, 6) | square((2160, 3840), 2154, 3834, 6)
    view = ObjectView(Frame(image, 0), dots)
    tracemalloc.start()
    plan = plan_views([view], model.config, model.compat)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The official code enlarges such a crop to some 20 000 pixels a side before it is shrunk again.
    assert peak < 5 * image.nbytes
    assert plan.objects[0].grid.cells <= 1024
    assert len(plan.objects[0].active) >= 2
    assert torch.isfinite(model.encode_objects([view])[0].tokens).all()


@pytest.mark.parametrize('variant', ['lite', 'full'])
@pytest.mark.parametrize(
    ('size', 'side'),
    [((1920, 1080), 300), ((2160, 3840), 700), ((2160, 3840), 1)],
    ids=['portrait', '4K', 'one pixel of 4K'],
)
def test_portrait_and_4k_frames_make_tokens(
    variant: str, size: tuple[int, int], side: int, request: pytest.FixtureRequest
):
    model = request.getfixturevalue(variant)
    image = np.zeros((*size, 3), np.uint8)
    image[::7, ::5] = 255
    tokens = encode(model, image, square(size, size[0] // 3, size[1] // 2, side)).tokens
    assert 1 <= len(tokens) <= 32
    assert torch.isfinite(tokens).all()


def test_position_is_seen_in_a_portrait_frame(full: PixelRefer):
    image = np.full((640, 360, 3), 90, np.uint8)
    left, right = (encode(full, image, square((640, 360), 300, column, 60)) for column in (100, 200))
    # The same grey crop: only its place tells them apart.
    assert not torch.allclose(left.tokens, right.tokens, atol=1e-3)


# --- images ---


class NoArray:
    """Has a size and pixels, like an image of another library."""

    size = (160, 120)


@pytest.mark.parametrize(
    'image',
    [NoArray(), torch.zeros(120, 160, 3, dtype=torch.uint8), IMAGE.tolist(), None],
    ids=['another library', 'tensor', 'list', 'nothing'],
)
def test_an_image_that_is_no_array_is_refused_by_its_type(lite: PixelRefer, full: PixelRefer, image: object):
    with pytest.raises(InvalidImageError, match=r'numpy\.asarray'):
        encode(lite, image, MASK)  # type: ignore[arg-type]
    with pytest.raises(InvalidImageError, match=r'numpy\.asarray'):
        full.encode_scene([Frame(image, 0)], video=False)  # type: ignore[arg-type]


@pytest.mark.parametrize('dtype', [np.float32, np.float64, np.uint16, np.int64, np.bool_])
def test_pixels_that_are_not_bytes_are_refused(lite: PixelRefer, dtype: type):
    with pytest.raises(InvalidImageError, match='uint8'):
        encode(lite, IMAGE.astype(dtype), MASK)


def test_channels_are_red_green_blue_and_their_order_matters(lite: PixelRefer):
    red = np.zeros_like(IMAGE)
    red[..., 0] = 255
    tokens = encode(lite, red, MASK).tokens
    assert not torch.allclose(encode(lite, red[..., ::-1], MASK).tokens, tokens, atol=1e-3)


@pytest.mark.parametrize('channels', [1, 2, 4])
def test_other_numbers_of_channels_are_refused(lite: PixelRefer, channels: int):
    with pytest.raises(InvalidImageError, match='RGB'):
        encode(lite, np.zeros((120, 160, channels), np.uint8), MASK)


# --- questions ---


@pytest.mark.parametrize('question', ['What are they?', '<region>?', '<region>, <region> and <region>?'])
def test_tags_and_objects_that_differ_in_number_are_refused(lite: PixelRefer, question: str):
    objects = [[encode(lite, IMAGE, MASK)]] * 2
    with pytest.raises(InvalidQuestionError, match='for 2 objects'):
        lite.generate(question, objects, options=SHORT)


@pytest.mark.parametrize('tag', ['<image>', '<video>', '<REGION>', '<|im_start|>'])
def test_a_tag_that_is_not_the_users_is_refused_by_name(lite: PixelRefer, full: PixelRefer, tag: str):
    for model in (lite, full):
        with pytest.raises(InvalidQuestionError, match=tag.strip('<|>')):
            model.generate(f'{tag}\nWhat is <region>?', [[encode(model, IMAGE, MASK)]], options=SHORT)


def test_a_question_without_any_object_is_about_the_scene_or_about_nothing(
    lite: PixelRefer, full: PixelRefer
):
    scene = full.encode_scene([Frame(IMAGE, 0)], video=False)
    seen = full.generate('What is this?', [], options=SHORT, scene=scene)
    blind = full.generate('What is this?', [], options=SHORT)
    assert seen.prompt_tokens == blind.prompt_tokens + sum(map(len, scene.frames)) + 1  # and a new line
    assert lite.generate('What is this?', [], options=SHORT).prompt_tokens == blind.prompt_tokens


def test_a_mask_without_a_tag_in_the_question_is_refused(full: PixelRefer):
    scene = full.encode_scene([Frame(IMAGE, 0)], video=False)
    with pytest.raises(InvalidQuestionError, match='0 <region> for 1 objects'):
        full.generate('What is this?', [[encode(full, IMAGE, MASK)]], options=SHORT, scene=scene)
