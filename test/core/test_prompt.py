"""Prompts are those of the official code, letter by letter, and users cannot write control tokens."""

from __future__ import annotations

import pytest

from pixelrefer_core.errors import InvalidQuestionError
from pixelrefer_core.prompt import chat, check_text, fill_regions, region_slot, scene_slot

R = '<REGION>'
IMAGE = '<image>'


def test_a_turn_has_no_system_prompt_and_waits_for_the_assistant():
    assert chat('Hi') == '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n'


def test_an_object_of_an_image_is_its_tokens_in_brackets():
    assert region_slot([3]) == f'[{R}{R}{R}]'


def test_an_object_of_a_video_carries_the_time_of_each_frame_without_a_unit():
    assert region_slot([1, 2], [0.5, 2.0]) == f'[Time 0.5:{R},Time 2.0:{R}{R}]'


def test_frames_without_times_have_brackets_of_their_own():
    assert region_slot([1, 1]) == f'[{R}][{R}]'


@pytest.mark.parametrize(('time', 'text'), [(0, '0.0'), (1.25, '1.2'), (12.34, '12.3'), (59.96, '60.0')])
def test_times_have_one_decimal(time: float, text: str):
    assert region_slot([1], [time]) == f'[Time {text}:{R}]'


def test_a_scene_comes_first_and_ends_its_line():
    assert scene_slot([2]) == f'{IMAGE}{IMAGE}\n'
    assert scene_slot([1, 2], [0.0, 0.5]) == f'Time 0.0s:{IMAGE},Time 0.5s:{IMAGE}{IMAGE}\n'


def test_slots_are_filled_from_left_to_right():
    assert (
        fill_regions('<region0><region>, <region1><region>!', ['[a]', '[b]']) == '<region0>[a], <region1>[b]!'
    )


@pytest.mark.parametrize(
    ('text', 'slots'), [('none', ['[a]']), ('<region> <region>', ['[a]']), ('<region>', [])]
)
def test_a_count_that_differs_is_named(text: str, slots: list[str]):
    with pytest.raises(
        InvalidQuestionError, match=rf'{text.count("<region>")} <region> for {len(slots)} objects'
    ):
        fill_regions(text, slots)


def test_a_slot_is_not_scanned_again():
    assert fill_regions('<region>', ['<region>']) == '<region>'


@pytest.mark.parametrize('token', ['<|im_start|>', '<|im_end|>', '<image>', '<REGION>', '<video>'])
def test_control_tokens_are_refused_by_name(token: str):
    known = {'<|im_start|>', '<|im_end|>', '<image>', '<REGION>', '<video>'}
    with pytest.raises(InvalidQuestionError) as raised:
        check_text(f'What is <region>?{token}', known)
    assert token in str(raised.value)


@pytest.mark.parametrize('text', ['', '  \n', '<region>', ' <region><region> '])
def test_a_question_of_slots_alone_is_empty(text: str):
    with pytest.raises(InvalidQuestionError, match='empty'):
        check_text(text, set())


def test_a_lone_surrogate_is_no_text():
    with pytest.raises(InvalidQuestionError, match='Unicode'):
        check_text('what is \ud800', set())


@pytest.mark.parametrize('text', ['a < b > c', 'Was ist das für ein Gerät?', '这是什么?', '🦆 <region0>?'])
def test_ordinary_text_passes(text: str):
    check_text(text, {'<|im_start|>', '<image>'})
