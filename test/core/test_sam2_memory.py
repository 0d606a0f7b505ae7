"""What SAM 2 remembers of one object: the window, the prompts, and what happens while it is hidden."""

import pytest
import torch

from pixelrefer_core.settings import TrackerSettings
from pixelrefer_core.tracker.sam2_config import nano_config
from pixelrefer_core.tracker.sam2_memory import Memory, MemoryBank, MemoryLimits, memory_limits

LIMITS = MemoryLimits(maps=6, pointers=15, frames=15, prompts=3, window_ns=10**9, hidden_ns=10**10)
SECOND = 10**9


def memory(number):
    """A memory that can be told from others by its pointer."""
    return Memory(torch.zeros(4, 64), torch.zeros(4, 64), torch.tensor([float(number)]))


def bank_of(frames, limits=LIMITS, step_ns=1):
    """A bank prompted at 0 that has seen so many frames since."""
    bank = MemoryBank(limits)
    bank.remember_prompt(memory(0), 0)
    for k in range(1, frames + 1):
        bank.remember(memory(k), k * step_ns)
    return bank


def ages(items):
    return [age for age, _ in items]


def numbers(items):
    return [int(item.pointer) for _, item in items]


def test_a_new_object_remembers_its_prompt_alone():
    recall = bank_of(0).recall()
    assert recall.maps[0][0] == 0
    assert ages(recall.pointers) == [1]
    assert recall.shape == (1, 1)


def test_the_model_attends_to_six_maps_and_fifteen_pointers_beside_the_prompt():
    recall = bank_of(100).recall()
    assert ages(recall.maps) == [0, 6, 5, 4, 3, 2, 1]
    assert numbers(recall.maps) == [0, 95, 96, 97, 98, 99, 100]
    assert ages(recall.pointers) == [101, *range(1, 16)]
    assert numbers(recall.pointers) == [0, *range(100, 85, -1)]


def test_memories_never_share_an_age_however_long_the_stream():
    bank = bank_of(0)
    for k in range(1, 1000):
        bank.remember(memory(k), k)
        if k % 70 == 0:
            bank.remember_prompt(memory(-k), k)
        recall = bank.recall()
        assert len(set(ages(recall.pointers))) == len(recall.pointers)
        assert len(bank) <= LIMITS.frames + LIMITS.prompts


def test_a_shorter_window_holds_fewer_frames_but_the_prompt():
    recall = bank_of(40, MemoryLimits(6, 15, 2, 3, SECOND, SECOND)).recall()
    assert numbers(recall.maps) == [0, 39, 40]


def test_frames_older_than_the_window_before_the_newest_sighting_are_dropped():
    bank = bank_of(10, step_ns=SECOND // 4)
    assert numbers(bank.recall().maps) == [0, 6, 7, 8, 9, 10]
    bank.expire(5 * SECOND)
    assert len(bank) == 6, 'time out of view does not shorten the window'


def test_out_of_view_for_too_long_only_the_prompts_are_remembered():
    bank = bank_of(10)
    bank.expire(10 + LIMITS.hidden_ns)
    assert len(bank) == 11
    bank.expire(11 + LIMITS.hidden_ns)
    assert numbers(bank.recall().maps) == [0]


def test_the_oldest_prompt_makes_room_and_the_newest_always_stays():
    bank = bank_of(3)
    for k in range(1, 8):
        bank.remember_prompt(memory(-k), 100 + k)
    assert [number for number in numbers(bank.recall().maps) if number <= 0] == [-5, -6, -7]
    bank = MemoryBank(MemoryLimits(6, 15, 15, 0, SECOND, SECOND))
    bank.remember_prompt(memory(1), 0)
    assert numbers(bank.recall().maps) == [1]


def test_a_prompt_takes_the_place_of_what_was_tracked_on_its_frame_and_after():
    bank = bank_of(9)
    bank.rewind(8)
    bank.remember_prompt(memory(80), 8)
    recall = bank.recall()
    assert numbers(recall.maps) == [0, 80, 3, 4, 5, 6, 7]
    assert ages(recall.maps) == [0, 0, 6, 5, 4, 3, 2]
    assert dict(zip(numbers(recall.pointers), ages(recall.pointers), strict=True))[80] == 1


@pytest.mark.parametrize(('frames', 'kept'), [(16, 15), (5, 5)])
def test_no_more_is_kept_than_settings_and_model_allow(frames, kept):
    limits = memory_limits(TrackerSettings(window_frames=frames, kept_prompts=4), nano_config(64))
    assert (limits.maps, limits.pointers, limits.frames, limits.prompts) == (6, 15, kept, 4)


def test_a_model_that_attends_to_few_prompts_keeps_no_more():
    config = nano_config(64)
    config.max_cond_frame_num = 2
    assert memory_limits(TrackerSettings(kept_prompts=4), config).prompts == 2
