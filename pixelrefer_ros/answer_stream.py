"""What a client holds while the ask action writes: text as it comes, the answers at the end, a way to cancel."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rclpy.action import ActionClient
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

from pixelrefer_core.errors import BusyError, CanceledError, PixelReferError, RequestTimeoutError
from pixelrefer_ros.action import Ask
from pixelrefer_ros.faults import error_of
from pixelrefer_ros.msg import ObjectAnswer


@dataclass(frozen=True)
class Piece:
    """A piece of text, and the question (from 0) that it belongs to. ``str(piece)`` is the text."""

    question_index: int
    text: str

    def __str__(self) -> str:
        return self.text


class AnswerStream:
    """A goal of the ask action. Iterate over it for its :class:`Piece`\\ s: no text is lost, none comes twice.

    ``for`` blocks and belongs into a thread of your own; ``async for`` belongs into a coroutine of the executor. Both
    raise the :class:`PixelReferError` that ended the goal after the last piece, unless you cancelled it. In a ``with``
    block, leaving it cancels what is not finished. ``timeout_s``: after so long without an end, the node is taken for
    gone and :class:`RequestTimeoutError` is raised.
    """

    def __init__(self, node: Node, client: ActionClient, goal: Ask.Goal, *, timeout_s: float) -> None:
        self.answers: list[ObjectAnswer] = []
        self.error: PixelReferError | None = None
        self._node = node
        self._ends_s = time.monotonic() + timeout_s
        self._pieces: deque[Piece] = deque()
        self._heard = [''] * len(goal.questions)
        self._handle: Any = None
        self._cancelled = self._done = False
        self._news = threading.Condition()
        self._waiters: list[Future] = []
        client.send_goal_async(goal, feedback_callback=self._on_feedback).add_done_callback(self._on_response)

    def __enter__(self) -> AnswerStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._done:
            self.cancel()

    def __iter__(self) -> Iterator[Piece]:
        while True:
            with self._news:
                left_s = self._ends_s - time.monotonic()
                if not self._news.wait_for(lambda: self._pieces or self._done, left_s):
                    self._give_up()
            yield from self._take()
            if self._done and not self._pieces:
                break
        self._raise_error()

    async def __aiter__(self) -> AsyncIterator[Piece]:
        left_s = max(0.0, self._ends_s - time.monotonic())
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        timer = self._node.create_timer(left_s, self._give_up, clock=steady)
        try:
            while True:
                await self._coming()
                for piece in self._take():
                    yield piece
                if self._done and not self._pieces:
                    break
        finally:
            self._node.destroy_timer(timer)
        self._raise_error()

    def wait(self) -> list[ObjectAnswer]:
        """Block until the goal has ended; return its answers. Raises as iterating does."""
        for _ in self:
            pass
        return self.answers

    def cancel(self) -> None:
        """Ask the node to stop. Returns at once; what was written until then is in :attr:`answers` in the end."""
        with self._news:
            self._cancelled = True
            handle = self._handle
        if handle is not None and not self._done:
            handle.cancel_goal_async()

    def _take(self) -> Iterator[Piece]:
        while self._pieces:
            yield self._pieces.popleft()

    def _coming(self) -> Future:
        """A future of the node's executor that ends when there is something to take."""
        future = Future(executor=self._node.executor)
        with self._news:
            if not self._pieces and not self._done:
                self._waiters.append(future)
                return future
        future.set_result(None)
        return future

    def _raise_error(self) -> None:
        if self.error is not None and not (self._cancelled and isinstance(self.error, CanceledError)):
            raise self.error

    def _on_response(self, future: Future) -> None:
        handle = future.result()
        if not handle.accepted:
            self._end(BusyError('the node rejected the goal: too many have come lately, see its log'))
            return
        with self._news:
            self._handle, is_cancelled = handle, self._cancelled
        if is_cancelled:
            handle.cancel_goal_async()
        handle.get_result_async().add_done_callback(self._on_result)

    def _on_feedback(self, message: Any) -> None:
        feedback = message.feedback
        self._hear(feedback.question_index, feedback.text_so_far)

    def _on_result(self, future: Future) -> None:
        result = future.result().result
        self.answers = list(result.answers)
        for index, answer in enumerate(self.answers):
            self._hear(index, answer.text)
        self._end(error_of(result))

    def _hear(self, index: int, text: str) -> None:
        """Note the whole text of a question; feedback may have been lost, or have come late."""
        with self._news:
            heard = self._heard[index]
            if self._done or len(text) <= len(heard):
                return
            self._heard[index] = text
            self._pieces.append(Piece(index, text[len(heard) :]))
        self._tell()

    def _give_up(self) -> None:
        if not self._done:
            self.cancel()
            self._end(RequestTimeoutError('the node does not answer: is it still running?'))

    def _end(self, error: PixelReferError | None) -> None:
        with self._news:
            if not self._done:
                self.error, self._done = error, True
        self._tell()

    def _tell(self) -> None:
        with self._news:
            waiters, self._waiters = self._waiters, []
            self._news.notify_all()
        for future in waiters:
            future.set_result(None)
