"""Questions on their way: which one gets the device for its next token, and how each of them ends."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from .engine import Engine, OnText
from .errors import CanceledError, RequestTimeoutError
from .steps import Steps
from .types import Answer, FinishReason, Query

# Answers under way at once; each holds the keys and values of its prompt.
MOST_BEGUN = 3


@dataclass(eq=False)
class Ticket:
    """A question on its way. ``future`` ends with the :class:`Answer` or with an error.

    ``submitted_s`` and ``deadline_s`` are of the monotonic clock; the deadline runs on while a more urgent question
    is answered.
    """

    query: Query
    on_text: OnText | None
    priority: int
    submitted_s: float
    deadline_s: float
    future: Future[Answer] = field(default_factory=Future)
    _began_s: float = 0.0
    _steps: Steps[Answer] | None = None
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Stop it: within one token, whether it waits, is being answered, or is interrupted."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._cancelled.is_set()

    @property
    def has_begun(self) -> bool:
        """Whether the device has worked on it."""
        return self._steps is not None

    @property
    def stop_reason(self) -> FinishReason | None:
        """Why it should end now, None while it may go on."""
        if self.cancelled:
            return FinishReason.CANCELED
        return FinishReason.TIMEOUT if time.monotonic() > self.deadline_s else None

    def advance(self, engine: Engine) -> Answer | None:
        """Do one step; return the answer once it is complete, with its text so far when it has to stop.

        Raises :class:`CanceledError` or :class:`RequestTimeoutError` when it has to stop before it began, and what
        :meth:`Engine.answer` raises.
        """
        reason = self.stop_reason
        if self._steps is None:
            self._check_in_queue(reason)
            self._began_s = time.monotonic()
            self._steps = engine.answer_in_steps(self.query, on_text=self.on_text)
        try:
            self._steps.send(reason)
        except StopIteration as end:
            return self._with_time_in_queue(end.value)
        return None

    def _check_in_queue(self, reason: FinishReason | None) -> None:
        if reason is FinishReason.CANCELED:
            raise CanceledError('cancelled while it waited in the queue')
        if reason is FinishReason.TIMEOUT:
            waited_s = time.monotonic() - self.submitted_s
            raise RequestTimeoutError(
                f'still in the queue after {waited_s:.1f} s: ask less, or allow more time'
            )

    def _with_time_in_queue(self, answer: Answer) -> Answer:
        queue_s, timing = self._began_s - self.submitted_s, answer.timing
        timing = replace(
            timing,
            queue_s=queue_s,
            first_token_s=timing.first_token_s + queue_s,
            total_s=timing.total_s + queue_s,
        )
        return replace(answer, timing=timing)


class TicketQueue:
    """Tickets by urgency: the higher priority, then what has begun, then what came first. Not for several threads."""

    def __init__(self) -> None:
        self._tickets: list[Ticket] = []  # in the order of arrival

    def __len__(self) -> int:
        return len(self._tickets)

    @property
    def waiting(self) -> int:
        """How many have not begun."""
        return len(self) - len(self.begun)

    @property
    def begun(self) -> list[Ticket]:
        """Those that the device has worked on."""
        return [ticket for ticket in self._tickets if ticket.has_begun]

    def add(self, ticket: Ticket) -> None:
        """Let a ticket wait its turn."""
        self._tickets.append(ticket)

    def remove(self, ticket: Ticket) -> None:
        """Take out a ticket that has ended."""
        self._tickets.remove(ticket)

    def cancel_all(self) -> None:
        """Cancel every ticket."""
        for ticket in self._tickets:
            ticket.cancel()

    def take_all(self) -> list[Ticket]:
        """Empty the queue."""
        tickets, self._tickets = self._tickets, []
        return tickets

    def ahead_of(self, ticket: Ticket) -> int:
        """How many others go before ``ticket``; none when it has ended."""
        order = sorted(self._tickets, key=_urgency)
        return order.index(ticket) if ticket in order else 0

    def next(self) -> Ticket | None:
        """The ticket whose step is next: one that has to stop, whichever it is; else the most urgent.

        One that has not begun leaves those that have their place when these are :data:`MOST_BEGUN`.
        """
        stopping = (ticket for ticket in self._tickets if ticket.stop_reason is not None)
        begun = self.begun
        able = begun if len(begun) >= MOST_BEGUN else self._tickets
        return next(stopping, None) or min(able, key=_urgency, default=None)


def _urgency(ticket: Ticket) -> tuple[int, bool]:
    # Sorting is stable: equals stay in the order of arrival.
    return -ticket.priority, not ticket.has_begun
