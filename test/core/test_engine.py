"""The engine end to end, with the real model and the real tracker: what it tracks it can talk about."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest

from pixelrefer_core.engine import Engine, build_engine
from pixelrefer_core.errors import (
    DuplicateObjectError,
    InvalidImageError,
    InvalidPromptError,
    InvalidRequestError,
    NoImageError,
    ObjectNeverSeenError,
    StaleImageError,
    TooManyObjectsError,
    UnknownObjectError,
)
from pixelrefer_core.setting import with_values
from pixelrefer_core.settings import Settings
from pixelrefer_core.types import (
    NANOSECONDS,
    FinishReason,
    Frame,
    GenerationOptions,
    ObjectState,
    Prompt,
    Query,
    QueryKind,
    TimeWindow,
)

SETTINGS = with_values(
    Settings(),
    {
        'model.path': 'random-nano',
        'model.device': 'cpu',
        'model.threads': 1,
        'generation.max_new_tokens': 6,
        'window.sample_rate_hz': 5.0,
    },
)
HEIGHT, WIDTH = 120, 160


def image(step: int = 0, *, height: int = HEIGHT) -> np.ndarray:
    """A bright textured square at x = 20 + step on a dark textured ground."""
    noise = np.random.default_rng(0).integers(0, 90, (height, WIDTH, 3), np.uint8)
    picture = cv2.GaussianBlur(noise, (0, 0), 2)
    patch = np.random.default_rng(1).integers(120, 250, (40, 40, 3), np.uint8)
    picture[40:80, 20 + step : 60 + step] = cv2.GaussianBlur(patch, (0, 0), 1.5)
    return picture


def frame(step: int) -> Frame:
    return Frame(image(step), (step + 1) * NANOSECONDS // 10, 'eye')


@pytest.fixture(scope='module')
def shared():
    return build_engine(SETTINGS)


@pytest.fixture
def engine(shared) -> Engine:
    shared.remove_objects()
    shared.reset()
    shared.apply(SETTINGS)
    return shared


@pytest.fixture
def cup(engine) -> Engine:
    engine.step(frame(0))
    engine.add_objects([Prompt('cup', 'a cup', box_xyxy=(20, 40, 60, 80))])
    return engine


def ask(*ids: str, **fields) -> Query:
    return Query(QueryKind.ANSWER, ids, 'What is it?', **fields)


def test_a_tracked_object_follows_and_keeps_its_history(cup):
    for step in range(1, 9):
        update = cup.step(frame(step))
    (item,) = update.objects
    assert (item.object_id, item.label, item.state) == ('cup', 'a cup', ObjectState.TRACKED)
    assert abs(item.box_xyxy[0] - 28) <= 3
    assert (item.first_seen_ns, item.last_seen_ns) == (NANOSECONDS // 10, 9 * NANOSECONDS // 10)
    assert item.mask_area == item.mask.sum()
    assert item.window_frames == 5


def test_a_new_object_can_be_asked_about_before_the_next_frame(cup):
    answer = cup.answer(ask('cup'))
    assert answer.frame_stamps_ns == (NANOSECONDS // 10,)
    assert answer.frame_id == 'eye'
    assert 0 < answer.completion_tokens <= 6


def test_a_question_makes_no_object_tokens(cup, monkeypatch):
    cup.step(frame(1))
    monkeypatch.setattr(cup.model, 'encode_objects', lambda views: pytest.fail('the encoder was called'))
    assert cup.answer(ask('cup')).timing.vision_s == 0


def test_a_question_never_runs_the_vision_encoder_and_a_second_one_reads_no_object_again(cup, monkeypatch):
    model, pictures, read = cup.model, [], []
    extend = model.language_model.extend
    monkeypatch.setattr(
        model.language_model,
        'extend',
        lambda embeds, cache: read.append(len(embeds)) or extend(embeds, cache),
    )
    hook = model.visual_model.vision_encoder.register_forward_hook(lambda *_: pictures.append(1))

    def positions_read(question: str) -> int:
        read.clear()
        answer = cup.answer(Query(QueryKind.ANSWER, ('cup',), question))
        return sum(read) - (answer.completion_tokens - 1)

    try:
        for step in range(1, 4):
            cup.step(frame(step))
        encoded = len(pictures)
        first, second = positions_read('What is it?'), positions_read('Is it red?')
        assert encoded == 1  # of the frames since the prompt, one was due
        assert len(pictures) == encoded
    finally:
        hook.remove()
    assert first > 2 * 32  # the tokens of two object-frames
    assert second == len('Is it red?') + len('|\n|assistant\n')


def test_several_objects_of_a_frame_are_encoded_together(cup, monkeypatch):
    cup.add_objects([Prompt('ground', box_xyxy=(100, 90, 150, 118))])
    batches = []
    encode = cup._memory._encode
    monkeypatch.setattr(cup._memory, '_encode', lambda views: batches.append(len(views)) or encode(views))
    for step in range(1, 4):
        cup.step(frame(step))
    assert batches == [2]


def test_an_answer_says_which_frames_it_rests_on(cup):
    for step in range(1, 9):
        cup.step(frame(step))
    stamps = cup.answer(ask('cup')).frame_stamps_ns
    assert [stamp_ns * 10 // NANOSECONDS for stamp_ns in stamps] == [1, 3, 5, 7, 9]
    window = TimeWindow(start_ns=NANOSECONDS // 4, end_ns=NANOSECONDS * 3 // 4)
    assert len(cup.answer(ask('cup', window=window)).frame_stamps_ns) == 3


def test_a_region_is_described_without_being_tracked(engine):
    engine.step(frame(0))
    query = Query(QueryKind.CAPTION, (), visual_prompt=Prompt(box_xyxy=(20, 40, 60, 80)))
    answer = engine.answer(query)
    assert answer.timing.vision_s > 0
    assert answer.question.endswith('in the image.')
    assert not engine.select_objects()


def test_ids_are_given_once_and_avoid_those_in_use(engine):
    engine.step(frame(0))
    box = (20, 40, 60, 80)
    first = engine.add_objects([Prompt(box_xyxy=box)])[0]
    number = int(first.partition('_')[2])
    engine.add_objects([Prompt(f'obj_{number + 1}', box_xyxy=box)])
    assert engine.add_objects([Prompt(box_xyxy=box)]) == (f'obj_{number + 2}',)
    engine.remove_objects()
    assert engine.add_objects([Prompt(box_xyxy=box)]) == (f'obj_{number + 3}',)


def test_a_prompt_on_an_earlier_frame_is_brought_up_to_the_newest(engine):
    for step in range(6):
        engine.step(frame(step))
    engine.add_objects([Prompt('cup', box_xyxy=(20, 40, 60, 80))], stamp_ns=NANOSECONDS // 10)
    assert abs(engine.select_objects()[0].box_xyxy[0] - 25) <= 3


def test_prompting_anew_starts_a_generation_and_forgets_what_was_seen(cup):
    cup.step(frame(5))
    cup.add_objects([Prompt('cup', box_xyxy=(25, 40, 65, 80))], replace_existing=True)
    (item,) = cup.select_objects()
    assert (item.generation, item.window_frames) == (2, 1)


@pytest.mark.parametrize(
    ('prompts', 'error', 'message'),
    [
        ([], InvalidRequestError, 'no prompt'),
        ([Prompt('cup', box_xyxy=(0, 0, 9, 9))], DuplicateObjectError, 'prompt 0: object .cup. exists'),
        (
            [Prompt('a', box_xyxy=(0, 0, 9, 9)), Prompt('a', box_xyxy=(0, 0, 9, 9))],
            DuplicateObjectError,
            'prompt 1',
        ),
        ([Prompt('x' * 65, box_xyxy=(0, 0, 9, 9))], InvalidPromptError, 'at most 64 characters'),
        ([Prompt('<region>', box_xyxy=(0, 0, 9, 9))], InvalidPromptError, 'without "<"'),
        ([Prompt(box_xyxy=(0, 0, 9, 9))] * 8, TooManyObjectsError, r'9 objects .*max_objects is 8'),
        (
            [Prompt('b', box_xyxy=(0, 0, 9, 9)), Prompt('c')],
            InvalidPromptError,
            'prompt 1: the prompt points at noth',
        ),
    ],
)
def test_a_refused_request_adds_nothing(cup, prompts, error, message):
    with pytest.raises(error, match=message):
        cup.add_objects(prompts)
    assert [item.object_id for item in cup.select_objects()] == ['cup']


def test_nothing_works_before_the_first_frame(engine):
    with pytest.raises(NoImageError, match='check the image topic'):
        engine.add_objects([Prompt(box_xyxy=(0, 0, 9, 9))])
    with pytest.raises(NoImageError):
        engine.answer(ask('cup'))


def test_an_unknown_object_is_named_with_those_that_exist(cup):
    with pytest.raises(UnknownObjectError, match="'ghost' is tracked; tracked are: cup"):
        cup.answer(ask('cup', 'ghost'))


def test_an_object_too_small_to_be_seen_is_told(engine):
    engine.step(frame(0))
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[50:53, 30:33] = True
    engine.add_objects([Prompt('speck', mask=mask)])
    with pytest.raises(ObjectNeverSeenError, match='16 pixels or more'):
        engine.answer(ask('speck'))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'temperature': -1.0}, 'temperature'),
        ({'temperature': float('nan')}, 'temperature'),
        ({'top_p': 0.0}, 'top_p'),
        ({'max_new_tokens': 5000}, r'limits\.new_tokens is 2048'),
        ({'stop': ('x',) * 9}, 'at most 8 stop strings'),
        ({'stop': ('x' * 65,)}, 'of 64 characters'),
    ],
)
def test_options_out_of_range_are_refused(cup, options, message):
    with pytest.raises(InvalidRequestError, match=message):
        cup.answer(ask('cup', options=GenerationOptions(**options)))


def test_an_answer_ends_before_a_stop_string(cup):
    whole = cup.answer(ask('cup'))
    assert len(whole.text) >= 2
    stop = whole.text[1:3]
    cut = cup.answer(ask('cup', options=GenerationOptions(stop=(stop,))))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason is FinishReason.STOP


def test_a_window_that_ends_before_it_starts_is_refused(cup):
    with pytest.raises(InvalidRequestError, match='ends before it starts'):
        cup.answer(ask('cup', window=TimeWindow(start_ns=5, end_ns=4)))


@pytest.mark.parametrize(
    ('second', 'reason'),
    [
        (Frame(image(height=100), 2 * NANOSECONDS), 'size changed from 160 x 120 to 160 x 100'),
        (Frame(image(), 3 * NANOSECONDS), 'went back by 7.000 s'),
    ],
)
def test_a_new_stream_drops_all_objects_and_logs_why(engine, second, reason, caplog):
    engine.step(Frame(image(), 10 * NANOSECONDS if 'back' in reason else NANOSECONDS))
    engine.add_objects([Prompt('cup', box_xyxy=(20, 40, 60, 80))])
    with caplog.at_level(logging.WARNING):
        assert not engine.step(second).objects
    assert reason in caplog.text


def test_a_frame_that_was_overtaken_is_skipped_and_the_objects_stay(cup):
    cup.step(frame(5))
    with pytest.raises(StaleImageError, match='behind a newer one'):
        cup.step(frame(3))
    assert len(cup.select_objects()) == 1


def test_an_image_beyond_the_limit_is_refused(engine):
    engine.apply(with_values(SETTINGS, {'limits.image_pixels': 4096}))
    with pytest.raises(InvalidImageError, match=r'160 x 120 pixels; limits\.image_pixels is 4096'):
        engine.step(frame(0))


def test_the_frames_held_are_bounded_in_number_and_bytes(engine):
    engine.apply(with_values(SETTINGS, {'window.recent_frames': 3}))
    for step in range(6):
        engine.step(frame(step))
    assert len(engine._recent) == 3
    with pytest.raises(StaleImageError, match='use stamp 0'):
        engine.add_objects([Prompt(box_xyxy=(0, 0, 9, 9))], stamp_ns=NANOSECONDS // 10)
