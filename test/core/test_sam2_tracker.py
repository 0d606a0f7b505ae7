"""SAM 2 over a stream: equal to transformers' own session, objects that come, go, hide and are corrected."""

import gc
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pixelrefer_core.errors import InvalidImageError
from pixelrefer_core.types import Frame, ObjectState, Prompt

from .lively_sam2 import (
    SIZE,
    Session,
    lively_model,
    noise,
    region,
    set_visible,
    track,
    tracker_of,
)

MASK = Prompt('mask', mask=region(0, 32, 0, 64))
POINTS = Prompt(
    'points', points=np.array([[40, 20], [10, 50]], np.float32), point_labels=np.array([True, False])
)
BOX = Prompt('box', box_xyxy=(8.0, 4.0, 60.0, 50.0))


@pytest.fixture(scope='module')
def model():
    return lively_model()


@pytest.fixture
def seeing(model):
    """The model, whose sight a test may switch off."""
    yield model
    set_visible(model, True)


def expected_mask(logits, height=SIZE, width=SIZE):
    wanted = F.interpolate(
        torch.from_numpy(logits)[None, None], (height, width), mode='bilinear', align_corners=False
    )
    return (wanted[0, 0] > 0).numpy()


# --- equality ---


@pytest.mark.parametrize('several', [False, True], ids=['one mask', 'best of three masks'])
def test_sixty_frames_equal_unpruned_sessions_of_transformers_to_the_last_bit(several):
    model = lively_model(multimask_output_in_sam=several, multimask_output_for_tracking=several)
    frames = noise(60)
    again = Prompt('mask', mask=region(16, 64, 16, 64))
    adds = {0: [MASK], 5: [POINTS], 20: [BOX], 30: [again]}
    found = track(tracker_of(model, batched=False), frames, adds, removes={35: ['points']})
    for name, prompts, last in (
        ('mask', {0: MASK, 30: again}, 59),
        ('points', {5: POINTS}, 35),
        ('box', {20: BOX}, 59),
    ):
        session = Session(model)
        first = min(prompts)
        assert sorted(found[name]) == list(range(first, last + 1))
        for k in range(first, last + 1):
            if k in prompts:
                session.prompt(k, prompts[k])
            logits, score = session.step(k, frames[k])
            assert found[name][k].score == score, (name, k)
            if k not in prompts:
                assert cv2_and_torch_agree(found[name][k].mask, expected_mask(logits)), (name, k)


def cv2_and_torch_agree(first, second):
    """Two bilinear interpolations round differently where a logit is zero: at most a pixel in a thousand."""
    return np.count_nonzero(first != second) <= first.size // 1000


def test_a_shorter_window_changes_the_result(model):
    """Or the test above could not tell that the window matters."""
    frames = noise(24)
    full, short = (
        track(tracker_of(model, batched=False, window_frames=count), frames, {0: [MASK]}) for count in (16, 3)
    )
    assert full['mask'][3].score == short['mask'][3].score
    assert full['mask'][23].score != short['mask'][23].score


def test_a_batch_of_objects_equals_one_after_the_other(model):
    frames = noise(12)
    adds = {0: [MASK, BOX], 3: [POINTS]}
    together, alone = (track(tracker_of(model, batched=batched), frames, adds) for batched in (True, False))
    for name in ('mask', 'box', 'points'):
        for k, estimate in alone[name].items():
            assert together[name][k].score == pytest.approx(estimate.score, abs=1e-4)
            # Memories are stored in bfloat16, which turns rounding into differences of 1e-3.
            assert np.mean(together[name][k].mask != estimate.mask) < 0.01


def test_the_image_is_encoded_once_a_frame_whatever_is_asked(model):
    calls = []
    handle = model.vision_encoder.register_forward_hook(lambda *_: calls.append(1))
    try:
        tracker, frames = tracker_of(model), noise(3)
        for frame in frames:
            tracker.step(frame)
        assert not calls, 'nothing is tracked: nothing is to be seen'
        tracker.add([MASK], frames[-1:])
        tracker.add([BOX], frames[-1:])
        tracker.segment(POINTS, frames[-1])
        assert len(calls) == 1
    finally:
        handle.remove()


# --- objects that come and go ---


def test_objects_added_and_removed_do_not_disturb_another_in_the_last_bit(model):
    frames = noise(20)
    alone = track(tracker_of(model, batched=False), frames, {0: [MASK]})
    company = track(
        tracker_of(model, batched=False),
        frames,
        {0: [MASK], 4: [BOX], 9: [POINTS], 14: [replace(BOX, object_id='late')]},
        removes={8: ['box'], 16: ['late', 'points']},
    )
    for k, estimate in alone['mask'].items():
        assert company['mask'][k].score == estimate.score
        assert (company['mask'][k].mask == estimate.mask).all()


def test_objects_prompted_by_separate_calls_before_the_next_frame_are_all_tracked(model):
    tracker, frames = tracker_of(model), noise(2)
    for prompt in (MASK, BOX, POINTS):
        assert set(tracker.add([prompt], frames[:1])) == {prompt.object_id}
    assert set(tracker.step(frames[1])) == {'mask', 'box', 'points'}


def test_an_id_is_free_again_after_its_object_was_removed_and_the_new_object_knows_nothing_of_the_old(model):
    frames = noise(10)
    found = track(
        tracker_of(model, batched=False),
        frames,
        {0: [MASK], 5: [replace(BOX, object_id='mask')]},
        {4: ['mask']},
    )
    fresh = track(tracker_of(model, batched=False), frames[5:], {0: [BOX]})
    assert [found['mask'][k].score for k in range(5, 10)] == [fresh['box'][k].score for k in range(5)]


def test_without_objects_a_frame_costs_nothing_and_breaks_nothing(model):
    tracker, frames = tracker_of(model), noise(4)
    assert tracker.step(frames[0]) == {}
    tracker.add([MASK], frames[:1])
    tracker.remove(['mask'])
    assert tracker.step(frames[1]) == {}
    tracker.add([BOX], frames[1:2])
    assert set(tracker.step(frames[2])) == {'box'}


def test_a_prompt_on_an_older_frame_is_brought_up_to_the_newest(model):
    frames = noise(6)
    tracker = tracker_of(model, batched=False)
    for frame in frames[:5]:
        tracker.step(frame)
    tracker.add([BOX], frames[1:5])
    late = tracker.step(frames[5])['box']
    on_time = track(tracker_of(model, batched=False), frames[1:], {0: [BOX]})['box'][4]
    assert late.score == on_time.score
    assert (late.mask == on_time.mask).all()


def test_a_prompt_on_a_very_old_frame_is_brought_up_over_a_bounded_number_of_frames(model):
    calls, frames = [], noise(30)
    tracker = tracker_of(model)
    handle = model.vision_encoder.register_forward_hook(lambda *_: calls.append(1))
    try:
        estimate = tracker.add([BOX], frames)['box']
    finally:
        handle.remove()
    assert len(calls) <= 9
    assert estimate.state is ObjectState.TRACKED


def tensor_bytes():
    gc.collect()
    tensors = [item for item in gc.get_objects() if type(item) is torch.Tensor]
    return sum(
        {item.untyped_storage().data_ptr(): item.untyped_storage().nbytes() for item in tensors}.values()
    )


def test_tensors_neither_pile_up_with_frames_nor_with_objects_that_come_and_go(model):
    """Ten thousand frames are for benchmarks/tracker_endurance.py."""
    tracker, frames = tracker_of(model), noise(4)
    tracker.add([MASK, replace(BOX, object_id='guest 0')], frames[:1])
    held = []
    for k in range(60):
        frame = replace(frames[k % 4], stamp_ns=k + 2)
        tracker.step(frame)
        if k % 10 == 9:
            tracker.remove([f'guest {k // 10}'])
            tracker.add([MASK, replace(BOX, object_id=f'guest {k // 10 + 1}')], [frame])
        if k % 20 == 19:
            held.append(tensor_bytes())
    # The prompts that are kept fill up until the fourth, which comes on frame 29.
    assert held[2] == held[1]


# --- prompts ---


def test_a_click_on_a_tracked_object_is_answered_as_transformers_answers_it(model):
    frames = noise(6)
    session = Session(model)
    session.prompt(0, BOX)
    tracker = tracker_of(model, batched=False)
    tracker.add([BOX], frames[:1])
    session.step(0, frames[0])
    for k in range(1, 6):
        session.step(k, frames[k])
        seen = tracker.step(frames[k])['box'].mask
    y, x = np.argwhere(seen)[0]
    click = Prompt('box', points=np.array([[x, y]], np.float32), point_labels=np.array([True]))
    session.prompt(5, click)
    _, score = session.step(5, frames[5])
    assert tracker.add([click], frames[5:])['box'].score == score


def test_a_correction_of_a_tracked_frame_outlasts_the_window(model):
    """Transformers keeps it for sixteen frames only."""
    frames = noise(40)
    correction = Prompt('mask', mask=region(16, 64, 16, 64))
    corrected = track(tracker_of(model, batched=False), frames, {0: [MASK], 5: [correction]})
    left = track(tracker_of(model, batched=False), frames, {0: [MASK]})
    session = Session(model)
    for k, frame in enumerate(frames):
        if k in (0, 5):
            session.prompt(k, {0: MASK, 5: correction}[k])
        _, score = session.step(k, frame)
    assert corrected['mask'][39].score == score != left['mask'][39].score


def test_a_second_click_on_the_same_frame_refines_the_first(model):
    frames = noise(2)
    both = Prompt(
        'a', points=np.array([[40, 20], [10, 50]], np.float32), point_labels=np.array([True, False])
    )
    first = replace(both, points=both.points[:1], point_labels=None)
    # The second click lies beside the object: alone it would be no prompt at all.
    second = replace(both, points=both.points[1:], point_labels=both.point_labels[1:])
    tracker = tracker_of(model)
    tracker.add([first], frames[:1])
    refined = tracker.add([second], frames[:1])['a']
    assert refined.score == tracker_of(model).add([both], frames[:1])['a'].score


def test_an_object_prompted_elsewhere_starts_afresh(model):
    frames = noise(8)
    tracker = tracker_of(model, batched=False)
    track(tracker, frames[:4], {0: [MASK]})
    seen = tracker.step(frames[4])['mask'].mask
    elsewhere = ~cv2.dilate(seen.astype(np.uint8), np.ones((3, 3))).astype(bool)
    assert elsewhere.any()
    tracker.add([Prompt('mask', mask=elsewhere)], frames[4:5])
    fresh = tracker_of(model, batched=False)
    fresh.add([Prompt('new', mask=elsewhere)], frames[4:5])
    for frame in frames[5:]:
        assert tracker.step(frame)['mask'].score == fresh.step(frame)['new'].score


def test_a_prompt_where_the_model_sees_nothing_is_taken_by_its_colours(seeing):
    image = np.full((SIZE, SIZE, 3), 40, np.uint8)
    image[20:44, 20:44] = (220, 30, 30)
    set_visible(seeing, False)
    estimate = tracker_of(seeing).add([Prompt('red', box_xyxy=(16, 16, 48, 48))], [Frame(image, 1)])['red']
    overlap = np.count_nonzero(estimate.mask & region(20, 44, 20, 44)) / np.count_nonzero(
        estimate.mask | region(20, 44, 20, 44)
    )
    assert overlap > 0.8


def test_a_prompt_in_pixels_of_a_wide_image_falls_on_the_same_place_of_the_square(model):
    wide = noise(1, height=96, width=192)[0]
    squashed = F.interpolate(
        torch.from_numpy(wide.image).permute(2, 0, 1)[None], (SIZE, SIZE), mode='bilinear', antialias=True
    )
    square = Frame(squashed[0].permute(1, 2, 0).numpy(), wide.stamp_ns)
    prompt = Prompt('a', box_xyxy=(30.0, 24.0, 150.0, 72.0), points=np.array([[90, 48]], np.float32))
    scaled = replace(prompt, box_xyxy=(10.0, 16.0, 50.0, 48.0), points=np.array([[30, 32]], np.float32))
    on_wide = tracker_of(model).add([prompt], [wide])['a']
    on_square = tracker_of(model).add([scaled], [square])['a']
    assert on_wide.score == pytest.approx(on_square.score, abs=1e-6)
    assert on_wide.mask.shape == (96, 192)
    shrunk = on_wide.mask[::3, ::3][:32]
    assert np.mean(on_square.mask[::2, :][:, :SIZE] != shrunk) < 0.1


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('prompt', [MASK, POINTS, BOX], ids=lambda prompt: prompt.object_id)
def test_half_precision_takes_every_kind_of_prompt(dtype, prompt):
    half = lively_model().to(dtype)
    half.prompt_encoder.shared_embedding.float()
    found = track(tracker_of(half), noise(3), {0: [prompt]})
    assert found[prompt.object_id][2].mask.any()


# --- hiding and returning ---


def test_hidden_frames_leave_no_trace_in_the_memory(seeing):
    frames = noise(30)
    settings = {'batched': False, 'confirm_frames': 1}
    never = track(tracker_of(seeing, **settings), frames[:10] + frames[20:], {0: [MASK]})['mask']
    tracker = tracker_of(seeing, **settings)
    track(tracker, frames[:10], {0: [MASK]})
    set_visible(seeing, False)
    for frame in frames[10:20]:
        estimate = tracker.step(frame)['mask']
        assert estimate.state is ObjectState.OCCLUDED
        assert not estimate.mask.any()
    set_visible(seeing, True)
    for k, frame in enumerate(frames[20:]):
        back = tracker.step(frame)['mask']
        assert back.state is ObjectState.TRACKED
        assert back.score == never[10 + k].score
        assert (back.mask == never[10 + k].mask).all()


def test_an_object_hidden_for_long_is_lost_and_comes_back(seeing):
    frames = noise(50)
    tracker = tracker_of(seeing, lost_after_s=1.0)
    track(tracker, frames[:5], {0: [MASK]})
    set_visible(seeing, False)
    states = [tracker.step(frame)['mask'].state for frame in frames[5:40]]
    # Two frames confirm that it is gone; it was last seen at 0.5 s.
    assert states[0] is ObjectState.TRACKED
    assert states[1:10] == [ObjectState.OCCLUDED] * 9
    assert states[10:] == [ObjectState.LOST] * 25
    set_visible(seeing, True)
    assert [tracker.step(frame)['mask'].state for frame in frames[40:43]][-1] is ObjectState.TRACKED


def test_one_frame_without_the_object_hides_its_mask_but_does_not_change_its_state(seeing):
    frames = noise(6)
    tracker = tracker_of(seeing)
    track(tracker, frames[:4], {0: [MASK]})
    set_visible(seeing, False)
    flicker = tracker.step(frames[4])['mask']
    assert flicker.state is ObjectState.TRACKED
    assert not flicker.mask.any()


# --- bad input ---


def test_another_image_size_needs_a_reset_and_works_after_one(model):
    tracker = tracker_of(model)
    tracker.add([MASK], noise(1))
    other = noise(2, height=48, width=80)
    with pytest.raises(InvalidImageError, match='from 64 x 64 to 80 x 48 pixels: reset'):
        tracker.step(other[0])
    tracker.reset()
    tracker.add([replace(BOX, box_xyxy=(8, 4, 60, 40))], other[:1])
    assert set(tracker.step(other[1])) == {'box'}


@pytest.mark.parametrize('level', [0, 255])
def test_a_constant_frame_gives_a_defined_state(model, level):
    tracker, frames = tracker_of(model), noise(4)
    track(tracker, frames[:2], {0: [MASK]})
    blank = tracker.step(Frame(np.full((SIZE, SIZE, 3), level, np.uint8), frames[2].stamp_ns))['mask']
    assert blank.state in (ObjectState.TRACKED, ObjectState.OCCLUDED)
    assert np.isfinite(blank.score)
    assert tracker.step(frames[3])['mask'].mask.shape == (SIZE, SIZE)


def test_weights_that_give_no_number_hide_the_object_and_do_not_end_the_stream(model):
    tracker, frames = tracker_of(model, confirm_frames=1), noise(5)
    track(tracker, frames[:2], {0: [MASK]})
    handle = model.mask_decoder.register_forward_hook(
        lambda _module, _inputs, output: tuple(item * float('nan') for item in output)
    )
    try:
        broken = tracker.step(frames[2])['mask']
    finally:
        handle.remove()
    assert broken.state is ObjectState.OCCLUDED
    assert not broken.mask.any()
    assert [tracker.step(frame)['mask'].state for frame in frames[3:]][-1] is ObjectState.TRACKED


def test_a_mask_of_one_pixel_survives_the_way_to_the_square(model):
    frames = noise(2, height=480, width=640)
    speck = np.zeros((480, 640), np.bool_)
    speck[100, 200] = True
    tracker = tracker_of(model)
    assert tracker.add([Prompt('speck', mask=speck)], frames[:1])['speck'].state is ObjectState.PENDING
    assert set(tracker.step(frames[1])) == {'speck'}
