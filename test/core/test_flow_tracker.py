"""The weightless tracker on composed clips with exact truth: following, hiding, returning, and bad input."""

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pixelrefer_core.clip import open_clip
from pixelrefer_core.errors import InvalidImageError
from pixelrefer_core.masks import mask_box, mask_iou
from pixelrefer_core.segmentation_metrics import score_sequence
from pixelrefer_core.settings import TrackerSettings
from pixelrefer_core.tracker.flow import FlowTracker
from pixelrefer_core.tracker.views import Views
from pixelrefer_core.types import NANOSECONDS, Frame, ObjectState, Prompt

from .moving_cutouts import BLUE, GREEN, GREY, HEIGHT, RED, WIDTH, Cutout, bar, disk, render

SETTINGS = TrackerSettings()
BALL = Cutout(disk(22), RED, lambda t: (60 + 5 * t, 110 + 15 * np.sin(t / 4)))
# Passes behind a bar that is wider than itself: hidden on frames 13 to 16.
HIDING = (Cutout(disk(20), RED, lambda t: (40 + 8 * t, 120)), Cutout(bar(70), GREY, lambda t: (160, 119.5)))


def follow(tracker, clip, prompts, *, start=0):
    """Prompt on frame ``start`` and step to the end. Returns {id: [estimate of each frame]}."""
    found = {key: [item] for key, item in tracker.add(prompts, [clip.frames[start]]).items()}
    for frame in clip.frames[start + 1 :]:
        for key, estimate in tracker.step(frame).items():
            found[key].append(estimate)
    return found


def innermost(mask):
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x), float(y)


def test_a_moving_object_is_followed_under_a_moving_camera():
    clip = render([BALL], 30, pan=3)
    found = follow(FlowTracker(SETTINGS), clip, [Prompt('ball', mask=clip.masks[0][0])])['ball']
    score = score_sequence(clip.masks[0], [item.mask for item in found])
    assert score.region > 0.9
    assert score.boundary > 0.9
    assert all(item.state is ObjectState.TRACKED for item in found[1:])


def test_a_new_object_is_pending_until_a_frame_confirms_it():
    clip = render([BALL], 2)
    tracker = FlowTracker(SETTINGS)
    added = tracker.add([Prompt('ball', mask=clip.masks[0][0])], clip.frames[:1])['ball']
    assert added.state is ObjectState.PENDING
    assert np.array_equal(added.mask, clip.masks[0][0])
    assert tracker.step(clip.frames[1])['ball'].state is ObjectState.TRACKED


def test_adding_on_an_older_frame_catches_up_with_the_newest():
    clip = render([BALL], 8)
    tracker = FlowTracker(SETTINGS)
    added = tracker.add([Prompt('ball', mask=clip.masks[0][0])], clip.frames)['ball']
    assert added.state is ObjectState.TRACKED
    assert mask_iou(added.mask, clip.masks[0][7]) > 0.85


@pytest.mark.parametrize('kind', ['box', 'point', 'points', 'box and point', 'mask'])
def test_every_kind_of_prompt_finds_the_object(kind):
    clip = render([BALL], 6)
    truth = clip.masks[0][0]
    on, off = innermost(truth), (300.0, 20.0)
    box = tuple(float(side) for side in mask_box(truth))
    prompt = {
        'box': Prompt('a', box_xyxy=box),
        'point': Prompt('a', points=np.float32([on])),
        'points': Prompt('a', points=np.float32([on, off]), point_labels=np.array([True, False])),
        'box and point': Prompt('a', box_xyxy=box, points=np.float32([on])),
        'mask': Prompt('a', mask=truth),
    }[kind]
    tracker = FlowTracker(SETTINGS)
    assert mask_iou(tracker.segment(prompt, clip.frames[0]), truth) > 0.8
    found = follow(tracker, clip, [prompt])['a']
    assert mask_iou(found[-1].mask, clip.masks[0][-1]) > 0.8


def test_segmenting_a_prompt_disturbs_no_track():
    clip = render([BALL], 6)
    plain, asked = FlowTracker(SETTINGS), FlowTracker(SETTINGS)
    for tracker in (plain, asked):
        tracker.add([Prompt('ball', mask=clip.masks[0][0])], clip.frames[:1])
    for frame in clip.frames[1:]:
        asked.segment(Prompt('other', box_xyxy=(200.0, 20.0, 260.0, 80.0)), frame)
        assert np.array_equal(plain.step(frame)['ball'].mask, asked.step(frame)['ball'].mask)


def test_a_hidden_object_is_occluded_and_then_tracked_again():
    clip = render(HIDING, 30)
    found = follow(FlowTracker(SETTINGS), clip, [Prompt('ball', mask=clip.masks[0][0])])['ball']
    assert found[15].state is ObjectState.OCCLUDED
    assert not found[15].mask.any()
    assert found[15].score == 0
    assert [item.state for item in found[24:]] == [ObjectState.TRACKED] * 6
    assert mask_iou(found[-1].mask, clip.masks[0][-1]) > 0.85


def test_an_object_hidden_for_long_is_lost_and_found_elsewhere():
    def path(t):
        return (60 + 2 * t, 60) if t < 8 else None if t < 40 else (250, 180)

    clip = render([Cutout(disk(18), RED, path)], 46)
    found = follow(FlowTracker(SETTINGS), clip, [Prompt('ball', mask=clip.masks[0][0])])['ball']
    # lost_after_s is 2 s, 20 frames.
    assert found[20].state is ObjectState.OCCLUDED
    assert found[35].state is ObjectState.LOST
    assert found[-1].state is ObjectState.TRACKED
    assert mask_iou(found[-1].mask, clip.masks[0][-1]) > 0.8


def test_lost_after_counts_the_time_of_the_frames_not_their_number():
    def path(t):
        return (60 + 2 * t, 60) if t < 5 else None

    clip = render([Cutout(disk(18), RED, path)], 10, rate_hz=1.0)
    found = follow(FlowTracker(SETTINGS), clip, [Prompt('ball', mask=clip.masks[0][0])])['ball']
    assert found[6].state is ObjectState.OCCLUDED
    assert found[8].state is ObjectState.LOST


def test_each_returning_object_keeps_its_identity():
    def path(column, row):
        return lambda t: (column + 2 * t, row) if t < 6 or t >= 14 else None

    clip = render([Cutout(disk(18), RED, path(60, 70)), Cutout(disk(18), BLUE, path(180, 170))], 20)
    prompts = [Prompt('red', mask=clip.masks[0][0]), Prompt('blue', mask=clip.masks[1][0])]
    found = follow(FlowTracker(SETTINGS), clip, prompts)
    for key, truth in (('red', clip.masks[0]), ('blue', clip.masks[1])):
        assert found[key][10].state is ObjectState.OCCLUDED
        assert mask_iou(found[key][-1].mask, truth[-1]) > 0.8


def test_a_hidden_object_does_not_take_over_its_tracked_twin():
    def gone(t):
        return (60, 70) if t < 5 else None

    twins = [Cutout(disk(18), RED, gone), Cutout(disk(18), RED, lambda t: (200 + 2 * t, 170))]
    clip = render(twins, 16)
    prompts = [Prompt('first', mask=clip.masks[0][0]), Prompt('second', mask=clip.masks[1][0])]
    found = follow(FlowTracker(SETTINGS), clip, prompts)
    assert found['first'][-1].state is ObjectState.OCCLUDED
    assert mask_iou(found['second'][-1].mask, clip.masks[1][-1]) > 0.85


def test_objects_that_nothing_resembles_stay_lost():
    def path(t):
        return (60, 60) if t < 4 else None

    others = [
        Cutout(disk(25), GREEN, lambda t: (200, 100 + t)),
        Cutout(disk(15), BLUE, lambda t: (100 + t, 190)),
    ]
    clip = render([Cutout(disk(18), RED, path), *others], 16, rate_hz=5.0)
    found = follow(FlowTracker(SETTINGS), clip, [Prompt('ball', mask=clip.masks[0][0])])['ball']
    assert [item.state for item in found[5:]].count(ObjectState.TRACKED) == 0


def test_removing_an_object_does_not_disturb_the_others():
    other = Cutout(disk(15), BLUE, lambda t: (250 - 3 * t, 200))
    clip = render([BALL, other], 10)
    ball = Prompt('ball', mask=clip.masks[0][0])
    alone = follow(FlowTracker(SETTINGS), clip, [ball])['ball']
    tracker = FlowTracker(SETTINGS)
    tracker.add([Prompt('other', mask=clip.masks[1][0]), ball], clip.frames[:1])
    for number, frame in enumerate(clip.frames[1:], start=1):
        found = tracker.step(frame)
        assert np.array_equal(found['ball'].mask, alone[number].mask)
        if number == 4:
            tracker.remove(['other'])
    assert set(found) == {'ball'}


def test_prompting_an_id_again_starts_it_anew():
    other = Cutout(disk(15), BLUE, lambda t: (250 - 3 * t, 200))
    clip = render([BALL, other], 8)
    tracker = FlowTracker(SETTINGS)
    tracker.add([Prompt('a', mask=clip.masks[0][0])], clip.frames[:1])
    tracker.step(clip.frames[1])
    again = tracker.add([Prompt('a', mask=clip.masks[1][1])], clip.frames[1:2])
    assert again['a'].state is ObjectState.PENDING
    assert mask_iou(tracker.step(clip.frames[2])['a'].mask, clip.masks[1][2]) > 0.8


def test_runs_repeat_exactly():
    clip = render(HIDING, 24)
    runs = [
        follow(FlowTracker(SETTINGS), clip, [Prompt('a', box_xyxy=(20, 100, 61, 141))])['a'] for _ in 'ab'
    ]
    for one, two in zip(*runs, strict=True):
        assert np.array_equal(one.mask, two.mask)
        assert one.score == two.score


@pytest.mark.parametrize('value', [0, 255])
def test_a_black_or_blank_frame_hides_the_object_and_no_more(value):
    clip = render([BALL], 12)
    blank = np.full((HEIGHT, WIDTH, 3), value, np.uint8)
    frames = [
        replace(frame, image=blank) if 5 <= number < 7 else frame for number, frame in enumerate(clip.frames)
    ]
    found = follow(
        FlowTracker(SETTINGS), replace(clip, frames=frames), [Prompt('ball', mask=clip.masks[0][0])]
    )
    assert found['ball'][6].state is ObjectState.OCCLUDED
    assert mask_iou(found['ball'][-1].mask, clip.masks[0][-1]) > 0.8


@pytest.mark.parametrize('prompt', [
    Prompt('a', box_xyxy=(10.0, 10.0, 60.0, 60.0)),
    Prompt('a', points=np.float32([[30, 30]])),
    Prompt('a', mask=np.eye(HEIGHT, WIDTH, dtype=bool)),
])  # fmt: skip
def test_a_constant_picture_can_be_prompted(prompt):
    frames = [Frame(np.zeros((HEIGHT, WIDTH, 3), np.uint8), t * NANOSECONDS) for t in range(3)]
    tracker = FlowTracker(SETTINGS)
    assert tracker.add([prompt], frames[:1])['a'].mask.any()
    for frame in frames[1:]:
        assert tracker.step(frame)['a'].mask.shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize('size', [(8, 8), (9, 400), (1080, 1920)])
def test_pictures_of_any_size_are_tracked(size):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    mask = np.zeros(size, bool)
    mask[2:6, 2:6] = True
    tracker = FlowTracker(SETTINGS)
    tracker.add([Prompt('a', mask=mask), Prompt('b', box_xyxy=(1.0, 1.0, 7.0, 7.0))], [Frame(image, 0)])
    assert tracker.step(Frame(image, NANOSECONDS))['a'].mask.shape == size


def test_another_image_size_is_refused_until_the_tracker_is_reset():
    clip = render([BALL], 2)
    half = Frame(np.ascontiguousarray(clip.frames[1].image[::2, ::2]), clip.frames[1].stamp_ns)
    tracker = FlowTracker(SETTINGS)
    tracker.add([Prompt('ball', mask=clip.masks[0][0])], clip.frames[:1])
    with pytest.raises(InvalidImageError, match='320 x 240 to 160 x 120 pixels: reset'):
        tracker.step(half)
    with pytest.raises(InvalidImageError, match='reset'):
        tracker.add([Prompt('b', box_xyxy=(10.0, 10.0, 60.0, 60.0))], [half])
    assert set(tracker.step(clip.frames[1])) == {'ball'}
    tracker.reset()
    assert tracker.step(half) == {}


DATA = Path(os.environ.get('PIXELREFER_TEST_DATA') or Path(__file__).parents[3] / 'shared' / 'data')
DEMO = Path(__file__).parents[2] / 'config' / 'demo_clip'


def score_of(images, truth):
    """Prompt the first mask of a clip, track to the end, and score."""
    tracker = FlowTracker(SETTINGS)
    frames = [Frame(image, round(k / 10 * NANOSECONDS)) for k, image in enumerate(images)]
    masks = [tracker.add([Prompt('a', mask=truth[0])], frames[:1])['a'].mask]
    masks += [tracker.step(frame)['a'].mask for frame in frames[1:]]
    return score_sequence(truth, masks)


def read_masks(folder):
    return [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) > 0 for file in sorted(folder.glob('*.png'))]


@pytest.mark.parametrize('name', ['ball', 'mug', 'box'])
def test_objects_of_the_demo_clip_are_followed(name):
    score = score_of([frame.image for frame in open_clip(DEMO)], read_masks(DEMO / 'truth' / name))
    print(f'{name}: J {score.region:.3f}, F {score.boundary:.3f}, J&F {score.mean:.3f}')
    assert score.mean > 0.85


# Well below what is measured (0.91, 0.75, 0.69, 0.58, 0.62), far above a mask that stays where it was.
@pytest.mark.parametrize(
    ('name', 'least'),
    [('blackswan', 0.85), ('car-shadow', 0.6), ('dog', 0.55), ('libby', 0.4), ('motocross-jump', 0.5)],
)
def test_objects_of_real_clips_are_followed(name, least):
    folder = DATA / 'davis' / name
    if not folder.is_dir():
        pytest.skip(f'no real clips at {DATA}: set PIXELREFER_TEST_DATA to a folder with davis/ in it')
    score = score_of([frame.image for frame in open_clip(folder)], read_masks(folder / 'masks'))
    print(f'{name}: J {score.region:.3f}, F {score.boundary:.3f}, J&F {score.mean:.3f}')
    assert score.mean > least


def test_a_picture_is_found_where_it_is_and_only_where_that_is_allowed():
    scene = render([], 1).frames[0].image.astype(np.float32)
    cover = np.zeros(scene.shape[:2], np.float32)
    cover[40:60, 50:80] = 1
    views = Views()
    views.learn(scene, cover, 0)
    moved = np.roll(scene, (70, 110), (0, 1))
    everywhere = np.ones(cover.shape, bool)
    found = views.anywhere(moved, everywhere)
    assert np.array_equal(found.cover > 0.5, np.roll(cover, (70, 110), (0, 1)) > 0.5)
    assert found.likeness == pytest.approx(1, abs=1e-3)
    elsewhere = views.anywhere(moved, np.roll(cover, -100, axis=1) > 0)
    assert elsewhere.likeness < 0.7
    assert views.anywhere(np.zeros_like(scene), everywhere) is None
