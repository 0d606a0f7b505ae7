"""Objects laid into clips: their truth is exact, and they vanish and return in every way."""

from __future__ import annotations

import numpy as np
import pytest

from pixelrefer_train.sam2_travel import LONGEST_ABSENCE, WAYS, add_traveller, plan

FRAMES, SIZE = 8, 64
GROUND = -50.0


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Pictures and covers of one square that keeps its place, on a ground that nothing else looks like."""
    pictures = np.full((FRAMES, SIZE, SIZE, 3), GROUND, np.float32)
    covers = np.zeros((FRAMES, 1, SIZE, SIZE), np.float32)
    covers[:, 0, 8:20, 40:52] = 1
    pictures[:, 8:20, 40:52] = (200, 90, 30)
    return pictures, covers


@pytest.mark.parametrize('seed', range(30))
def test_a_traveller_is_where_its_cover_is_and_hides_what_it_covers(seed: int) -> None:
    pictures, covers = scene()
    found = add_traveller(pictures, covers, np.random.default_rng(seed))
    assert found.shape == (FRAMES, 2, SIZE, SIZE)
    assert found.min() >= 0
    assert found.sum(axis=1).max() <= 1 + 1e-5
    owned = found.sum(axis=1) >= 1e-3
    strange = (np.abs(pictures[..., 0] - GROUND) > 1) & ~owned
    # What is no ground and belongs to no one is a panel: it stands there on all frames, or an object in front of it.
    assert (strange | owned)[:, strange.any(axis=0)].all()
    full = found[:, 1] > 0.999
    assert (pictures[full] != GROUND).any(axis=-1).all()


def test_travellers_are_hidden_for_some_frames_and_most_return() -> None:
    hidden, returned = 0, 0
    for seed in range(80):
        pictures, covers = scene()
        areas = add_traveller(pictures, covers, np.random.default_rng(seed))[:, 1].sum(axis=(1, 2))
        if areas[0] < 4:
            continue
        gone = np.flatnonzero(areas == 0)
        hidden += len(gone) > 0
        returned += len(gone) > 0 and areas[gone[0] :].max() > 0
    assert hidden >= 45
    assert returned >= 25


def test_a_journey_begins_in_the_picture_and_its_absence_is_short() -> None:
    absences, panels = [], 0
    for seed in range(200):
        journey = plan(FRAMES, SIZE, 12.0, np.random.default_rng(seed))
        assert journey.places.shape == (FRAMES, 2)
        assert not journey.hidden[0]
        (gone,) = np.nonzero(journey.hidden)
        assert len(gone) <= LONGEST_ABSENCE
        assert len(gone) == 0 or np.ptp(gone) == len(gone) - 1
        absences.append(len(gone))
        panels += journey.panel is not None
    assert set(absences) == set(range(LONGEST_ABSENCE + 1))
    # One way in four leads past a panel.
    assert 30 <= panels <= 70
    assert len(WAYS) == 4


def test_what_goes_behind_a_panel_is_hidden_by_it_step_by_step() -> None:
    for seed in range(200):
        journey = plan(FRAMES, SIZE, 12.0, np.random.default_rng(seed))
        (gone,) = np.nonzero(journey.hidden)
        if journey.panel is None or gone[0] < 2:
            continue
        low, high = journey.panel
        inside = ((journey.places >= low) & (journey.places <= high)).all(axis=1)
        assert not inside[0]
        # Its middle has not passed the panel's edge while it is still drawn.
        assert not inside[: gone[0]].any()


def test_one_frame_is_enough() -> None:
    assert not plan(1, SIZE, 12.0, np.random.default_rng(0)).hidden.any()
