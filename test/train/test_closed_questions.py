"""Closed questions: answers are read in the official order, figures are those worked out by hand."""

import numpy as np
import pytest

from pixelrefer_train.evaluation.choice import choice_prompt, class_of, letter_of, letters_of
from pixelrefer_train.evaluation.classification import (
    Decision,
    brier_score,
    expected_calibration_error,
    report,
)

YES_NO = ('Yes.', 'No.')


def test_options_follow_the_question_in_the_official_words():
    prompt = choice_prompt('What is <region> doing?', ['(A) running', '(B) lying'])
    assert prompt == (
        'What is <region> doing? (A) running (B) lying. '
        "Answer with the option's letter from the given choices directly."
    )


@pytest.mark.parametrize(
    ('text', 'letter'),
    [
        ('(B)', 'B'),
        ('A) or rather (C)', 'C'),  # brackets first, wherever they are
        ('I think D) fits', 'D'),
        ('B. lying', 'B'),
        ('.c', 'C'),
        ('because it runs', 'B'),  # the first character, whatever it begins
        ('', ''),
    ],
)
def test_a_letter_is_read_from_brackets_then_half_brackets_then_the_first_character(text, letter):
    assert letter_of(text) == letter


def test_options_without_letters_are_counted():
    assert letters_of(['(A) x', '(C) y', 'Z']) == ('A', 'C', 'C')
    assert letters_of(['red', 'blue']) == ('A', 'B')


@pytest.mark.parametrize(
    ('text', 'chosen'),
    [
        ('Red.', 'red'),
        ('It is dark red', 'dark red'),
        ('RED, surely', 'red'),
        ('red or blue', ''),
        ('reddish', ''),
        ('', ''),
    ],
)
def test_a_class_is_named_by_its_words_and_by_no_others(text, chosen):
    assert class_of(text, ('red', 'dark red', 'blue')) == chosen


def test_letters_outside_the_options_name_no_class():
    assert class_of('E', ('A', 'B')) == ''
    assert class_of('(B) lying', ('A', 'B')) == 'B'
    assert class_of('yes', YES_NO) == 'Yes.'


def decisions(*rows: tuple[str, str, str]) -> list[Decision]:
    return [Decision(expected, chosen, ('a', 'b', 'c'), scene) for expected, chosen, scene in rows]


def test_accuracies_and_baselines_are_those_counted_by_hand():
    # a: 3 of 4 right, b: 0 of 1, c: 1 of 1
    rows = [
        ('a', 'a', '1'),
        ('a', 'a', '1'),
        ('a', 'a', '2'),
        ('a', 'b', '2'),
        ('b', 'a', '3'),
        ('c', 'c', '3'),
    ]
    found = report(decisions(*rows))
    assert found.count == 6
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.balanced_accuracy == pytest.approx((3 / 4 + 0 + 1) / 3)
    assert found.majority_rate == pytest.approx(4 / 6)
    assert found.chance == pytest.approx(1 / 3)
    assert found.scenes == 3


def test_forms_of_one_type_have_majorities_and_classes_of_their_own():
    mixed = [
        *(Decision('Yes.', 'Yes.', YES_NO, str(k)) for k in range(3)),
        Decision('No.', 'Yes.', YES_NO, '3'),
        Decision('A', 'A', ('A', 'B'), '4'),
    ]
    found = report(mixed)
    # One question tells no commonest letter: it counts with chance.
    assert found.majority_rate == pytest.approx((3 + 1 / 2) / 5)
    assert found.balanced_accuracy == pytest.approx((1 + 0 + 1) / 3)


def test_answers_without_a_class_are_wrong_and_counted():
    found = report(decisions(('a', '', '1'), ('a', 'a', '1')))
    assert (found.accuracy, found.undecided) == (0.5, 0.5)


def test_intervals_resample_scenes_and_not_questions():
    # In each scene all answers are right or all wrong: 100 questions tell no more than their 2 scenes.
    rows = [('a', 'a', 'good')] * 50 + [('a', 'b', 'bad')] * 50
    assert report(decisions(*rows)).accuracy_interval == (0.0, 1.0)
    apart = [('a', 'a' if k % 2 else 'b', str(k)) for k in range(100)]
    low, high = report(decisions(*apart)).accuracy_interval
    # Normal approximation: 0.5 +- 1.96 * sqrt(0.25 / 100)
    assert (low, high) == pytest.approx((0.402, 0.598), abs=0.02)


def test_intervals_are_repeatable():
    rows = decisions(*[('a', 'ab'[k % 2], str(k)) for k in range(20)])
    assert report(rows, seed=3) == report(rows, seed=3)


def test_nothing_cannot_be_reported_on():
    with pytest.raises(ValueError, match='nothing'):
        report([])


def test_brier_score_is_the_mean_squared_error():
    assert brier_score([0.9, 0.4], [True, True]) == pytest.approx((0.01 + 0.36) / 2)


def test_calibration_error_is_the_gap_of_confidence_and_accuracy_in_each_bin():
    # Confidences 0.95, 0.95 (bin 9; right, wrong) and 0.6 (bin 6; right): (|1.9 - 1| + |0.6 - 1|) / 3
    assert expected_calibration_error([0.95, 0.05, 0.4], [True, True, False]) == pytest.approx(1.3 / 3)
    always_sure = expected_calibration_error(np.ones(8).tolist(), [True, False] * 4)
    assert always_sure == pytest.approx(0.5)
