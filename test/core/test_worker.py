"""The worker never makes a camera wait, lets frames through while it answers, and ends what it was told to end."""

from __future__ import annotations

import threading
import time
from functools import partial

import numpy as np
import pytest

from pixelrefer_core.engine import Engine
from pixelrefer_core.errors import (
    BusyError,
    CanceledError,
    DeviceOutOfMemoryError,
    InvalidImageError,
    ModelError,
    NotReadyError,
    RequestTimeoutError,
    StaleImageError,
    UnknownObjectError,
)
from pixelrefer_core.settings import Settings, TrackerSettings
from pixelrefer_core.tickets import MOST_BEGUN
from pixelrefer_core.tracker import create_tracker
from pixelrefer_core.types import (
    NANOSECONDS,
    FinishReason,
    Frame,
    Prompt,
    Query,
    QueryKind,
)
from pixelrefer_core.worker import WAITING_CALLS, Worker

from .paced_model import PacedModel

IMAGE = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
QUERY = Query(QueryKind.ANSWER, ('cup',), 'What?')


class Setup:
    def __init__(self):
        self.model = PacedModel()
        self.updates = []
        self.news = threading.Condition()
        self.worker = Worker(self.build, on_update=self.on_update)
        self.worker.start().result(20)
        self.stamp = 0

    def build(self):
        return Engine(Settings(), tracker=create_tracker(TrackerSettings()), model=self.model)

    def on_update(self, update):
        with self.news:
            self.updates.append(update)
            self.news.notify_all()

    def offer(self):
        self.stamp += 1
        self.worker.offer(Frame(IMAGE, self.stamp * NANOSECONDS))

    def tracked(self, count):
        with self.news:
            return self.news.wait_for(lambda: len(self.updates) >= count, 20)

    def ask(self, **options):
        return self.worker.submit(QUERY, **({'limit': 4, 'timeout_s': 20} | options))


@pytest.fixture
def setup():
    setup = Setup()
    setup.offer()
    assert setup.tracked(1)
    setup.worker.call(lambda engine: engine.add_objects([Prompt('cup', box_xyxy=(10, 10, 40, 40))])).result(
        20
    )
    yield setup
    setup.model.go.release(100)
    assert setup.worker.stop()


def wait_for(condition) -> None:
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.01)


def block(worker) -> threading.Event:
    """Occupy the worker's thread until the event is set."""
    free, running = threading.Event(), threading.Event()
    worker.call(lambda engine: running.set() or free.wait(20))
    assert running.wait(20)
    return free


def test_the_newest_frame_wins_and_every_drop_is_counted(setup):
    free = block(setup.worker)
    for _ in range(5):
        setup.offer()
    free.set()
    assert setup.tracked(2)
    assert [update.frame.stamp_ns // NANOSECONDS for update in setup.updates] == [1, 6]
    statistics = setup.worker.statistics()
    assert (statistics.frames_offered, statistics.frames_tracked, statistics.frames_dropped) == (6, 2, 4)


def test_frames_are_tracked_between_two_tokens_of_an_answer(setup):
    ticket = setup.ask()
    setup.model.let(1)
    for count in (2, 3):
        setup.offer()
        setup.model.let(1)
        assert len(setup.updates) == count
    assert not ticket.future.done()
    ticket.cancel()
    setup.model.let(1)
    assert ticket.future.result(20).text == 'w0 w1 w2'


def test_calls_are_served_between_two_tokens_too(setup):
    ticket = setup.ask()
    setup.model.let(1)
    call = setup.worker.call(lambda engine: engine.select_objects()[0].object_id)
    setup.model.let(1)
    assert call.result(20) == 'cup'
    ticket.cancel()
    setup.model.let(1)


def test_cancelling_stops_within_one_token_and_returns_the_text_so_far(setup):
    ticket = setup.ask()
    setup.model.let(3)
    ticket.cancel()
    setup.model.let(1)
    answer = ticket.future.result(20)
    assert (answer.finish_reason, answer.text) == (FinishReason.CANCELED, 'w0 w1 w2')


def test_text_is_streamed_as_it_is_written(setup):
    pieces = []
    ticket = setup.ask(on_text=pieces.append)
    setup.model.let(2)
    assert pieces == ['w0', ' w1']
    ticket.cancel()
    setup.model.let(1)


def test_a_question_cancelled_in_the_queue_never_starts(setup):
    free = block(setup.worker)
    ticket = setup.ask()
    ticket.cancel()
    free.set()
    with pytest.raises(CanceledError, match='queue'):
        ticket.future.result(20)


def test_a_deadline_that_passes_in_the_queue_is_a_timeout(setup):
    free = block(setup.worker)
    ticket = setup.ask(timeout_s=0.0)
    free.set()
    with pytest.raises(RequestTimeoutError, match='still in the queue'):
        ticket.future.result(20)


def test_a_deadline_that_passes_in_the_middle_keeps_the_text_so_far(setup):
    ticket = setup.ask(timeout_s=20)
    setup.model.let(2)
    ticket.deadline_s = 0.0
    setup.model.let(1)
    answer = ticket.future.result(20)
    assert (answer.finish_reason, answer.text) == (FinishReason.TIMEOUT, 'w0 w1')


def test_a_full_queue_is_busy(setup):
    free = block(setup.worker)
    for _ in range(2):
        setup.ask(limit=2)
    with pytest.raises(BusyError, match='2 questions are waiting'):
        setup.ask(limit=2)
    assert setup.worker.statistics().queued_queries == 2
    setup.ask(limit=None)
    free.set()


def test_higher_priority_goes_first(setup):
    free = block(setup.worker)
    low, high = setup.ask(), setup.ask(priority=5)
    assert (setup.worker.ahead_of(high), setup.worker.ahead_of(low)) == (0, 1)
    free.set()
    setup.model.let(1)
    assert high.has_begun
    assert not low.has_begun


def test_equal_priority_does_not_interrupt(setup):
    first = setup.ask()
    setup.model.let(1)
    second = setup.ask()
    setup.model.let(2)
    assert not second.has_begun
    assert (setup.worker.ahead_of(first), setup.worker.ahead_of(second)) == (0, 1)


@pytest.fixture
def interrupted(setup):
    """An answer with two words, and a more urgent one that has begun in its stead."""
    low = setup.ask()
    setup.model.let(2)
    high = setup.ask(priority=1)
    setup.model.go.release()  # the low one gives way, and the high one reads its prompt
    return low, high


def test_a_more_urgent_question_interrupts_between_two_tokens_and_the_other_goes_on(setup, interrupted):
    low, high = interrupted
    setup.model.let(1)
    assert (setup.worker.ahead_of(high), setup.worker.ahead_of(low)) == (0, 1)
    high.cancel()
    setup.model.let(1)
    assert high.future.result(20).text == 'w0'
    assert setup.model.written.acquire(timeout=20)  # the next word of the low one
    low.cancel()
    setup.model.let(1)
    assert low.future.result(20).text == 'w0 w1 w2'


@pytest.mark.parametrize('reason', [FinishReason.CANCELED, FinishReason.TIMEOUT])
def test_an_interrupted_answer_ends_at_once_with_its_text_when_it_has_to(setup, interrupted, reason):
    low, high = interrupted
    if reason is FinishReason.CANCELED:
        low.cancel()
    else:
        low.deadline_s = 0.0
    setup.model.let(1)
    answer = low.future.result(20)
    assert (answer.finish_reason, answer.text) == (reason, 'w0 w1')
    assert not high.future.done()


def test_a_question_cancelled_in_the_queue_ends_while_another_is_answered(setup):
    running, waiting = setup.ask(), setup.ask()
    setup.model.let(1)
    waiting.cancel()
    setup.model.let(1)
    with pytest.raises(CanceledError, match='queue'):
        waiting.future.result(20)
    assert not running.future.done()


def test_answers_under_way_are_bounded_however_urgent_the_next(setup):
    for priority in range(MOST_BEGUN):
        ticket = setup.ask(priority=priority)
        if priority:
            setup.model.go.release()  # the one before gives way
        wait_for(lambda ticket=ticket: ticket.has_begun)
    late = setup.ask(priority=MOST_BEGUN)
    setup.model.let(2)
    assert not late.has_begun


def stamp_of(second: int):
    """A call that refers to the frame of one second, as prompts do."""
    return lambda engine: engine._recent.since(second * NANOSECONDS)[0].stamp_ns // NANOSECONDS


def test_a_call_about_a_frame_that_is_on_its_way_waits_for_it(setup):
    waiting = setup.worker.call(stamp_of(2), patience_s=20)
    assert setup.worker.call(stamp_of(1)).result(20) == 1
    assert not waiting.done()
    setup.offer()
    assert waiting.result(20) == 2


def test_a_call_about_the_first_frame_of_a_new_stream_waits_for_it_too(setup):
    setup.stamp = 8
    setup.offer()
    assert setup.tracked(2)
    waiting = setup.worker.call(stamp_of(4), patience_s=20)
    setup.stamp = 3
    setup.offer()
    assert waiting.result(20) == 4


def test_a_call_about_a_frame_that_never_comes_fails_when_its_patience_ends(setup):
    with pytest.raises(StaleImageError, match=r'no image of 9\.000 s is held'):
        setup.worker.call(stamp_of(9), patience_s=0.01).result(20)


def test_waiting_calls_are_bounded(setup):
    free = block(setup.worker)
    for _ in range(WAITING_CALLS):
        setup.worker.call(lambda engine: None)
    with pytest.raises(BusyError):
        setup.worker.call(lambda engine: None)
    free.set()


@pytest.mark.parametrize('fault', [DeviceOutOfMemoryError('the device is full'), ZeroDivisionError('a bug')])
def test_a_fault_in_one_answer_reaches_its_asker_and_the_next_is_served(setup, fault):
    setup.model.fault = fault
    ticket = setup.ask()
    setup.model.go.release()
    with pytest.raises(type(fault)):
        ticket.future.result(20)
    setup.model.fault = None
    second = setup.ask()
    setup.model.let(1)
    second.cancel()
    setup.model.let(1)
    assert second.future.result(20).text == 'w0'
    assert setup.worker.statistics().failures == 1


def test_a_frame_that_fails_is_counted_and_the_next_is_tracked(setup):
    setup.worker.offer(Frame(np.zeros((9000, 9000, 3), np.uint8), 0))
    wait_for(lambda: setup.worker.statistics().failures)
    assert setup.worker.statistics().failures_by_code == {7004: 1}
    setup.offer()
    assert setup.tracked(2)


def test_a_frame_that_is_replaced_is_never_decoded_and_one_that_cannot_be_is_counted(setup):
    decoded = []

    def decode(second):
        decoded.append(second)
        if second == 9:
            raise InvalidImageError('no picture')
        return Frame(IMAGE, second * NANOSECONDS)

    free = block(setup.worker)
    for second in (7, 8):
        setup.worker.offer(partial(decode, second))
    free.set()
    assert setup.tracked(2)
    setup.worker.offer(partial(decode, 9))
    wait_for(lambda: setup.worker.statistics().failures)
    assert decoded == [8, 9]
    assert setup.worker.statistics().failures_by_code == {7004: 1}


def test_an_error_of_the_engine_reaches_the_caller(setup):
    with pytest.raises(UnknownObjectError):
        setup.worker.call(lambda engine: engine.remove_objects(['ghost'])).result(20)


def test_stopping_ends_the_running_answer_and_everything_that_waits(setup):
    running = setup.ask()
    setup.model.let(1)
    waiting = setup.ask()
    stopper = threading.Thread(target=setup.worker.stop)
    stopper.start()
    setup.model.go.release(2)
    assert running.future.result(20).finish_reason is FinishReason.CANCELED
    with pytest.raises(CanceledError, match='shut down'):
        waiting.future.result(20)
    stopper.join(20)
    with pytest.raises(NotReadyError):
        setup.ask()


def test_an_engine_that_cannot_be_built_is_reported_and_takes_no_work():
    def build():
        raise ModelError('no weights here')

    worker = Worker(build, on_update=lambda update: None)
    with pytest.raises(ModelError, match='no weights here'):
        worker.start().result(20)
    with pytest.raises(NotReadyError):
        worker.call(lambda engine: None)
    assert worker.stop()


def test_the_answer_counts_its_time_in_the_queue(setup):
    free = block(setup.worker)
    ticket = setup.ask()
    threading.Event().wait(0.05)
    free.set()
    setup.model.let(1)
    ticket.cancel()
    setup.model.let(1)
    timing = ticket.future.result(20).timing
    assert 0.05 <= timing.queue_s <= timing.first_token_s <= timing.total_s
