"""Hiding and coming back: the composed clips are what they say, the scores are right, and the tracker lives through."""

import cv2
import numpy as np
import pytest

from pixelrefer_core.composed_clip import (
    RATE_HZ,
    SCENARIOS,
    Cutout,
    Scenario,
    compose,
    occlusion_clip,
    played_to_and_fro,
)
from pixelrefer_core.masks import mask_iou
from pixelrefer_core.occlusion_metrics import occlusion_score
from pixelrefer_core.settings import TrackerSettings
from pixelrefer_core.tracker.flow import FlowTracker
from pixelrefer_core.types import NANOSECONDS, MaskEstimate, ObjectState, Prompt

GREY = np.full((20, 30, 3), 100, np.uint8)


def square(x):
    skin = np.full((4, 4, 3), 200, np.float32)
    return Cutout(np.ones((4, 4), bool), skin, lambda number: None if x is None else (x, 9.5))


def test_a_cut_out_covers_exactly_its_pixels_and_the_later_one_is_in_front():
    clip = compose(lambda number: GREY, [square(9.5), square(11.5)], 1)
    first, second = (masks[0] for masks in clip.masks)
    assert np.argwhere(second).min(axis=0).tolist() == [8, 10]
    assert (first.sum(), second.sum(), (first & second).sum()) == (8, 16, 0)
    assert (clip.frames[0].image[first | second] == 200).all()
    assert (clip.frames[0].image[~(first | second)] == 100).all()


def test_half_a_pixel_of_motion_mixes_half_of_the_colours():
    clip = compose(lambda number: GREY, [square(10.0)], 1)
    assert clip.frames[0].image[9, 8:13, 0].tolist() == [150, 200, 200, 200, 150]


def test_what_is_nowhere_leaves_the_background_alone():
    clip = compose(lambda number: GREY, [square(None)], 2)
    assert not clip.masks[0][1].any()
    assert np.array_equal(clip.frames[1].image, GREY)
    assert clip.frames[1].stamp_ns == NANOSECONDS // 10


def test_a_short_background_is_played_to_and_fro():
    at = played_to_and_fro([np.full((1, 1, 3), k, np.uint8) for k in range(3)])
    assert [int(at(number)[0, 0, 0]) for number in range(9)] == [0, 1, 2, 1, 0, 1, 2, 1, 0]
    assert played_to_and_fro([GREY])(5) is GREY


@pytest.mark.parametrize('scenario', SCENARIOS, ids=str)
@pytest.mark.parametrize('seed', range(3))
def test_a_scenario_hides_its_object_for_as_long_as_it_says(scenario, seed):
    clip = occlusion_clip(scenario, seed)
    shown = np.array([np.count_nonzero(mask) for mask in clip.masks[0]])
    hidden = np.flatnonzero(shown == 0)
    assert np.array_equal(hidden, np.arange(hidden[0], hidden[-1] + 1))
    assert len(hidden) / RATE_HZ == pytest.approx(scenario.hidden_s, abs=0.2)
    # Halves of pixels at the outline come and go.
    assert shown[0] > 0.97 * shown.max()
    assert shown[-1] > 0.97 * shown.max()
    assert min(np.count_nonzero(mask) for mask in clip.masks[1]) > 500


def test_the_same_seed_gives_the_same_clip_and_another_one_another():
    one, two, other = (occlusion_clip(Scenario(False, 1.0), seed).frames[7].image for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


# --- scores: five frames of two seconds each; hidden on the third ---

WHOLE, EMPTY = np.zeros((4, 8), bool), np.zeros((4, 8), bool)
WHOLE[:, :4] = True
LEFT = np.zeros((4, 8), bool)
LEFT[:, :2] = True
SLIVER = np.zeros((4, 8), bool)
SLIVER[:, :1] = True
TRUTH = [WHOLE, WHOLE, EMPTY, SLIVER, WHOLE, WHOLE]
STAMPS_NS = [2 * k * NANOSECONDS for k in range(6)]


def score(*found):
    states = {'T': ObjectState.TRACKED, 'O': ObjectState.OCCLUDED}
    estimates = [MaskEstimate(mask, 1.0, states[state]) for mask, state in found]
    return occlusion_score(TRUTH, estimates, STAMPS_NS)


def test_a_perfect_tracker_scores_perfectly():
    result = score((WHOLE, 'T'), (WHOLE, 'T'), (EMPTY, 'O'), (EMPTY, 'O'), (WHOLE, 'T'), (WHOLE, 'T'))
    assert (result.region, result.hidden_area, result.hidden_states, result.reacquired_s) == (1, 0, 1, 0)


def test_a_late_tracker_pays_in_overlap_and_time():
    result = score((WHOLE, 'T'), (LEFT, 'T'), (LEFT, 'T'), (EMPTY, 'O'), (EMPTY, 'O'), (WHOLE, 'T'))
    assert result.region == pytest.approx((0.5 + 0 + 1) / 3)  # the sliver is not scored
    assert result.hidden_area == 0.5
    assert result.hidden_states == 0
    assert result.reacquired_s == 2.0


def test_the_right_mask_in_the_wrong_state_is_not_found_again():
    found = [(WHOLE, 'T'), (WHOLE, 'T'), (EMPTY, 'O'), (EMPTY, 'O'), (WHOLE, 'O'), (LEFT, 'O')]
    assert score(*found).reacquired_s is None


def test_a_clip_without_a_return_cannot_be_scored():
    with pytest.raises(ValueError, match='come back'):
        occlusion_score([WHOLE, WHOLE], [MaskEstimate(WHOLE, 1.0, ObjectState.TRACKED)] * 2, [0, 1])


NAMES = ('vanishing', 'staying')


def track_both(clip, settings):
    """Prompt both objects by their masks and step to the end. Returns {name: estimate} of each frame."""
    tracker = FlowTracker(settings)
    prompts = [Prompt(name, mask=masks[0]) for name, masks in zip(NAMES, clip.masks, strict=False)]
    return [tracker.add(prompts, clip.frames[:1])] + [tracker.step(frame) for frame in clip.frames[1:]]


@pytest.mark.parametrize('scenario', SCENARIOS, ids=str)
def test_the_tracker_knows_what_is_hidden_and_finds_it_again_under_its_name(scenario):
    clip = occlusion_clip(scenario, 11)
    settings = TrackerSettings()
    steps = track_both(clip, settings)
    vanishing = [step['vanishing'] for step in steps]
    result = occlusion_score(clip.masks[0], vanishing, [frame.stamp_ns for frame in clip.frames])
    print(f'{scenario}: {result}')
    assert result.region > 0.85
    assert result.hidden_area == 0
    assert result.hidden_states > 0.85
    assert result.reacquired_s is not None
    assert result.reacquired_s <= 0.3
    was_lost = any(item.state is ObjectState.LOST for item in vanishing)
    assert was_lost == (scenario.hidden_s > settings.lost_after_s)
    assert all(step['staying'].state is ObjectState.TRACKED for step in steps[1:])
    for name, masks in zip(NAMES, clip.masks, strict=False):
        assert mask_iou(steps[-1][name].mask, masks[-1]) > 0.85


# --- a background that the object resembles ---


def clutter(seed, shape):
    """Return an image (h, w, 3) of overlapping discs and bars in few colours, as foliage and walls are: sharp edges,
    and every colour of an object somewhere on it."""
    random = np.random.default_rng(seed)
    palette = np.array([(60, 75, 40), (110, 105, 90), (40, 45, 35), (150, 145, 130), (85, 95, 60)], float)
    image = np.zeros((*shape, 3), np.float32) + palette[0].astype(np.float32)
    for _ in range(shape[0] * shape[1] // 120):
        centre = random.integers(0, shape[1]), random.integers(0, shape[0])
        colour = (palette[random.integers(len(palette))] + random.normal(0, 8, 3)).tolist()
        axes = tuple(int(side) for side in random.integers(2, 14, 2))
        cv2.ellipse(
            image, tuple(int(c) for c in centre), axes, float(random.integers(180)), 0, 360, colour, -1
        )
    return cv2.GaussianBlur(image, (0, 0), 0.7)


def resembling_clip(scenario, seed):
    """Return a clip whose objects are cut out of the same clutter that sways behind them."""
    large = clutter(seed, (280, 400))

    def background(number):
        column, row = 40 + 30 * np.sin(number / 6), 20 + 12 * np.sin(number / 4)
        return cv2.warpAffine(large, np.float32([[1, 0, -column], [0, 1, -row]]), (320, 240))

    rows, columns = np.mgrid[-25:26, -30:31]
    shape = (rows / 24) ** 2 + (columns / 29) ** 2 < 1
    skins = [(shape, clutter(seed + number, shape.shape)) for number in (1, 2)]
    return occlusion_clip(scenario, seed, background=background, skins=skins)


# The two that differ most; each takes seconds.
@pytest.mark.parametrize('scenario', [SCENARIOS[0], SCENARIOS[-1]], ids=str)
def test_an_object_that_resembles_its_background_is_known_to_be_hidden_and_found_again(scenario):
    clip = resembling_clip(scenario, 21)
    steps = track_both(clip, TrackerSettings())
    vanishing = [step['vanishing'] for step in steps]
    result = occlusion_score(clip.masks[0], vanishing, [frame.stamp_ns for frame in clip.frames])
    print(f'{scenario}: {result}')
    assert result.region > 0.75
    assert result.hidden_area == 0
    assert result.hidden_states > 0.85
    assert result.reacquired_s is not None
    assert result.reacquired_s <= 0.5
    for name, masks in zip(NAMES, clip.masks, strict=False):
        assert mask_iou(steps[-1][name].mask, masks[-1]) > 0.75
