"""When probabilities are an event: thresholds, k of n, cooldown; what is asked; and what checks may cost."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.settings import WatchSettings
from pixelrefer_core.types import NANOSECONDS
from pixelrefer_core.watch import Hysteresis, WatchRequest, WatchRule, WatchState, as_question
from pixelrefer_core.watch_budget import LEAST_SHARE, WatchBudget

RULE = WatchRule(on=0.7, off=0.3)
LETTERS = {WatchState.WATCHING: 'w', WatchState.HOLDING: 'h', WatchState.COOLING: 'c'}


def play(rule: WatchRule, *probabilities: float) -> str:
    """A check a second; the state after each, in capitals where it triggered."""
    machine = Hysteresis(rule)
    told = ''
    for second, probability in enumerate(probabilities, start=100):
        triggered = machine.push(probability, second * NANOSECONDS)
        letter = LETTERS[machine.state]
        told += letter.upper() if triggered else letter
    assert machine.triggers == sum(letter.isupper() for letter in told)
    return told


def test_a_condition_triggers_when_it_begins_to_hold_and_not_while_it_holds():
    assert play(RULE, 0.1, 0.69, 0.7, 0.9, 0.8) == 'wwHhh'


def test_what_holds_from_the_start_triggers_with_the_first_check():
    assert play(RULE, 0.9, 0.9) == 'Hh'


def test_between_the_thresholds_nothing_changes():
    assert play(RULE, 0.5, 0.8, 0.5, 0.31, 0.69) == 'wHhhh'


def test_a_condition_must_end_before_it_triggers_again():
    assert play(RULE, 0.8, 0.3, 0.8) == 'HwH'


@pytest.mark.parametrize(
    ('probabilities', 'told'),
    [
        ((0.9, 0.1, 0.9), 'wwH'),  # two of the last three
        ((0.9, 0.1, 0.1, 0.9), 'wwww'),  # the first is too long ago
        ((0.9, 0.9, 0.1, 0.9, 0.1), 'wHhhw'),  # as many against it end it
        ((0.9, 0.9, 0.5, 0.5, 0.1, 0.5, 0.5, 0.1), 'wHhhhhhh'),  # 0.1 too seldom
    ],
)
def test_so_many_of_the_last_checks_must_speak_for_a_change(probabilities, told):
    assert play(replace(RULE, hits=2, of=3), *probabilities) == told


def test_checks_that_brought_one_change_about_do_not_count_for_the_next():
    assert play(replace(RULE, hits=1, of=3), 0.9, 0.1, 0.2, 0.2, 0.9) == 'HwwwH'


def test_during_the_cooldown_nothing_triggers_and_a_flicker_is_forgotten():
    assert play(replace(RULE, cooldown_s=4.0), 0.9, 0.1, 0.9, 0.1, 0.1) == 'Hcccw'


def test_what_still_holds_after_the_cooldown_triggers_then():
    assert play(replace(RULE, cooldown_s=4.0), 0.9, 0.1, 0.9, 0.9, 0.9, 0.9) == 'HcccHh'


def test_a_condition_that_holds_on_does_not_trigger_again_after_the_cooldown():
    assert play(replace(RULE, cooldown_s=2.0), 0.9, 0.9, 0.9, 0.9, 0.1, 0.9) == 'HhhhwH'


RULES_AT_FAULT = {
    'thresholds that cross': {'on': 0.3, 'off': 0.7},
    'a threshold above one': {'on': 1.5},
    'a threshold below zero': {'off': -0.1},
    'no number': {'on': math.nan},
    'more hits than checks': {'hits': 3, 'of': 2},
    'no hits': {'hits': 0},
    'too many checks': {'hits': 1, 'of': 33},
    'a negative cooldown': {'cooldown_s': -1.0},
    'an endless cooldown': {'cooldown_s': math.inf},
}


@pytest.mark.parametrize('fault', RULES_AT_FAULT)
def test_a_rule_out_of_range_is_refused(fault):
    with pytest.raises(InvalidRequestError):
        replace(RULE, **RULES_AT_FAULT[fault]).check()
    RULE.check()


@pytest.mark.parametrize('window_s', [-1.0, math.nan, math.inf])
def test_a_window_out_of_range_is_refused(window_s):
    with pytest.raises(InvalidRequestError, match='window'):
        WatchRequest('Is it red?', ('cup',), RULE, window_s=window_s).check()


@pytest.mark.parametrize(
    ('condition', 'question'),
    [
        ('Is <object1> moving?', 'Is <object1> moving?'),
        (' Tell me whether it moves. ', 'Tell me whether it moves.'),
        ('the red ball leaves the table.', 'Is it true that the red ball leaves the table?'),
        ('  ', ''),
    ],
)
def test_a_statement_is_asked_about_and_a_question_stands(condition, question):
    assert as_question(condition) == question


# --- cost

SETTINGS = WatchSettings(share=0.25, batch=8, turn_s=0.1)


def test_checks_take_no_more_than_their_share_of_the_time():
    budget = WatchBudget(SETTINGS)
    assert budget.wait_s(10.0) == 0
    budget.spent(10.0, 0.02, 1)
    assert budget.wait_s(10.02) == pytest.approx(0.06)
    assert budget.wait_s(10.08) == pytest.approx(0.0)


def test_a_batch_grows_until_it_fills_its_turn_and_shrinks_when_checks_cost_more():
    budget = WatchBudget(SETTINGS)
    sizes = []
    for number in range(6):
        sizes.append(budget.size())
        budget.spent(float(number), 0.02 * sizes[-1], sizes[-1])
    assert sizes == [1, 2, 4, 5, 5, 5]
    for number in range(20):
        budget.spent(10.0 + number, 0.3, 1)
    assert budget.size() == 1


def test_a_batch_is_bounded_however_cheap_checks_are():
    budget = WatchBudget(SETTINGS)
    for number in range(8):
        budget.spent(float(number), 1e-6, budget.size())
    assert budget.size() == 8


def test_a_batch_fits_between_two_images():
    budget = WatchBudget(SETTINGS)
    budget.adapt(period_s=0.1, busy_s=0.05)
    for number in range(8):
        budget.spent(float(number), 0.01 * budget.size(), budget.size())
    assert budget.size() == 5


def test_where_tracking_needs_the_device_checks_have_what_is_left():
    budget = WatchBudget(SETTINGS)
    budget.adapt(period_s=0.1, busy_s=0.09)
    budget.spent(0.0, 0.01, 1)
    assert budget.wait_s(0.0) == pytest.approx(0.1)
    budget.adapt(period_s=0.1, busy_s=0.3)
    budget.spent(1.0, 0.01, 1)
    assert budget.wait_s(1.0) == pytest.approx(0.01 / LEAST_SHARE)
    assert budget.size() == 1
