"""Detectors that read words: real checkpoints of random weights, loaded from folders, without a network."""

import json
import socket

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForZeroShotObjectDetection, AutoTokenizer

from pixelrefer_core.detector import create_detector
from pixelrefer_core.detector.boxes import to_corners, to_detections
from pixelrefer_core.detector.pixels import PixelRecipe, read_recipe
from pixelrefer_core.detector.reading import DinoReader, Reading
from pixelrefer_core.detector.words import checked_words, read_words
from pixelrefer_core.errors import EmptyPromptError, InvalidPromptError, ModelError
from pixelrefer_core.settings import DetectorSettings
from pixelrefer_core.types import Frame

from .tiny_detectors import DEVIATION, MEAN, SIDE, save_dino, save_owl

KINDS = {'owlv2': save_owl, 'owlvit': lambda folder: save_owl(folder, version=1), 'grounding-dino': save_dino}
WORDS = ('red ball', 'mug')


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    return {kind: save(tmp_path_factory.mktemp(kind)) for kind, save in KINDS.items()}


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args):
        raise AssertionError(f'a connection was tried: {args[1:]}')

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)


def load(folder):
    return create_detector(DetectorSettings(path=str(folder), device='cpu'))


def picture(height, width):
    return Frame(np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8), 0)


def overlap(first, second):
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    common = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return common / (sum(areas) - common)


# --- the whole way from a folder to boxes ---


@pytest.mark.parametrize('kind', KINDS)
def test_a_checkpoint_finds_boxes_inside_the_image_without_a_network(folders, kind, no_network):
    found = load(folders[kind]).detect(picture(48, 90), WORDS, threshold=0.0)
    assert found
    scores = [item.score for item in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    for item in found:
        x0, y0, x1, y1 = item.prompt.box_xyxy
        assert 0 <= x0 < x1 <= 90
        assert 0 <= y0 < y1 <= 48
        assert item.prompt.label in WORDS


@pytest.mark.parametrize('kind', KINDS)
def test_a_threshold_keeps_what_is_as_confident_and_nothing_else(folders, kind):
    detector = load(folders[kind])
    every = detector.detect(picture(48, 90), WORDS, threshold=0.0)
    least = every[len(every) // 2].score
    some = detector.detect(picture(48, 90), WORDS, threshold=least)
    assert [item.score for item in some] == [item.score for item in every if item.score >= least]
    assert not detector.detect(picture(48, 90), WORDS, threshold=1.1)


def test_no_two_detections_are_the_same_thing_twice(folders):
    found = load(folders['grounding-dino']).detect(picture(48, 90), WORDS, threshold=0.0)
    boxes = [item.prompt.box_xyxy for item in found]
    pairs = [overlap(a, b) for k, a in enumerate(boxes) for b in boxes[:k]]
    assert pairs
    assert max(pairs) <= 0.7


@pytest.mark.parametrize('kind', ['owlv2', 'owlvit'])
def test_the_best_box_is_that_of_the_bare_network_on_a_picture_of_its_own_size(folders, kind):
    frame = picture(SIDE, SIDE)
    best = load(folders[kind]).detect(frame, WORDS, threshold=0.0)[0]
    network = AutoModelForZeroShotObjectDetection.from_pretrained(folders[kind]).eval()
    text = AutoTokenizer.from_pretrained(folders[kind])(
        list(WORDS), padding='max_length', max_length=16, return_tensors='pt'
    )
    pixels = (frame.image / 255 - np.array(MEAN)) / np.array(DEVIATION)
    with torch.inference_mode():
        output = network(
            input_ids=text.input_ids,
            attention_mask=text.attention_mask,
            pixel_values=torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None],
        )
    box, word = divmod(int(output.logits[0].argmax()), len(WORDS))
    x, y, w, h = (SIDE * output.pred_boxes[0, box]).tolist()
    assert best.prompt.label == WORDS[word]
    assert best.score == pytest.approx(float(output.logits[0, box, word].sigmoid()), abs=1e-5)
    expected = np.clip([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 0, SIDE)
    np.testing.assert_allclose(best.prompt.box_xyxy, expected, atol=1e-3)


def test_no_path_is_no_detector():
    assert create_detector(DetectorSettings()) is None


# --- checkpoints that are not whole ---


def damaged(folder, tmp_path, damage):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damage(tmp_path)
    return tmp_path


def forget_a_tensor(folder):
    tensors = load_file(folder / 'model.safetensors')
    del tensors['box_head.dense0.weight']
    save_file(tensors, folder / 'model.safetensors', {'format': 'pt'})


DAMAGES = {
    'no weights': (lambda folder: (folder / 'model.safetensors').unlink(), 'cannot be loaded'),
    'cut weights': (lambda folder: (folder / 'model.safetensors').write_bytes(b'short'), 'cannot be loaded'),
    'a tensor less': (forget_a_tensor, 'lacks 1 tensors, such as box_head.dense0.weight'),
    'no recipe': (lambda folder: (folder / 'preprocessor_config.json').unlink(), 'has no preprocessor_config.json'),
    'half a recipe': (
        lambda folder: (folder / 'preprocessor_config.json').write_text('{"size": 64}'), 'how it wants its pictures',
    ),
    'no configuration': (lambda folder: (folder / 'config.json').unlink(), 'missing or damaged'),
    'another model': (
        lambda folder: (folder / 'config.json').write_text('{"model_type": "bert"}'), "holds a 'bert', not a detector",
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', DAMAGES)
def test_a_checkpoint_that_is_not_whole_says_what_is_wrong(folders, tmp_path, name, no_network):
    damage, message = DAMAGES[name]
    with pytest.raises(ModelError, match=message):
        load(damaged(folders['owlv2'], tmp_path, damage))


def test_weights_that_are_nowhere_say_how_to_get_them(no_network):
    with pytest.raises(ModelError, match='pixelrefer fetch nobody/nothing-here'):
        create_detector(DetectorSettings(path='nobody/nothing-here', device='cpu'))


# --- its parts, by hand ---


def test_owlv2_measures_boxes_by_the_longer_side_and_the_others_by_both():
    boxes = np.array([[0.5, 0.25, 0.5, 0.5], [0.9, 0.5, 0.4, 0.2]], np.float32)
    image = np.zeros((100, 200, 3), np.uint8)
    padded = PixelRecipe('pad', SIDE, SIDE, (0, 0, 0), (1, 1, 1)).unit_of(image)
    kept = PixelRecipe('keep', SIDE, 2 * SIDE, (0, 0, 0), (1, 1, 1)).unit_of(image)
    assert to_corners(boxes, padded, height=100, width=200).tolist() == [
        [50, 0, 150, 100],
        pytest.approx([140, 80, 200, 100]),  # the lower half of it is padding
    ]
    assert to_corners(boxes, kept, height=100, width=200)[0].tolist() == [50, 0, 150, 50]


@pytest.mark.parametrize(
    ('rows', 'columns', 'expected'),
    [(480, 640, (800, 1066)), (640, 480, (1066, 800)), (400, 1600, (333, 1333)), (800, 800, (800, 800))],
)
def test_a_picture_that_keeps_its_proportions_stays_within_both_sides(rows, columns, expected):
    recipe = PixelRecipe('keep', 800, 1333, (0, 0, 0), (1, 1, 1))
    assert recipe.size_of(np.zeros((rows, columns, 3), np.uint8)) == pytest.approx(expected, abs=1)


def test_padding_is_black_and_below_or_to_the_right():
    recipe = PixelRecipe('pad', 4, 4, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    pixels = recipe.to_pixels(np.full((2, 4, 3), 255, np.uint8), torch.device('cpu'), torch.float32)
    assert pixels[0, 0].tolist() == [[1] * 4, [1] * 4, [0] * 4, [0] * 4]


@pytest.mark.parametrize(
    ('size', 'fit', 'expected'),
    [
        ([768, 640], 'squash', (768, 640)),
        (960, 'pad', (960, 960)),
        ({'shortest_edge': 800, 'longest_edge': 1333}, 'keep', (800, 1333)),
    ],
)
def test_old_and_new_recipes_are_read(tmp_path, size, fit, expected):
    recipe = {'image_processor': {'size': size, 'image_mean': MEAN, 'image_std': DEVIATION}}
    (tmp_path / 'processor_config.json').write_text(json.dumps(recipe))
    read = read_recipe(tmp_path, fit)
    assert ((read.height, read.width), read.mean) == (expected, tuple(MEAN))


def test_what_is_not_finite_or_has_no_sides_is_no_detection():
    boxes = np.array([[0, 0, 9, 9], [20, 20, 20.5, 29], [np.nan] * 4, [30, 30, 40, 40]], np.float32)
    scores = np.array([0.5, 0.9, 0.9, np.nan], np.float32)
    found = to_detections(scores, np.zeros(4, np.int64), boxes, ['a'], threshold=0.2)
    assert [item.prompt.box_xyxy for item in found] == [(0, 0, 9, 9)]


class LetterTokenizer:
    """Every letter and every full stop is a token, between two special ones."""

    def __call__(self, text, **options):
        offsets = [(k, k + 1) for k, letter in enumerate(text) if letter != ' ']
        offsets = [(0, 0), *offsets, (0, 0)]
        return {'input_ids': torch.ones(1, len(offsets)), 'offset_mapping': torch.tensor([offsets])}


def test_the_tokens_of_each_word_are_found_in_the_text():
    reading = DinoReader(LetterTokenizer(), 64).read(['Red Ball', 'a.b'])
    # special, "redball" 1..7, ".", "ab" 9..10, ".", special
    assert reading.spans == ((1, 8), (9, 11))
    assert reading.inputs['input_ids'].shape == (1, 13)


def test_a_text_that_the_network_cannot_take_is_refused():
    with pytest.raises(InvalidPromptError, match='13 tokens; this detector reads 12'):
        DinoReader(LetterTokenizer(), 12).read(['Red Ball', 'ab'])
    with pytest.raises(InvalidPromptError, match='letters or digits'):
        DinoReader(LetterTokenizer(), 64).read(['...'])


def test_a_word_is_chosen_by_all_of_its_tokens_and_scored_by_its_best():
    # Tokens: special, red, ball, ".", red, mug, "."; a mug that is red.
    probabilities = torch.tensor([[0.99, 0.8, 0.1, 0.99, 0.7, 0.6, 0.99]])
    reading = Reading({}, ((1, 3), (4, 6)))
    scores, labels = DinoReader(None, 64).rate(torch.logit(probabilities), reading)
    assert labels.tolist() == [1]
    assert scores.tolist() == pytest.approx([0.7])


def test_words_are_separated_by_commas_and_come_once():
    assert read_words(' red  ball,mug ,, red ball') == ('red ball', 'mug')
    assert read_words(' , ') == ()


@pytest.mark.parametrize(
    ('words', 'error'),
    [
        ([' '], EmptyPromptError),
        (['x' * 65], InvalidPromptError),
        (['a\x00b'], InvalidPromptError),
        ([f'w{k}' for k in range(33)], InvalidPromptError),
    ],
)
def test_what_names_nothing_is_refused(words, error):
    with pytest.raises(error):
        checked_words(words)
