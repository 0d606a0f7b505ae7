"""One thread that owns the device and the engine; everybody else leaves work at its door.

Frames wait in a slot of one (the newest wins), questions in a bounded queue. The thread turns in one loop: the
waiting calls, the waiting frame, one token of the most urgent answer, a batch of watches when there is time for it. So
tracking keeps its pace while an answer is written, and a question of higher priority interrupts a lower one between two
tokens; that one goes on afterwards.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from .engine import Engine, OnText
from .errors import (
    BusyError,
    CanceledError,
    NoImageError,
    NotReadyError,
    PixelReferError,
    StaleImageError,
)
from .meters import WorkerMeter
from .tickets import Ticket, TicketQueue
from .types import Frame, Query, TrackUpdate, WorkerStatistics

log = logging.getLogger(__name__)
Result = TypeVar('Result')

WAITING_CALLS = 64
# A camera whose every image is at fault is said so this often.
WARN_EVERY_S = 5.0


@dataclass(eq=False)
class _Call:
    """Work for the thread. Until ``until_s`` it is tried again after each frame when it lacks an image."""

    function: Callable[[Engine], Any]
    future: Future[Any]
    until_s: float
    is_due: bool = True

    @property
    def is_patient(self) -> bool:
        return time.monotonic() < self.until_s


class Worker:
    """Runs an engine on a thread of its own.

    ``build`` is called on that thread and returns the engine, so that model and device belong to it.
    ``on_update`` gets every :class:`TrackUpdate`, on the worker's thread: it must be quick.
    """

    def __init__(self, build: Callable[[], Engine], *, on_update: Callable[[TrackUpdate], None]) -> None:
        self._build = build
        self._on_update = on_update
        self._wake = threading.Condition()
        self._frame: Frame | Callable[[], Frame] | None = None
        self._warned_s = -math.inf
        self._calls: list[_Call] = []
        self._tickets = TicketQueue()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._meter = WorkerMeter()
        self._ready: Future[Engine] = Future()

    def start(self) -> Future[Engine]:
        """Start the thread; the future ends with the engine once it is built, or with the reason why not."""
        self._thread = threading.Thread(target=self._run, name='pixelrefer-device', daemon=True)
        self._thread.start()
        return self._ready

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Cancel everything and end the thread. False when it did not end within ``timeout_s``."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self.cancel_all()
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def offer(self, frame: Frame | Callable[[], Frame]) -> None:
        """Leave a frame to be tracked; it replaces one that is still waiting. Returns at once.

        A function makes the frame when its turn comes, on the worker's thread: one that is replaced is never decoded.
        """
        with self._wake:
            self._meter.offered(dropped=self._frame is not None)
            self._frame = frame
            self._wake.notify()

    def drop_frame(self) -> None:
        """Take back a frame that is still waiting."""
        with self._wake:
            self._frame = None

    def call(self, function: Callable[[Engine], Result], *, patience_s: float = 0.0) -> Future[Result]:
        """Run ``function(engine)`` on the worker's thread, before the next frame. Raises :class:`BusyError`.

        ``patience_s``: for so long a function that lacks an image (:class:`NoImageError`,
        :class:`StaleImageError`) is tried again after each frame: what it refers to may be on its way.
        """
        call = _Call(function, Future(), time.monotonic() + patience_s)
        with self._wake:
            self._check_running()
            if len(self._calls) >= WAITING_CALLS:
                raise BusyError(f'{len(self._calls)} requests are waiting: try again later')
            self._calls.append(call)
            self._wake.notify()
        return call.future

    def submit(
        self,
        query: Query,
        *,
        limit: int | None,
        timeout_s: float,
        on_text: OnText | None = None,
        priority: int = 0,
    ) -> Ticket:
        """Queue a question. ``on_text`` runs on the worker's thread.

        ``limit``: most questions waiting at once; None = let this one in anyhow. ``timeout_s``: from now to the end
        of the answer. A higher ``priority`` goes first and interrupts what is being answered.
        Raises :class:`BusyError`.
        """
        now_s = time.monotonic()
        ticket = Ticket(query, on_text, priority, now_s, now_s + timeout_s)
        with self._wake:
            self._check_running()
            if limit is not None and self._tickets.waiting >= limit:
                raise BusyError(f'{self._tickets.waiting} questions are waiting: try again later')
            self._tickets.add(ticket)
            self._wake.notify()
        return ticket

    def ahead_of(self, ticket: Ticket) -> int:
        """How many questions go before this one: waiting while it waits, interrupting it once it has begun."""
        with self._wake:
            return self._tickets.ahead_of(ticket)

    def cancel_all(self) -> None:
        """Cancel the running question and all that wait."""
        with self._wake:
            self._tickets.cancel_all()

    def statistics(self) -> WorkerStatistics:
        """Counters and rates up to now."""
        with self._wake:
            return self._meter.read(queued=self._tickets.waiting)

    def _check_running(self) -> None:
        if self._stopping or self._thread is None:
            raise NotReadyError('the node is not configured: configure and activate it first')

    def _run(self) -> None:
        try:
            engine = self._build()
        except Exception as error:
            # Whoever waits for the engine decides what this failure means.
            self._stopping = True
            self._abandon()
            self._ready.set_exception(error)
            return
        self._ready.set_result(engine)
        while self._wait_for_work(engine):
            self._run_calls(engine)
            self._run_frame(engine)
            self._run_ticket(engine)
            self._run_watches(engine)
        self._abandon(engine)

    def _wait_for_work(self, engine: Engine) -> bool:
        with self._wake:
            while not (self._stopping or self._frame or self._tickets or self._due_calls()):
                waits_s = [self._patience_left_s(), engine.watching.wait_s(time.monotonic())]
                if waits_s[1] == 0:
                    break
                self._wake.wait(min((wait_s for wait_s in waits_s if wait_s is not None), default=None))
            return not self._stopping

    def _due_calls(self) -> list[_Call]:
        return [call for call in self._calls if call.is_due or not call.is_patient]

    def _patience_left_s(self) -> float | None:
        """Until the first call that is held back loses its patience; None when there is none."""
        ends_s = [call.until_s for call in self._calls]
        return max(0.0, min(ends_s) - time.monotonic()) if ends_s else None

    def _run_calls(self, engine: Engine) -> None:
        with self._wake:
            due = self._due_calls()
            self._calls = [call for call in self._calls if call not in due]
        for call in due:
            self._run_call(engine, call)

    def _run_call(self, engine: Engine, call: _Call) -> None:
        def work() -> Any:
            return call.function(engine)

        if not call.is_patient:
            self._settle(call.future, work)
            return
        try:
            result = work()
        except (NoImageError, StaleImageError):
            call.is_due = False
            with self._wake:
                self._calls.append(call)
        except Exception as error:
            self._fail(call.future, error)
        else:
            call.future.set_result(result)

    def _run_frame(self, engine: Engine) -> None:
        with self._wake:
            frame, self._frame = self._frame, None
        if frame is None:
            return
        try:
            update = engine.step(frame if isinstance(frame, Frame) else frame())
            self._meter.tracked(update.track_s + update.encode_s)
            engine.watching.budget.adapt(period_s=self._meter.period_s, busy_s=self._meter.latency_s)
            self._on_update(update)
        except PixelReferError as error:
            self._meter.failed(error.code)
            self._warn(f'frame skipped: {error}')
        except Exception:
            self._meter.failed()
            log.exception('a frame failed; tracking goes on with the next one')
        with self._wake:
            for call in self._calls:
                call.is_due = True

    def _warn(self, text: str) -> None:
        now_s = time.monotonic()
        if now_s - self._warned_s >= WARN_EVERY_S:
            self._warned_s = now_s
            log.warning('%s', text)

    def _run_ticket(self, engine: Engine) -> None:
        with self._wake:
            ticket = self._tickets.next()
        if ticket is not None:
            self._advance(engine, ticket)

    def _run_watches(self, engine: Engine) -> None:
        """Check a batch of watches: after the questions, but not for ever after them."""
        with self._wake:
            has_place = not self._tickets
        if has_place or engine.watching.is_urgent(time.monotonic()):
            engine.check_watches()

    def _advance(self, engine: Engine, ticket: Ticket) -> None:
        try:
            answer = ticket.advance(engine)
        except Exception as error:
            self._forget(ticket)
            self._fail(ticket.future, error)
            return
        if answer is not None:
            # Out of the queue first: whoever hears the answer may ask the next question at once.
            self._forget(ticket)
            self._meter.answered()
            ticket.future.set_result(answer)

    def _forget(self, ticket: Ticket) -> None:
        with self._wake:
            self._tickets.remove(ticket)

    def _settle(self, future: Future[Result], work: Callable[[], Result]) -> None:
        try:
            result = work()
        except Exception as error:
            self._fail(future, error)
        else:
            future.set_result(result)

    def _fail(self, future: Future[Any], error: Exception) -> None:
        if isinstance(error, PixelReferError):
            self._meter.failed(error.code)
        else:
            self._meter.failed()
            log.error('a request failed', exc_info=error)
        future.set_exception(error)

    def _abandon(self, engine: Engine | None = None) -> None:
        """End what still waits when the thread ends, so that nobody waits for ever; what has begun keeps its text."""
        with self._wake:
            self._tickets.cancel_all()
            begun = self._tickets.begun
        if engine is not None:
            for ticket in begun:
                self._advance(engine, ticket)
            engine.watching.end_all(CanceledError('the node was shut down'))
        with self._wake:
            waiting = [call.future for call in self._calls]
            waiting += [ticket.future for ticket in self._tickets.take_all()]
            self._calls.clear()
        for future in waiting:
            future.set_exception(CanceledError('the node was shut down'))
