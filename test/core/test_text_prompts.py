"""Prompts of words, in the engine: what the detector sees becomes an object; what it does not see is an error."""

import numpy as np
import pytest

from pixelrefer_core.engine import Engine
from pixelrefer_core.errors import (
    InvalidPromptError,
    NothingFoundError,
    TooManyObjectsError,
    UnsupportedError,
)
from pixelrefer_core.setting import with_values
from pixelrefer_core.settings import Settings
from pixelrefer_core.tracker.flow import FlowTracker
from pixelrefer_core.types import NANOSECONDS, Detection, Frame, ObjectTokens, Prompt

SETTINGS = with_values(Settings(), {'tracker.max_objects': 2, 'detector.threshold': 0.25})
BOXES = {'cup': [(10.0, 20.0, 40.0, 60.0), (60.0, 20.0, 90.0, 60.0)], 'red plate': [(15.0, 70.0, 75.0, 90.0)]}


class Silent:
    """A model that is never asked: tokens stand for nothing here."""

    info = None

    def encode_objects(self, views):
        return [ObjectTokens(None, view.frame.stamp_ns) for view in views]


class Known:
    """A detector that knows where things are, and notes what it was asked."""

    name = 'known'

    def __init__(self):
        self.asked = []

    def detect(self, frame, words, *, threshold):
        self.asked.append((frame.stamp_ns, words, threshold))
        return [
            Detection(Prompt(label=word, box_xyxy=box), 0.9) for word in words for box in BOXES.get(word, ())
        ]


@pytest.fixture
def detector():
    return Known()


@pytest.fixture
def engine(detector):
    engine = Engine(SETTINGS, tracker=FlowTracker(SETTINGS.tracker), model=Silent(), detector=detector)
    picture = np.random.default_rng(2).integers(0, 255, (100, 100, 3), np.uint8)
    for second in (1, 2):
        engine.step(Frame(picture, second * NANOSECONDS))
    return engine


def test_words_become_an_object_with_their_name(engine, detector):
    assert engine.add_objects([Prompt('mine', text=' red  plate')]) == ('mine',)
    (item,) = engine.select_objects()
    assert item.label == 'red plate'
    np.testing.assert_allclose(item.box_xyxy, BOXES['red plate'][0], atol=3)
    assert detector.asked == [(2 * NANOSECONDS, ('red plate',), 0.25)]


def test_words_are_looked_for_on_the_image_of_the_stamp(engine, detector):
    engine.add_objects([Prompt(text='cup')], stamp_ns=NANOSECONDS)
    assert detector.asked[0][0] == NANOSECONDS


def test_the_same_words_twice_are_two_things_the_better_one_first(engine):
    engine.add_objects([Prompt('a', text='cup', label='left'), Prompt('b', text='cup')])
    first, second = engine.select_objects()
    np.testing.assert_allclose(first.box_xyxy, BOXES['cup'][0], atol=3)
    np.testing.assert_allclose(second.box_xyxy, BOXES['cup'][1], atol=3)
    assert (first.label, second.label) == ('left', 'cup')


def test_words_and_boxes_come_together_or_not_at_all(engine, detector):
    box = Prompt('box', box_xyxy=(0.0, 0.0, 20.0, 20.0))
    with pytest.raises(NothingFoundError, match="no 'spoon' is seen"):
        engine.add_objects([box, Prompt(text='spoon')])
    assert not engine.select_objects()
    assert engine.add_objects([box, Prompt('word', text='cup')]) == ('box', 'word')
    assert [words for _, words, _ in detector.asked] == [('spoon',), ('cup',)]


def test_a_prompt_that_no_thing_is_left_for_is_an_error(engine):
    with pytest.raises(NothingFoundError, match='none besides'):
        engine.add_objects([Prompt(text='cup')] * 3)


def test_words_that_find_too_much_keep_to_the_cap(engine):
    with pytest.raises(TooManyObjectsError):
        engine.add_objects([Prompt(text='cup'), Prompt(text='cup'), Prompt(text='red plate')])


def test_without_words_the_detector_is_not_asked(engine, detector):
    engine.add_objects([Prompt(box_xyxy=(0.0, 0.0, 20.0, 20.0))])
    with pytest.raises(InvalidPromptError, match='points at nothing'):
        engine.add_objects([Prompt()])
    assert not detector.asked


def test_words_without_a_detector_say_what_to_set():
    engine = Engine(SETTINGS, tracker=FlowTracker(SETTINGS.tracker), model=Silent())
    engine.step(Frame(np.zeros((50, 50, 3), np.uint8), NANOSECONDS))
    with pytest.raises(UnsupportedError, match=r'needs a detector.*detector\.path'):
        engine.add_objects([Prompt(text='cup')])
