"""The memory makes tokens at its own rate, keeps a bounded window of them, and says which frames it gave out."""

import numpy as np
import pytest

from pixelrefer_core.errors import ObjectNeverSeenError, WindowEmptyError
from pixelrefer_core.object_memory import ObjectMemory
from pixelrefer_core.settings import WindowSettings
from pixelrefer_core.types import NANOSECONDS, Frame, ObjectState, ObjectTokens, TimeWindow, TrackedObject

IMAGE = np.zeros((8, 8, 3), np.uint8)


class Encoder:
    """Notes each batch; the tokens are the stamp, so that a mix-up shows."""

    def __init__(self):
        self.batches = []

    def __call__(self, views):
        self.batches.append(len(views))
        return [ObjectTokens(view.frame.stamp_ns, view.frame.stamp_ns) for view in views]


def item(object_id: str, area: int = 30) -> TrackedObject:
    mask = np.zeros((8, 8), np.bool_)
    mask.flat[:area] = True
    return TrackedObject(object_id, '', ObjectState.TRACKED, 1.0, mask, None, area, 0, 0)


def frame(seconds: float) -> Frame:
    return Frame(IMAGE, round(seconds * NANOSECONDS))


def filled(seconds, encoder=None, **settings) -> ObjectMemory:
    memory = ObjectMemory(WindowSettings(**settings), encoder or Encoder())
    for second in seconds:
        memory.observe(frame(second), [item('cup')])
    return memory


def stamps(memory: ObjectMemory, **window) -> list[float]:
    window = {
        key: round(value * NANOSECONDS) if key != 'max_frames' else value for key, value in window.items()
    }
    return [tokens.stamp_ns / NANOSECONDS for tokens in memory.select('cup', TimeWindow(**window))]


def test_tokens_are_sampled_at_the_set_rate_from_a_faster_camera():
    memory = filled(np.arange(0, 3.01, 0.1), sample_rate_hz=1.0)
    assert stamps(memory) == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize('seed', range(5))
def test_stamps_that_jitter_are_sampled_evenly(seed):
    late = np.random.default_rng(seed).uniform(-0.02, 0.02, 101)
    found = stamps(filled(np.arange(101) / 10 + 1 + late, sample_rate_hz=5.0, max_frames=180))
    assert len(found) == 51
    assert np.abs(np.array(found) - 1 - np.arange(51) / 5).max() <= 0.02


def test_the_frame_nearest_to_the_wanted_time_is_taken():
    # A camera of 30 Hz has no frame 0.25 s after another: 8 or 7 gaps are nearest.
    found = np.diff(stamps(filled(np.arange(90) / 30, sample_rate_hz=4.0)))
    assert ((found > 0.23) & (found < 0.27)).all()


def test_lost_frames_do_not_change_the_rate_for_good():
    seconds = [number / 10 for number in range(41) if number not in (6, 7, 8)]
    assert stamps(filled(seconds, sample_rate_hz=5.0))[-5:] == pytest.approx([3.1, 3.3, 3.5, 3.7, 3.9])


def test_objects_that_came_at_different_times_are_sampled_on_the_same_frames():
    memory = ObjectMemory(WindowSettings(sample_rate_hz=5.0, max_frames=3), Encoder())
    for number in range(13):
        names = ['cup'] + ['ball'] * (number >= 3)
        memory.observe(frame(number / 10), [item(name) for name in names])
    chosen = [memory.select(name, TimeWindow()) for name in ('cup', 'ball')]
    assert [[tokens.stamp_ns for tokens in of_one] for of_one in chosen] == [[8e8, 10e8, 12e8]] * 2


def test_a_new_object_does_not_wait_for_the_next_sample():
    memory = ObjectMemory(WindowSettings(), Encoder())
    memory.observe(frame(0), [])
    memory.observe(frame(0.3), [])
    memory.observe(frame(0.3), [item('cup')])
    assert stamps(memory) == [0.3]


def test_a_frame_that_comes_again_with_a_new_object_is_encoded_for_that_one_alone():
    encoder = Encoder()
    memory = ObjectMemory(WindowSettings(), encoder)
    memory.observe(frame(0), [item('cup')])
    memory.observe(frame(0), [item('cup'), item('ball')])
    assert encoder.batches == [1, 1]


def test_all_objects_of_a_frame_are_encoded_in_one_batch():
    encoder = Encoder()
    ObjectMemory(WindowSettings(), encoder).observe(frame(0), [item('a'), item('b'), item('c')])
    assert encoder.batches == [3]


def test_a_hidden_object_makes_no_tokens_and_costs_nothing():
    encoder = Encoder()
    memory = filled([0.0], encoder)
    memory.observe(frame(5), [item('cup', area=0)])
    assert encoder.batches == [1]
    assert stamps(memory) == [0.0]


def test_the_window_is_bounded_in_frames_and_in_time():
    assert stamps(filled(range(10), max_frames=3)) == [7.0, 8.0, 9.0]
    assert stamps(filled(range(10), duration_s=2.0)) == [7.0, 8.0, 9.0]


def test_the_last_view_of_an_object_outlives_the_window():
    memory = filled([0.0], duration_s=1.0)
    memory.observe(frame(60), [item('cup', area=0)])
    assert stamps(memory) == [0.0]


def test_a_question_can_choose_a_part_of_the_past():
    memory = filled(range(10))
    assert stamps(memory, start_ns=2.5, end_ns=5.0) == [3.0, 4.0, 5.0]


def test_too_many_frames_are_thinned_evenly_and_the_newest_stays():
    memory = filled(range(10))
    assert stamps(memory, max_frames=4) == [0.0, 3.0, 6.0, 9.0]
    assert stamps(memory, max_frames=1) == [9.0]


def test_an_object_that_was_never_visible_is_told_from_one_outside_the_window():
    memory = filled([1.0])
    with pytest.raises(ObjectNeverSeenError, match='ghost was never visible'):
        memory.select('ghost', TimeWindow())
    with pytest.raises(WindowEmptyError, match=r'held from 1\.000 s to 1\.000 s'):
        stamps(memory, start_ns=2.0)


def test_forgetting_one_object_leaves_the_others():
    memory = ObjectMemory(WindowSettings(), Encoder())
    memory.observe(frame(0), [item('cup'), item('ball')])
    memory.forget('ball')
    assert (memory.count('cup'), memory.count('ball')) == (1, 0)
