"""One thread that owns the device and the engine; everybody else leaves work at its door.

Frames wait in a slot of one (the newest wins), questions in a bounded priority queue. While an answer is decoded,
the thread lets the waiting frame and the waiting calls through between two tokens, so tracking keeps its pace.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from .engine import Engine, OnText
from .errors import (
    BusyError,
    CanceledError,
    NoImageError,
    NotReadyError,
    PixelReferError,
    RequestTimeoutError,
    StaleImageError,
)
from .meters import WorkerMeter
from .types import Answer, FinishReason, Frame, Query, TrackUpdate, WorkerStatistics

log = logging.getLogger(__name__)
Result = TypeVar('Result')

WAITING_CALLS = 64


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


@dataclass(eq=False)
class Ticket:
    """A question on its way. ``future`` ends with the :class:`Answer` or with an error."""

    query: Query
    on_text: OnText | None
    submitted_s: float
    deadline_s: float
    future: Future[Answer] = field(default_factory=Future)
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Stop it: within one token when it is being answered, at once when it is still queued."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._cancelled.is_set()


class Worker:
    """Runs an engine on a thread of its own.

    ``build`` is called on that thread and returns the engine, so that model and device belong to it.
    ``on_update`` gets every :class:`TrackUpdate`, on the worker's thread: it must be quick.
    """

    def __init__(self, build: Callable[[], Engine], *, on_update: Callable[[TrackUpdate], None]) -> None:
        self._build = build
        self._on_update = on_update
        self._wake = threading.Condition()
        self._frame: Frame | None = None
        self._calls: list[_Call] = []
        self._tickets: list[tuple[int, int, Ticket]] = []
        self._order = itertools.count()
        self._current: Ticket | None = None
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

    def offer(self, frame: Frame) -> None:
        """Leave a frame to be tracked; it replaces one that is still waiting. Returns at once."""
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
        self, query: Query, *, limit: int, timeout_s: float, on_text: OnText | None = None, priority: int = 0
    ) -> Ticket:
        """Queue a question. ``on_text`` runs on the worker's thread.

        ``limit``: most questions waiting at once. ``timeout_s``: from now to the end of the answer. Higher
        ``priority`` goes first. Raises :class:`BusyError`.
        """
        now_s = time.monotonic()
        ticket = Ticket(query, on_text, now_s, now_s + timeout_s)
        with self._wake:
            self._check_running()
            if len(self._tickets) >= limit:
                raise BusyError(f'{len(self._tickets)} questions are waiting: try again later')
            heapq.heappush(self._tickets, (-priority, next(self._order), ticket))
            self._wake.notify()
        return ticket

    def cancel_all(self) -> None:
        """Cancel the running question and all that wait."""
        with self._wake:
            for _, _, ticket in self._tickets:
                ticket.cancel()
            if self._current is not None:
                self._current.cancel()

    def statistics(self) -> WorkerStatistics:
        """Counters and rates up to now."""
        with self._wake:
            return self._meter.read(queued=len(self._tickets))

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
        while self._wait_for_work():
            self._run_calls(engine)
            self._run_frame(engine)
            self._run_ticket(engine)
        self._abandon()

    def _wait_for_work(self) -> bool:
        with self._wake:
            while not (self._stopping or self._frame or self._tickets or self._due_calls()):
                self._wake.wait(self._patience_left_s())
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
            update = engine.step(frame)
            self._meter.tracked(update.track_s + update.encode_s)
            self._on_update(update)
        except PixelReferError as error:
            self._meter.failed(error.code)
            log.warning('frame skipped: %s', error)
        except Exception:
            self._meter.failed()
            log.exception('a frame failed; tracking goes on with the next one')
        with self._wake:
            for call in self._calls:
                call.is_due = True

    def _run_ticket(self, engine: Engine) -> None:
        with self._wake:
            if not self._tickets:
                return
            ticket = self._current = heapq.heappop(self._tickets)[2]
        self._settle(ticket.future, lambda: self._answer(engine, ticket))
        self._current = None

    def _answer(self, engine: Engine, ticket: Ticket) -> Answer:
        queue_s = time.monotonic() - ticket.submitted_s
        stop = self._stop_reason(ticket)
        if stop is FinishReason.CANCELED:
            raise CanceledError('cancelled while it waited in the queue')
        if stop is FinishReason.TIMEOUT:
            raise RequestTimeoutError(
                f'still in the queue after {queue_s:.1f} s: ask less, or allow more time'
            )

        def between_tokens() -> FinishReason | None:
            self._run_calls(engine)
            self._run_frame(engine)
            return self._stop_reason(ticket)

        answer = engine.answer(ticket.query, on_text=ticket.on_text, should_stop=between_tokens)
        self._meter.answered()
        timing = answer.timing
        timing = replace(
            timing,
            queue_s=queue_s,
            first_token_s=timing.first_token_s + queue_s,
            total_s=timing.total_s + queue_s,
        )
        return replace(answer, timing=timing)

    def _stop_reason(self, ticket: Ticket) -> FinishReason | None:
        if ticket.cancelled or self._stopping:
            return FinishReason.CANCELED
        return FinishReason.TIMEOUT if time.monotonic() > ticket.deadline_s else None

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

    def _abandon(self) -> None:
        """End what still waits when the thread ends, so that nobody waits for ever."""
        with self._wake:
            waiting = [call.future for call in self._calls] + [item[2].future for item in self._tickets]
            self._calls.clear()
            self._tickets.clear()
        for future in waiting:
            future.set_exception(CanceledError('the node was shut down'))
