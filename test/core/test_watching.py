"""Watches in the engine: what is checked when, together with what, and how each of them ends."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.engine import Engine
from pixelrefer_core.errors import (
    BusyError,
    CanceledError,
    InvalidQuestionError,
    InvalidRequestError,
    ModelError,
    PixelReferError,
    QuestionTooLongError,
    UnknownObjectError,
    UnsupportedError,
)
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.setting import with_values
from pixelrefer_core.settings import Settings
from pixelrefer_core.tracker import create_tracker
from pixelrefer_core.types import NANOSECONDS, Frame, ObjectTokens, Prompt, Query, QueryKind
from pixelrefer_core.watch import WatchRequest, WatchRule, WatchState
from pixelrefer_core.worker import Worker

from .verdict_model import VerdictModel

IMAGE = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
RULE = WatchRule(on=0.7, off=0.3)
VALUES = {'window.sample_rate_hz': 1.0, 'watches.share': 1.0, 'watches.turn_s': 10.0, 'watches.most': 50}
BOXES = {'cup': (10, 10, 40, 40), 'plate': (50, 20, 75, 50)}


def wanted(condition: str = 'Is it red?', *ids: str, **fields) -> WatchRequest:
    return WatchRequest(condition, ids or ('cup',), RULE, **fields)


class Bench:
    """An engine with a cup and a plate on it, a frame a second, and a model that says what it is told."""

    def __init__(self, **values):
        self.model = VerdictModel()
        settings = with_values(Settings(), VALUES | values)
        self.engine = Engine(settings, tracker=create_tracker(settings.tracker), model=self.model)
        self.second = 0
        self.step()
        self.engine.add_objects([Prompt(name, box_xyxy=box) for name, box in BOXES.items()])

    def step(self) -> None:
        self.second += 1
        self.engine.step(Frame(IMAGE, self.second * NANOSECONDS, 'eye'))

    def watch(self, request: WatchRequest | None = None):
        heard = []
        watch = self.engine.watch(request or wanted(), on_check=heard.append)
        watch.heard = heard
        return watch

    def check(self) -> list[list[str]]:
        """Check until nothing is due; return the questions of each batch."""
        self.model.batches.clear()
        while self.engine.watching.wait_s(0.0) is not None:
            self.engine.check_watches()
        return [[instruction.splitlines()[-1] for instruction in batch] for batch in self.model.batches]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_watch_is_checked_at_once_and_whenever_its_objects_have_new_tokens(bench):
    watch = bench.watch()
    assert bench.check() == [['Is it red?']]
    assert bench.check() == []
    bench.step()
    assert bench.check() == [['Is it red?']]
    assert [check.frame_stamps_ns for check in watch.heard] == [
        (1 * NANOSECONDS,),
        (1 * NANOSECONDS, 2 * NANOSECONDS),
    ]
    assert [check.state for check in watch.heard] == [WatchState.WATCHING] * 2


def test_frames_that_made_no_tokens_cause_no_check(bench):
    bench.watch()
    bench.check()
    bench.engine.step(Frame(IMAGE, bench.second * NANOSECONDS + NANOSECONDS // 10))
    assert bench.check() == []


def test_one_that_triggers_ends_with_the_check_that_did_and_is_asked_no_more(bench):
    watch = bench.watch()
    bench.check()
    bench.model.verdict = lambda instruction: 0.9
    bench.step()
    bench.check()
    check = watch.future.result(0)
    assert (check.probability, check.triggered, check.triggers) == (0.9, True, 1)
    assert (check.frame_stamps_ns, check.frame_id) == ((1 * NANOSECONDS, 2 * NANOSECONDS), 'eye')
    bench.step()
    assert bench.check() == []
    assert len(bench.engine.watching) == 0


def test_one_that_repeats_triggers_each_time_the_condition_begins_to_hold(bench):
    watch = bench.watch(wanted(once=False))
    for probability in (0.9, 0.9, 0.1, 0.8):
        bench.model.verdict = lambda instruction, value=probability: value
        bench.step()
        bench.check()
    assert [check.triggered for check in watch.heard] == [True, False, False, True]
    assert watch.heard[-1].triggers == 2
    assert not watch.has_ended


def test_a_check_looks_back_as_far_as_it_is_told(bench):
    for _ in range(5):
        bench.step()
    near, few = bench.watch(wanted(window_s=2.0)), bench.watch(wanted(max_frames=2))
    bench.check()
    assert near.heard[0].frame_stamps_ns == tuple(second * NANOSECONDS for second in (4, 5, 6))
    assert few.heard[0].frame_stamps_ns == (1 * NANOSECONDS, 6 * NANOSECONDS)


def test_an_object_without_a_frame_in_the_window_is_not_judged_and_stays_watched():
    # The cup is too small to make tokens: it was never seen.
    bench = Bench(**{'window.minimum_area_px': 100000})
    watch = bench.watch()
    bench.step()
    assert bench.check() == []
    assert not watch.has_ended
    bench.engine.apply(with_values(bench.engine.settings, {'window.minimum_area_px': 16}))
    bench.step()
    assert bench.check() == [['Is it red?']]


# --- several


def test_watches_are_checked_as_one_batch(bench):
    bench.watch(wanted('Warm up?'))
    for _ in range(8):  # batches grow step by step
        bench.step()
        bench.check()
    for condition, ids in (('Red?', ['cup']), ('Blue?', ['plate']), ('Near <object2>?', ['cup', 'plate'])):
        bench.watch(wanted(condition, *ids))
    bench.step()
    sizes = [len(batch) for batch in bench.check()]
    assert sum(sizes) == 4
    bench.step()
    bench.check()
    bench.step()
    (batch,) = bench.check()
    assert sorted(batch) == ['Blue?', 'Near <object1>?', 'Red?', 'Warm up?']


def test_fifty_watches_are_checked_in_bounded_batches_and_the_next_one_is_refused():
    bench = Bench(**{'watches.batch': 8})
    watches = [bench.watch(wanted(f'Is it {number}?')) for number in range(50)]
    with pytest.raises(BusyError, match='50 conditions'):
        bench.watch()
    batches = bench.check()
    assert max(map(len, batches)) == 8
    assert sorted(question for batch in batches for question in batch) == sorted(
        f'Is it {number}?' for number in range(50)
    )
    watches[0].end(CanceledError('enough'))
    bench.watch(wanted('Is there room?'))
    assert bench.check() == [['Is there room?']]


def test_what_was_checked_longest_ago_comes_first():
    bench = Bench(**{'watches.batch': 2})
    for name in 'abcde':
        bench.watch(wanted(f'{name}?'))
    asked: list[str] = []
    for _ in range(10):
        # One batch a frame: there are always more than fit.
        bench.model.batches.clear()
        while not bench.engine.check_watches():
            pass
        asked += [instruction[-2] for batch in bench.model.batches for instruction in batch]
        bench.step()
    assert ''.join(asked[1:]).startswith('bcdeabcdeabcdeabcd')


def test_a_condition_that_fails_ends_alone(bench):
    def verdict(instruction: str) -> float:
        if 'broken' in instruction:
            raise ModelError('it cannot be')
        if 'bug' in instruction:
            raise ZeroDivisionError
        return 0.5

    bench.model.verdict = verdict
    watches = [bench.watch(wanted(text)) for text in ('Red?', 'broken?', 'bug?', 'Blue?')]
    bench.check()
    bench.step()
    bench.check()
    red, broken, bug, blue = watches
    assert len(red.heard) == len(blue.heard) == 2
    assert isinstance(broken.future.exception(0), ModelError)
    assert 'ZeroDivisionError' in str(bug.future.exception(0))
    assert type(bug.future.exception(0)) is PixelReferError


# --- ends and errors


@pytest.mark.parametrize('end', ['remove', 'reset', 'resize'])
def test_a_watch_ends_with_its_objects(bench, end):
    both, other = bench.watch(wanted('Near <object2>?', 'plate', 'cup')), bench.watch(wanted('Red?', 'plate'))
    if end == 'remove':
        bench.engine.remove_objects(['cup'])
    elif end == 'reset':
        bench.engine.reset()
    else:
        bench.engine.step(Frame(IMAGE[:40], 9 * NANOSECONDS))
    with pytest.raises(UnknownObjectError, match='no longer tracked'):
        both.future.result(0)
    assert other.has_ended == (end != 'remove')
    bench.step()
    assert bench.check() == ([['Red?']] if end == 'remove' else [])


def test_a_watch_that_has_ended_stays_as_it_ended(bench):
    watch = bench.watch()
    watch.end(CanceledError('first'))
    watch.end(ModelError('second'))
    with pytest.raises(CanceledError, match='first'):
        watch.future.result(0)


FAULTS = {
    'no condition': (wanted(' '), InvalidQuestionError),
    'a long condition': (wanted('y' * 2001), QuestionTooLongError),
    'another object in words': (wanted('Is <object2> red?'), InvalidQuestionError),
    'no object': (WatchRequest('Red?', (), RULE), InvalidRequestError),
    'one object twice': (wanted('Red?', 'cup', 'cup'), InvalidRequestError),
    'an unknown object': (wanted('Red?', 'ghost'), UnknownObjectError),
    'thresholds': (WatchRequest('Red?', ('cup',), WatchRule(0.3, 0.7)), InvalidRequestError),
    'a window': (wanted(window_s=-1.0), InvalidRequestError),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_faulty_watch_is_refused(bench, fault):
    request, error = FAULTS[fault]
    with pytest.raises(error):
        bench.watch(request)
    assert len(bench.engine.watching) == 0


def test_a_model_that_cannot_say_yes_or_no_is_not_asked_to(bench, monkeypatch):
    monkeypatch.setattr(VerdictModel, 'answers_yes_no', False)
    with pytest.raises(UnsupportedError, match='yes from no'):
        bench.watch()


# --- beside questions, on the device's thread


@pytest.fixture
def worker():
    bench, tracked = Bench(**{'watches.patience_s': 3600.0}), threading.Semaphore(0)
    worker = Worker(lambda: bench.engine, on_update=lambda update: tracked.release())
    worker.start().result(20)

    def step() -> None:
        bench.second += 1
        worker.offer(Frame(IMAGE, bench.second * NANOSECONDS))
        assert tracked.acquire(timeout=20)

    worker.bench, worker.step = bench, step
    yield worker
    bench.model.go.release(1000)
    assert worker.stop(20)


def listen(worker: Worker, condition: str = 'Red?'):
    """A watch that repeats, and a semaphore that counts its checks."""
    checks = threading.Semaphore(0)
    request = wanted(condition, once=False)
    watch = worker.call(lambda engine: engine.watch(request, on_check=lambda check: checks.release()))
    return watch.result(20), checks


def test_watches_are_checked_between_frames_without_being_asked_to(worker):
    _, checks = listen(worker)
    for _ in range(3):
        assert checks.acquire(timeout=20)
        worker.step()
    assert checks.acquire(timeout=20)


def question(worker: Worker):
    return worker.submit(Query(QueryKind.ANSWER, ('cup',), 'What?'), limit=4, timeout_s=60)


def test_questions_go_first(worker):
    ticket = question(worker)
    worker.bench.model.let(1)
    _, checks = listen_while_writing(worker)
    worker.bench.model.let(3)
    assert not checks.acquire(blocking=False)
    ticket.cancel()
    worker.bench.model.go.release()
    assert checks.acquire(timeout=20)


def test_but_not_for_ever(worker):
    ticket = question(worker)
    worker.bench.model.let(1)
    _, checks = listen_while_writing(worker)
    impatient = with_values(worker.bench.engine.settings, {'watches.patience_s': 0.0})
    worker.call(lambda engine: engine.apply(impatient))
    worker.bench.model.let(2)
    assert checks.acquire(timeout=20)
    assert not ticket.future.done()


def listen_while_writing(worker: Worker):
    """Like :func:`listen`, while the device waits for the next word of an answer."""
    checks = threading.Semaphore(0)
    request = wanted(once=False)
    watch = worker.call(lambda engine: engine.watch(request, on_check=lambda check: checks.release()))
    worker.bench.model.let(1)
    return watch.result(20), checks


def test_stopping_ends_every_watch(worker):
    watch, _ = listen(worker)
    assert worker.stop(20)
    with pytest.raises(CanceledError, match='shut down'):
        watch.future.result(20)


# --- the model


@pytest.fixture(scope='module')
def model() -> PixelRefer:
    torch.set_num_threads(1)
    return load_model('random-nano', device='cpu')


def tokens(seed: int, second: int) -> ObjectTokens:
    return ObjectTokens(
        torch.randn(32, 256, generator=torch.Generator().manual_seed(seed)), second * NANOSECONDS
    )


CUP = tuple(tokens(second, second) for second in range(4))
PLATE = tuple(tokens(10 + second, second) for second in range(4))
QUESTIONS = [
    ('There is one object in the video: <region>.\nIs it moving?', [CUP]),
    ('There is one object in the video: <region>.\nHas the marked object fallen off the table?', [CUP]),
    ('There is one object in the video: <region>.\nIs it moving?', [CUP[2:]]),
    ('There is one object in the image: <region>.\nRed?', [PLATE[:1]]),
    ('There are 2 objects in the video: <object0><region>, <object1><region>.\nNear?', [CUP, PLATE]),
    ('There is one object in the video: <region>.\nIs it moving?', [CUP]),
]


def test_a_batch_judges_as_one_by_one_and_as_the_logits_say(model):
    together = model.yes_probabilities(QUESTIONS)
    yes, no = model.token_ids('Yes')[0], model.token_ids('No')[0]
    for (instruction, objects), probability in zip(QUESTIONS, together, strict=True):
        (alone,) = model.yes_probabilities([(instruction, objects)])
        assert probability == pytest.approx(alone, abs=1e-5)
        with torch.no_grad():
            logits = model.language_model(model.embed_prompt(instruction, objects).embeds[None])[0, -1]
        assert probability == pytest.approx(logits[[yes, no]].double().softmax(0)[0].item(), abs=1e-5)
    assert len({round(probability, 6) for probability in together}) == len(QUESTIONS) - 1


def test_what_conditions_begin_with_is_read_once(model, monkeypatch):
    read = []
    embed = model.language_model.start_batch
    monkeypatch.setattr(
        model.language_model, 'start_batch', lambda heads: read.extend(map(len, heads)) or embed(heads)
    )
    model.yes_probabilities(QUESTIONS[:2] + QUESTIONS[3:4])
    prompt = model.embed_prompt(*QUESTIONS[0])
    assert len(read) == 2
    assert prompt.keys[: read[0]] == model.embed_prompt(*QUESTIONS[1]).keys[: read[0]]
    assert len(prompt.keys) - read[0] < 32 * 4  # all of the objects' tokens are in the common part


def test_no_questions_have_no_probabilities(model):
    assert model.yes_probabilities([]) == []


def test_a_tokenizer_that_begins_yes_and_no_alike_is_said_so(model, monkeypatch):
    monkeypatch.setattr(model, '_yes_no', (7, 7))
    assert not model.answers_yes_no
    with pytest.raises(UnsupportedError):
        model.yes_probabilities(QUESTIONS)


def test_weights_that_overflow_are_a_typed_error(model, monkeypatch):
    monkeypatch.setattr(model.language_model, 'next_logits', lambda prompts: torch.full((1, 300), torch.nan))
    with pytest.raises(ModelError, match='float32'):
        model.yes_probabilities(QUESTIONS[:1])
