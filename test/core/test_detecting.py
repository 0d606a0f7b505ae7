"""The engine under a detector, and under prompts and frames that make no sense: with the real tracker."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest

from pixelrefer_core.engine import Engine
from pixelrefer_core.errors import (
    EmptyPromptError,
    InvalidPromptError,
    MaskSizeMismatchError,
    NoImageError,
    PromptNotFiniteError,
    PromptOutsideImageError,
    StaleImageError,
    TooManyObjectsError,
)
from pixelrefer_core.masks import mask_box, mask_iou
from pixelrefer_core.setting import with_values
from pixelrefer_core.settings import Settings
from pixelrefer_core.tracker.flow import FlowTracker
from pixelrefer_core.types import NANOSECONDS, Detection, Frame, ObjectState, ObjectTokens, Prompt

from .moving_cutouts import BLUE, HEIGHT, RED, WIDTH, Cutout, disk, render

SETTINGS = with_values(Settings(), {'tracker.max_objects': 3, 'detections.keep_lost_s': 3.0})
GONE = range(12, 20)
# Red leaves after frame 11 and comes back somewhere else with frame 20; blue stays.
CLIP = render(
    [
        Cutout(disk(20), RED, lambda t: None if t in GONE else (60 + 4 * t, 70)),
        Cutout(disk(18), BLUE, lambda t: (220 - 2 * t, 180)),
    ],
    32,
)
BLACK = np.zeros((HEIGHT, WIDTH, 3), np.uint8)


class Silent:
    """A model that is never asked: tokens stand for nothing here."""

    info = None

    def encode_objects(self, views):
        return [ObjectTokens(None, view.frame.stamp_ns) for view in views]


@pytest.fixture
def engine() -> Engine:
    return Engine(SETTINGS, tracker=FlowTracker(SETTINGS.tracker), model=Silent())


def seen(number, item=0, label='ball', **fields):
    box = mask_box(CLIP.masks[item][number])
    return Detection(Prompt(label=label, box_xyxy=tuple(float(side) for side in box)), **fields)


def play(engine, numbers, *items, delay=0, label='ball'):
    """Step through frames; after each, detect ``items`` as they were ``delay`` frames ago, where they show."""
    for number in numbers:
        engine.step(CLIP.frames[number])
        then = max(0, number - delay)
        found = [seen(then, item, label) for item in items if CLIP.masks[item][then].any()]
        engine.detect(found, stamp_ns=CLIP.frames[then].stamp_ns or 1)


def objects(engine):
    return {item.object_id: item for item in engine.select_objects()}


def test_a_detector_starts_each_object_once_and_the_tracker_follows_it(engine):
    play(engine, range(11), 0, 1)
    red, blue = engine.select_objects()
    assert (red.label, blue.label, red.generation) == ('ball', 'ball', 1)
    for item, truth in ((red, CLIP.masks[0]), (blue, CLIP.masks[1])):
        assert item.state is ObjectState.TRACKED
        assert mask_iou(item.mask, truth[10]) > 0.8


def test_a_slow_detector_starts_no_object_twice(engine):
    # Half a second late: meanwhile the red one has moved half its size.
    play(engine, range(11), 0, 1, delay=5)
    assert len(objects(engine)) == 2


def test_detections_do_not_double_what_a_person_pointed_at(engine):
    engine.step(CLIP.frames[0])
    engine.add_objects([Prompt('mine', 'my ball', mask=CLIP.masks[0][0])])
    play(engine, range(1, 8), 0)
    (item,) = engine.select_objects()
    assert (item.object_id, item.label, item.generation) == ('mine', 'my ball', 1)


def test_a_detection_brings_a_hidden_object_back_under_its_id_and_with_its_history(engine):
    engine.step(CLIP.frames[0])
    engine.add_objects([Prompt('mine', 'ball', mask=CLIP.masks[0][0])])
    play(engine, range(1, 20), 0)
    assert objects(engine)['mine'].state is ObjectState.OCCLUDED
    before = objects(engine)['mine'].window_frames
    play(engine, range(20, 26), 0)
    (item,) = engine.select_objects()
    assert (item.object_id, item.state, item.generation) == ('mine', ObjectState.TRACKED, 1)
    assert item.window_frames >= before
    assert mask_iou(item.mask, CLIP.masks[0][25]) > 0.8


def test_a_detectors_object_is_removed_when_it_is_gone_for_long_and_a_persons_is_kept(engine):
    engine.step(CLIP.frames[0])
    (mine,) = engine.add_objects([Prompt('mine', mask=CLIP.masks[1][0])])
    play(engine, range(1, 6), 0)
    assert len(objects(engine)) == 2
    ground = np.asarray(render([], 1).frames[0].image)
    for second in range(1, 6):
        engine.step(Frame(ground, CLIP.frames[5].stamp_ns + second * NANOSECONDS))
    assert set(objects(engine)) == {mine}
    assert objects(engine)[mine].state is ObjectState.LOST


def test_the_cap_stops_a_detector_without_an_error(engine):
    engine.step(CLIP.frames[0])
    engine.add_objects([Prompt(box_xyxy=(10.0 + 40 * k, 200.0, 40.0 + 40 * k, 230.0)) for k in range(2)])
    play(engine, range(1, 5), 0, 1)
    assert len(objects(engine)) == 3
    with pytest.raises(TooManyObjectsError, match='4 objects'):
        engine.add_objects([Prompt(box_xyxy=(10.0, 10.0, 40.0, 40.0))])


def test_malformed_detections_are_skipped_and_told_and_the_others_count(engine):
    engine.step(CLIP.frames[0])
    bad = [
        Detection(Prompt(box_xyxy=(5.0, 5.0, 5.0, 9.0))),
        Detection(Prompt(box_xyxy=(math.nan, 5.0, 6.0, 9.0))),
        Detection(Prompt(box_xyxy=(900.0, 5.0, 950.0, 9.0))),
        Detection(Prompt(mask=np.zeros((HEIGHT, WIDTH), bool))),
        Detection(Prompt(mask=np.ones((4, 4), bool))),
        Detection(Prompt('name', box_xyxy=(5.0, 5.0, 9.0, 9.0))),
        Detection(Prompt(points=np.float32([[5, 5]]))),
        seen(0, score=math.nan),
    ]
    report = engine.detect([*bad, seen(0)])
    assert len(report.refused) == len(bad)
    assert report.refused[1].startswith('detection 1: ')
    assert report.waiting == 1


def test_detections_before_any_image_or_of_one_that_is_gone_are_refused(engine):
    with pytest.raises(NoImageError):
        engine.detect([])
    engine.step(CLIP.frames[20])
    with pytest.raises(StaleImageError):
        engine.detect([seen(0)], stamp_ns=1)


def test_settings_of_the_tracker_change_while_it_runs(engine):
    engine.step(CLIP.frames[0])
    engine.add_objects([Prompt('red', mask=CLIP.masks[0][0])])
    engine.apply(with_values(SETTINGS, {'tracker.lost_after_s': 0.0}))
    play(engine, range(1, 15))
    assert objects(engine)['red'].state is ObjectState.LOST


# --- prompts and frames that make no sense ---

BAD_PROMPTS = [
    (Prompt('b', mask=np.zeros((HEIGHT, WIDTH), bool)), EmptyPromptError),
    (Prompt('b', mask=np.ones((HEIGHT, WIDTH + 1), bool)), MaskSizeMismatchError),
    (Prompt('b', box_xyxy=(30.0, 30.0, 30.0, 60.0)), EmptyPromptError),
    (Prompt('b', box_xyxy=(60.0, 30.0, 30.0, 60.0)), EmptyPromptError),
    (Prompt('b', box_xyxy=(WIDTH + 1.0, 0.0, WIDTH + 9.0, 9.0)), PromptOutsideImageError),
    (Prompt('b', box_xyxy=(0.0, 0.0, math.inf, 9.0)), PromptNotFiniteError),
    (Prompt('b', points=np.float32([[WIDTH, 5]])), PromptOutsideImageError),
    (Prompt('b', points=np.float32([[-1, 5]])), PromptOutsideImageError),
    (Prompt('b', points=np.float32([[math.nan, 5]])), PromptNotFiniteError),
    (Prompt('b', points=np.zeros((0, 2), np.float32)), EmptyPromptError),
    (Prompt('b', points=np.float32([[5, 5]]), point_labels=np.array([False])), EmptyPromptError),
    (Prompt('b'), InvalidPromptError),
]


@pytest.mark.parametrize(('prompt', 'error'), BAD_PROMPTS)
def test_a_prompt_that_makes_no_sense_is_refused_and_disturbs_nothing(engine, prompt, error):
    engine.step(CLIP.frames[0])
    engine.add_objects([Prompt('red', mask=CLIP.masks[0][0])])
    good = Prompt('good', mask=CLIP.masks[1][0])
    with pytest.raises(error, match='prompt 1'):
        engine.add_objects([good, prompt])
    assert set(objects(engine)) == {'red'}
    (item,) = engine.step(CLIP.frames[1]).objects
    assert item.state is ObjectState.TRACKED
    assert mask_iou(item.mask, CLIP.masks[0][1]) > 0.8


def test_one_black_frame_changes_no_state_and_two_hide_until_the_picture_is_back(engine):
    engine.step(CLIP.frames[0])
    engine.add_objects([Prompt('red', mask=CLIP.masks[0][0])])
    states = []
    for number in range(1, 11):
        frame = CLIP.frames[number]
        black = number in (3, 6, 7)
        states.append(engine.step(Frame(BLACK, frame.stamp_ns) if black else frame).objects[0].state)
    tracked, hidden = ObjectState.TRACKED, ObjectState.OCCLUDED
    assert states == [tracked] * 6 + [hidden] * 2 + [tracked] * 2
    assert mask_iou(objects(engine)['red'].mask, CLIP.masks[0][10]) > 0.8


def test_an_object_prompted_on_a_black_frame_ends_no_stream(engine):
    engine.step(Frame(BLACK, NANOSECONDS))
    engine.add_objects([Prompt('a', box_xyxy=(20.0, 20.0, 80.0, 80.0))])
    for number in range(1, 6):
        (item,) = engine.step(Frame(CLIP.frames[number].image, NANOSECONDS + number * 10**8)).objects
        assert item.mask.shape == (HEIGHT, WIDTH)


def test_another_frame_size_drops_objects_and_candidates_with_a_reason(engine, caplog):
    play(engine, range(4), 0)
    engine.detect([seen(3, 1)])
    half = Frame(np.ascontiguousarray(CLIP.frames[4].image[::2, ::2]), CLIP.frames[4].stamp_ns)
    with caplog.at_level(logging.WARNING):
        assert engine.step(half).objects == ()
    assert 'size changed from 320 x 240 to 160 x 120' in caplog.text
    # What waited in the old picture does not count in the new one.
    assert engine.detect([seen(3, 1)]).started == ()
