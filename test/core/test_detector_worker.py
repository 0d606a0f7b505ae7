"""The detector's thread: newest image wins, bounded rate, live words, and it goes on after every fault."""

import logging
import threading
from functools import partial

import numpy as np
import pytest

from pixelrefer_core.detector_worker import DetectorWorker, Search
from pixelrefer_core.errors import ModelError, UnsupportedError
from pixelrefer_core.types import Detection, Frame, Prompt

IMAGE = np.zeros((4, 4, 3), np.uint8)
WAIT_S = 20.0


class Gate:
    """A detector that waits before each answer, to force what may happen meanwhile."""

    name = 'gate'

    def __init__(self):
        self.entered, self.open = threading.Semaphore(0), threading.Semaphore(0)
        self.asked = []
        self.fault = None

    def detect(self, frame, words, *, threshold):
        self.asked.append((frame.stamp_ns, words, threshold))
        self.entered.release()
        assert self.open.acquire(timeout=WAIT_S)
        if self.fault is not None:
            raise self.fault
        return [Detection(Prompt(label=words[0], box_xyxy=(0.0, 0.0, 2.0, 2.0)))]


class Stage:
    """A worker with a gate, and what came out of it."""

    def __init__(self):
        self.gate = Gate()
        self.search = Search(('cup',), 0.3, 1000.0)
        self.searched = threading.Semaphore(0)
        self.found = []
        self.news = threading.Semaphore(0)
        self.worker = DetectorWorker(lambda: self.gate, search=self.tell, on_detections=self.note)

    def tell(self):
        self.searched.release()
        return self.search

    def note(self, frame, detections):
        self.found.append((frame.stamp_ns, [item.prompt.label for item in detections]))
        self.news.release()

    def offer(self, stamp_ns):
        self.worker.offer(partial(Frame, IMAGE, stamp_ns))

    def wait_until_looking(self):
        assert self.gate.entered.acquire(timeout=WAIT_S)

    def let_look(self):
        self.gate.open.release()
        assert self.news.acquire(timeout=WAIT_S)


@pytest.fixture
def stage():
    stage = Stage()
    assert stage.worker.start().result(WAIT_S) is stage.gate
    yield stage
    for _ in range(10):
        stage.gate.open.release()
    assert stage.worker.stop()


def test_the_newest_of_the_waiting_images_is_looked_at_and_the_others_are_counted(stage):
    stage.offer(1)
    stage.wait_until_looking()
    for stamp_ns in (2, 3, 4):
        stage.offer(stamp_ns)
    stage.let_look()
    stage.let_look()
    assert stage.found == [(1, ['cup']), (4, ['cup'])]
    statistics = stage.worker.statistics()
    assert (statistics.frames_offered, statistics.frames_seen, statistics.frames_dropped) == (4, 2, 2)


def test_it_looks_no_more_often_than_it_is_told_until_it_is_told_otherwise(stage):
    stage.search = Search(('cup',), 0.3, 0.01)
    stage.offer(1)
    stage.wait_until_looking()
    stage.let_look()
    stage.offer(2)
    assert not stage.gate.entered.acquire(timeout=0.2)
    stage.search = Search(('mug',), 0.5, 1000.0)
    stage.worker.renew()
    stage.wait_until_looking()
    assert stage.gate.asked[-1] == (2, ('mug',), 0.5)


def test_without_words_images_are_let_go_unseen(stage):
    assert stage.searched.acquire(timeout=WAIT_S)
    stage.search = Search((), 0.3, 1000.0)
    decoded = []
    stage.worker.offer(lambda: decoded.append(1))
    assert stage.searched.acquire(timeout=WAIT_S)
    stage.search = Search(('cup',), 0.3, 1000.0)
    stage.offer(2)
    stage.wait_until_looking()
    assert not decoded


@pytest.mark.parametrize('fault', [UnsupportedError('no such image'), RuntimeError('a bug')])
def test_after_a_fault_it_goes_on_with_the_next_image(stage, fault, caplog):
    caplog.set_level(logging.WARNING)
    stage.gate.fault = fault
    stage.offer(1)
    stage.wait_until_looking()
    stage.gate.open.release()
    stage.offer(2)
    stage.wait_until_looking()
    stage.gate.fault = None
    stage.let_look()
    assert stage.found == [(2, ['cup'])]
    assert stage.worker.statistics().failures == 1
    assert str(fault) in caplog.text


def test_a_detector_that_cannot_be_built_says_why():
    def fail():
        raise ModelError('no weights')

    worker = DetectorWorker(fail, search=lambda: Search((), 0.0, 1.0), on_detections=lambda *_: None)
    with pytest.raises(ModelError, match='no weights'):
        worker.start().result(WAIT_S)
    assert worker.stop()
