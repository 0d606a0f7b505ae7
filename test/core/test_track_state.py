"""States of a track: hysteresis in strength and in time, a leap is no sighting, the clock of the frames decides."""

import math
from dataclasses import replace

import numpy as np
import pytest

from pixelrefer_core.settings import TrackerSettings
from pixelrefer_core.track_state import NOTHING, Sighting, first_standing, next_standing
from pixelrefer_core.types import NANOSECONDS, ObjectState

SETTINGS = TrackerSettings(lost_after_s=1.0, confirm_frames=2)
GOOD = Sighting(0.9, 400.0, (100.0, 100.0))
TRACKED, HIDDEN, LOST = ObjectState.TRACKED, ObjectState.OCCLUDED, ObjectState.LOST


def run(*sightings, settings=SETTINGS, period_s=0.1):
    """Prompt with GOOD at 0 s; one sighting a frame from then on. Returns the standing after each."""
    standing, standings = first_standing(GOOD, 0), []
    for number, sighting in enumerate(sightings, 1):
        stamp_ns = round(number * period_s * NANOSECONDS)
        standing = next_standing(standing, sighting, stamp_ns, settings)
        standings.append(standing)
    return standings


def states(*sightings, **options):
    return [standing.state for standing in run(*sightings, **options)]


def test_the_first_frame_that_agrees_confirms_a_prompt():
    assert first_standing(GOOD, 0).state is ObjectState.PENDING
    assert states(GOOD) == [TRACKED]


def test_a_single_frame_without_the_object_changes_no_state_and_shows_no_mask():
    standings = run(GOOD, NOTHING, GOOD, NOTHING, GOOD)
    assert [item.state for item in standings] == [TRACKED] * 5
    assert [item.is_seen for item in standings] == [True, False, True, False, True]


def test_a_single_frame_with_a_hidden_object_changes_no_state_and_shows_no_mask():
    standings = run(NOTHING, NOTHING, GOOD, NOTHING, GOOD)
    assert [item.state for item in standings] == [ObjectState.PENDING, HIDDEN, HIDDEN, HIDDEN, HIDDEN]
    assert not any(item.is_seen for item in standings)


def test_two_frames_in_a_row_hide_and_two_bring_back():
    assert states(NOTHING, NOTHING, GOOD, GOOD, NOTHING, NOTHING) == [
        ObjectState.PENDING,
        HIDDEN,
        HIDDEN,
        TRACKED,
        TRACKED,
        HIDDEN,
    ]


def test_the_number_of_frames_is_a_setting():
    one = replace(SETTINGS, confirm_frames=1)
    assert states(NOTHING, GOOD, NOTHING, settings=one) == [HIDDEN, TRACKED, HIDDEN]
    three = replace(SETTINGS, confirm_frames=3)
    assert states(GOOD, NOTHING, NOTHING, GOOD, NOTHING, NOTHING, NOTHING, settings=three) == [
        TRACKED
    ] * 6 + [HIDDEN]


def test_lost_counts_seconds_since_the_object_was_seen():
    # Seen at 0 s, lost after 1 s: 1.0 s is not longer, 1.1 s is.
    assert states(*[NOTHING] * 11)[8:] == [HIDDEN, HIDDEN, LOST]
    # At one frame in two seconds the second empty frame is 4 s late: lost at once.
    assert states(NOTHING, NOTHING, period_s=2.0) == [ObjectState.PENDING, LOST]


def test_a_lost_object_that_returns_is_tracked_again_and_its_clock_starts_anew():
    standings = run(*[NOTHING] * 12, GOOD, GOOD, *[NOTHING] * 11)
    assert [item.state for item in standings[11:15]] == [LOST, LOST, TRACKED, TRACKED]
    assert standings[23].state is HIDDEN  # 1.0 s after 1.4 s
    assert standings[24].state is LOST


@pytest.mark.parametrize(
    ('weak', 'stays', 'returns'),
    [
        (replace(GOOD, score=0.5), True, False),
        (replace(GOOD, score=0.3), False, False),
        (replace(GOOD, score=math.nan), False, False),
        (replace(GOOD, area=100.0), True, False),  # a quarter of the usual area
        (replace(GOOD, area=40.0), False, False),
        (replace(GOOD, area=1500.0), True, True),
        (replace(GOOD, area=2000.0), False, False),  # five times as large at once: leaked
    ],
)
def test_staying_takes_less_than_coming_back(weak, stays, returns):
    assert (states(GOOD, weak, weak)[-1] is TRACKED) == stays
    assert (states(NOTHING, NOTHING, weak, weak)[-1] is TRACKED) == returns


def test_a_mask_that_leaps_is_not_believed():
    # Usual area 400: size 20. Within 2 + 4 * 0.1 s = 2.4 sizes = 48 pixels of where it was.
    near, far = replace(GOOD, centre=(147.0, 100.0)), replace(GOOD, centre=(149.0, 100.0))
    assert run(GOOD, near)[-1].is_seen
    assert not run(GOOD, far)[-1].is_seen


def test_the_longer_it_is_hidden_the_farther_away_it_may_return_and_once_lost_anywhere():
    away = replace(GOOD, centre=(210.0, 100.0))  # 5.5 sizes: reached after (5.5 - 2) / 4 = 0.875 s
    assert states(*[NOTHING] * 5, away, away)[-1] is HIDDEN
    assert states(*[NOTHING] * 8, away, away)[-1] is TRACKED
    across = replace(GOOD, centre=(2000.0, 100.0))
    assert states(*[NOTHING] * 9, across, across)[-1] is LOST
    assert states(*[NOTHING] * 11, across, across)[-1] is TRACKED


def test_what_is_usual_follows_growth_but_not_a_partly_hidden_object():
    grown = run(*[replace(GOOD, area=400.0 * 1.1**k) for k in range(1, 25)])
    assert all(item.is_seen for item in grown)
    assert grown[-1].area > 1500  # 400 * 1.1^24 is 3940; the average lags behind
    hiding = run(*[replace(GOOD, area=150.0)] * 20)
    assert hiding[-1].area == 400.0


def test_a_mask_is_measured():
    mask = np.zeros((20, 30), bool)
    mask[4:8, 10:20] = True
    assert Sighting.of(mask, 0.7) == Sighting(0.7, 40, (14.5, 5.5))
    assert Sighting.of(np.zeros((20, 30), bool), 0.7) == NOTHING
