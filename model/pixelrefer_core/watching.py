"""Watches: conditions about objects, checked whenever object memory has something new of them.

Many watches are one batch of prompts and one pass of the language model, whose next-token logits of yes and no are all
that is read. Everything here runs on the thread that owns the model, except :meth:`Watch.end`.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from .errors import BusyError, ObjectNeverSeenError, PixelReferError, UnknownObjectError, WindowEmptyError
from .object_memory import ObjectMemory
from .questions import compose
from .settings import WatchSettings
from .types import NANOSECONDS, Frame, ObjectTokens, TimeWindow
from .watch import Hysteresis, WatchCheck, WatchRequest
from .watch_budget import WatchBudget

log = logging.getLogger(__name__)

# An instruction with one <region> for each object, and the tokens of these.
ClosedQuestion = tuple[str, Sequence[Sequence[ObjectTokens]]]
Judge = Callable[[Sequence[ClosedQuestion]], Sequence[float]]


@dataclass(eq=False)
class Watch:
    """A watch on its way. ``future`` ends with the check that triggered, where one is enough, or with an error.

    ``on_check`` hears every check on the device's thread: it must be quick.
    """

    request: WatchRequest
    question: str
    on_check: Callable[[WatchCheck], None]
    future: Future[WatchCheck] = field(default_factory=Future)
    # Since when there is something new to look at, of the monotonic clock; its stamp at the last check; and when that
    # was, numbering all checks.
    due_s: float | None = None
    seen_ns: int = -1
    turn: int = -1
    _rule: Hysteresis = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._rule = Hysteresis(self.request.rule)

    @property
    def has_ended(self) -> bool:
        """Whether it will not be checked again."""
        return self.future.done()

    def end(self, error: PixelReferError) -> None:
        """End it, unless it has ended. From any thread; returns at once."""
        with self._lock:
            if not self.future.done():
                self.future.set_exception(error)

    def judge(self, probability: float, stamps_ns: tuple[int, ...], frame: Frame) -> None:
        """Take what the model says about the frames of these stamps; tell, and end if that is all that was wanted."""
        triggered = self._rule.push(probability, stamps_ns[-1])
        check = WatchCheck(
            probability=probability,
            state=self._rule.state,
            triggered=triggered,
            triggers=self._rule.triggers,
            frame_stamps_ns=stamps_ns,
            frame_id=frame.frame_id,
        )
        self.on_check(check)
        if triggered and self.request.once:
            with self._lock:
                if not self.future.done():
                    self.future.set_result(check)


@dataclass(frozen=True, eq=False)
class _Prepared:
    watch: Watch
    question: ClosedQuestion
    stamps_ns: tuple[int, ...]


class Watching:
    """All watches of an engine, and the checks that are due."""

    def __init__(self, settings: WatchSettings, memory: ObjectMemory, judge: Judge) -> None:
        self.budget = WatchBudget(settings)
        self._memory = memory
        self._judge = judge
        self._watches: list[Watch] = []
        self._turns = itertools.count()

    def __len__(self) -> int:
        self._watches = [watch for watch in self._watches if not watch.has_ended]
        return len(self._watches)

    @property
    def settings(self) -> WatchSettings:
        """The settings as they stand."""
        return self.budget.settings

    @settings.setter
    def settings(self, settings: WatchSettings) -> None:
        self.budget.settings = settings

    def add(
        self,
        request: WatchRequest,
        question: str,
        on_check: Callable[[WatchCheck], None] = lambda check: None,
    ) -> Watch:
        """Begin to watch, from the next turn on. ``request`` and ``question`` have been checked.

        Raises :class:`BusyError`.
        """
        if len(self) >= self.settings.most:
            raise BusyError(
                f'{len(self)} conditions are being watched, watches.most of them: try again later'
            )
        watch = Watch(request, question, on_check)
        self._watches.append(watch)
        self.look(time.monotonic())
        return watch

    def forget(self, object_ids: Iterable[str]) -> None:
        """End the watches of objects that are no longer tracked."""
        gone = set(object_ids)
        for watch in self._watches:
            for object_id in watch.request.object_ids:
                if object_id in gone:
                    watch.end(UnknownObjectError(f'{object_id!r} is no longer tracked: its watch has ended'))

    def end_all(self, error: PixelReferError) -> None:
        """End every watch."""
        for watch in self._watches:
            watch.end(error)

    def look(self, now_s: float) -> None:
        """See of which watches the memory holds something that they have not seen."""
        for watch in self._watches:
            newest_ns = max(map(self._memory.newest_ns, watch.request.object_ids))
            if newest_ns > watch.seen_ns and watch.due_s is None:
                watch.due_s = now_s

    def wait_s(self, now_s: float) -> float | None:
        """How long until the next batch of checks may begin, None while there is nothing to check."""
        return self.budget.wait_s(now_s) if self._due() else None

    def is_urgent(self, now_s: float) -> bool:
        """Tell whether a check has waited for so long that it goes before questions."""
        patience_s = self.settings.patience_s
        return any(now_s - watch.due_s > patience_s for watch in self._due() if watch.due_s is not None)

    def check(self, frame: Frame) -> int:
        """Make the next batch of checks, if it is time for one; return their number. ``frame``: the newest.

        Those that were checked longest ago come first. A watch that the model cannot judge ends with the reason.
        """
        start_s = time.monotonic()
        due = self._due()
        if not due or self.budget.wait_s(start_s) > 0:
            return 0
        chosen = sorted(due, key=lambda watch: watch.turn)[: self.budget.size()]
        for watch in chosen:
            watch.due_s, watch.turn = None, next(self._turns)
        batch = [prepared for watch in chosen if (prepared := self._prepare(watch, frame))]
        self._judge_all(batch, frame)
        if batch:
            self.budget.spent(start_s, time.monotonic() - start_s, len(batch))
        return len(batch)

    def _due(self) -> list[Watch]:
        return [watch for watch in self._watches if watch.due_s is not None and not watch.has_ended]

    def _prepare(self, watch: Watch, frame: Frame) -> _Prepared | None:
        """Choose the frames of a check; None where an object has none in the window, so that nothing can be said."""
        request = watch.request
        start_ns = frame.stamp_ns - round(request.window_s * NANOSECONDS) if request.window_s else None
        window = TimeWindow(start_ns, None, request.max_frames)
        watch.seen_ns = max(map(self._memory.newest_ns, request.object_ids))
        try:
            objects = [self._memory.select(object_id, window) for object_id in request.object_ids]
        except (ObjectNeverSeenError, WindowEmptyError):
            return None
        stamps_ns = tuple(sorted({tokens.stamp_ns for item in objects for tokens in item}))
        _, instruction = compose(
            request.query, watch.question, count=len(objects), is_video=len(stamps_ns) > 1
        )
        return _Prepared(watch, (instruction, objects), stamps_ns)

    def _judge_all(self, batch: Sequence[_Prepared], frame: Frame) -> None:
        """Judge a batch; where that fails, each alone, so that one faulty condition does not end the others."""
        try:
            probabilities = self._judge([item.question for item in batch]) if batch else ()
        except Exception as error:
            if len(batch) > 1:
                for item in batch:
                    self._judge_all([item], frame)
            else:
                _fail(batch[0].watch, error)
            return
        for item, probability in zip(batch, probabilities, strict=True):
            try:
                item.watch.judge(probability, item.stamps_ns, frame)
            except Exception as error:
                _fail(item.watch, error)


def _fail(watch: Watch, error: Exception) -> None:
    if isinstance(error, PixelReferError):
        watch.end(error)
        return
    log.error('a watch failed', exc_info=error)
    watch.end(PixelReferError(f'{type(error).__name__} inside the node; see its log'))
