"""The detector that knows: true boxes by stamp, for the objects that words name; checked on the shipped scene."""

import json
from pathlib import Path

import numpy as np
import pytest

from pixelrefer_core.errors import ModelError, UnsupportedError
from pixelrefer_core.types import NANOSECONDS, Frame
from pixelrefer_sim.record import SceneObject
from pixelrefer_sim.true_detector import is_named, load_true_detector

CLIP = Path(__file__).resolve().parents[2] / 'config' / 'demo_tabletop'
CONE = SceneObject('object3', 'cone', 'blue', 'small', 0.6)


@pytest.fixture(scope='module')
def detector():
    return load_true_detector(CLIP)


def frame(instant, *, late_ns=0, shape=(288, 384, 3)):
    return Frame(np.zeros(shape, np.uint8), NANOSECONDS + instant * NANOSECONDS // 10 + late_ns)


def only(found):
    (item,) = found
    return item.prompt.box_xyxy


@pytest.mark.parametrize('words', ['cone', 'the small blue cone', 'Blue Cone', 'small  cone'])
def test_the_cone_is_where_the_scene_points_at_it(detector, words):
    pointed = json.loads((CLIP / 'objects.json').read_text())['objects'][0]['box']
    x0, y0, x1, y1 = only(detector.detect(frame(0), [words], threshold=0.2))
    assert [x0, y0, x1 - x0, y1 - y0] == pytest.approx(pointed, abs=2)


def test_a_thing_that_moves_is_where_it_is_on_that_image(detector):
    places = [only(detector.detect(frame(instant), ['cone'], threshold=0.2)) for instant in (0, 18)]
    assert places[1][0] > places[0][0] + 5


def test_every_object_that_the_words_name_is_found_once_under_the_first_of_them(detector):
    found = detector.detect(frame(0), ['blue thing', 'cone', 'ring'], threshold=0.2)
    assert sorted(item.prompt.label for item in found) == ['blue thing', 'blue thing', 'ring']
    assert {item.score for item in found} == {1.0}


@pytest.mark.parametrize('words', ['red cone', 'cat', 'the', 'cone on fire'])
def test_what_is_not_there_is_not_found(detector, words):
    assert detector.detect(frame(0), [words], threshold=0.2) == []


def test_words_name_by_size_colour_and_category_together():
    assert is_named(CONE, 'a small thing')
    assert not is_named(CONE, 'large blue cone')
    assert not is_named(CONE, 'a')


@pytest.mark.parametrize(
    'image', [frame(-1), frame(400), frame(3, late_ns=40_000_000), frame(0, shape=(100, 100, 3))]
)
def test_an_image_of_something_else_is_refused(detector, image):
    with pytest.raises(UnsupportedError, match='none of scene 50000301'):
        detector.detect(image, ['cone'], threshold=0.2)


def test_a_folder_without_truth_says_so(tmp_path):
    with pytest.raises(ModelError, match='holds no truth'):
        load_true_detector(tmp_path)
