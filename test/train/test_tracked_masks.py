"""An evaluation with a tracker shows what the tracker sees, from the first true mask on."""

from __future__ import annotations

import numpy as np
import pytest

from pixelrefer_core.settings import TrackerSettings
from pixelrefer_core.tracker import create_tracker
from pixelrefer_core.types import Frame
from pixelrefer_train.evaluation.item import Appearance, EvaluationItem
from pixelrefer_train.evaluation.tracked import follow, track_masks

HEIGHT, WIDTH, FRAMES = 96, 160, 6


def square(number: int) -> np.ndarray:
    """Where a square is that moves three pixels a frame."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[30:66, 20 + 3 * number : 56 + 3 * number] = True
    return mask


@pytest.fixture(scope='module')
def frames() -> tuple[Frame, ...]:
    rng = np.random.default_rng(0)
    ground = rng.integers(90, 140, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    own = rng.integers(0, 60, (36, 36, 3)).astype(np.uint8) + np.array([180, 0, 0], np.uint8)
    made = []
    for number in range(FRAMES):
        image = ground.copy()
        image[square(number)] = own.reshape(-1, 3)
        made.append(Frame(image, number * 200_000_000))
    return tuple(made)


def item(
    frames: tuple[Frame, ...], first: int = 0, *, is_video: bool = True, name: str = 'a'
) -> EvaluationItem:
    # Only the first mask is true: a follower that looked at the others would go astray.
    wrong = np.zeros((HEIGHT, WIDTH), bool)
    wrong[:5, :5] = True
    views = [Appearance(n, square(n) if n == first else wrong) for n in range(first, FRAMES)]
    return EvaluationItem(name, 'motion', '<region> moves?', (tuple(views),), frames, is_video=is_video)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


@pytest.mark.parametrize('first', [0, 2])
def test_an_object_is_followed_from_the_frame_of_its_first_mask(frames, first):
    (views,) = follow(item(frames, first), create_tracker(TrackerSettings()))
    assert [view.frame for view in views] == list(range(first, FRAMES))
    assert all(overlap(view.region, square(view.frame)) > 0.7 for view in views)


def test_questions_about_the_same_frames_share_one_run_of_the_tracker(frames):
    tracker = create_tracker(TrackerSettings())
    steps = []
    original = tracker.step
    tracker.step = lambda frame: steps.append(frame) or original(frame)
    done = list(track_masks([item(frames), item(frames, name='b')], tracker))
    assert [one.item_id for one in done] == ['a', 'b']
    assert done[0].objects is done[1].objects
    assert len(steps) == FRAMES


def test_images_stay_as_they_are(frames):
    still = item(frames[:1], is_video=False)
    assert list(track_masks([still], create_tracker(TrackerSettings()))) == [still]
