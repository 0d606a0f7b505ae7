"""What a client holds while an action works on its goal: what comes of it, how it ended, a way to cancel."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rclpy.action import ActionClient
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

from pixelrefer_core.errors import (
    BusyError,
    CanceledError,
    NotReadyError,
    PixelReferError,
    RequestTimeoutError,
)
from pixelrefer_ros.faults import error_of

if TYPE_CHECKING:
    from typing_extensions import Self

Item = TypeVar('Item')

# A goal without an end of its own is given up when the node has not been there for so long.
GONE_S = 5.0


class GoalStream(Generic[Item]):
    """A goal. Iterate over it for its items: none is lost, none comes twice.

    ``for`` blocks and belongs into a thread of your own; ``async for`` belongs into a coroutine of the executor. Both
    raise the :class:`PixelReferError` that ended the goal after the last item, unless you cancelled it. In a ``with``
    block, leaving it cancels what is not finished. ``timeout_s``: after so long without an end, the node is taken for
    gone and :class:`RequestTimeoutError` is raised; infinite = as long as the node is there.
    """

    def __init__(self, node: Node, client: ActionClient, goal: Any, *, timeout_s: float) -> None:
        self.error: PixelReferError | None = None
        self._node = node
        self._client = client
        self._ends_s = time.monotonic() + timeout_s
        self._there_s = time.monotonic()
        self._items: deque[Item] = deque()
        self._handle: Any = None
        self._cancelled = self._done = False
        self._news = threading.Condition()
        self._waiters: list[Future] = []
        client.send_goal_async(goal, feedback_callback=self._on_message).add_done_callback(self._on_response)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._done:
            self.cancel()

    def __iter__(self) -> Iterator[Item]:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._items or self._done, self._patience_s)
            self._look_for_node()
            yield from self._take()
            if self._done and not self._items:
                break
        self._raise_error()

    async def __aiter__(self) -> AsyncIterator[Item]:
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        timer = self._node.create_timer(self._patience_s, self._look_for_node, clock=steady)
        try:
            while True:
                await self._coming()
                for item in self._take():
                    yield item
                if self._done and not self._items:
                    break
        finally:
            self._node.destroy_timer(timer)
        self._raise_error()

    @property
    def is_done(self) -> bool:
        """Whether it has ended, well or with :attr:`error`: for who looks again and again, as a behaviour tree does."""
        self._look_for_node()
        return self._done

    def cancel(self) -> None:
        """Ask the node to stop. Returns at once."""
        with self._news:
            self._cancelled = True
            handle = self._handle
        if handle is not None and not self._done:
            handle.cancel_goal_async()

    def _hear_feedback(self, feedback: Any) -> None:
        """Append to the items what a feedback brings, and tell."""
        raise NotImplementedError

    def _hear_result(self, result: Any) -> None:
        """Append to the items what the result brings, and tell."""
        raise NotImplementedError

    @property
    def _patience_s(self) -> float:
        left_s = self._ends_s - time.monotonic()
        return GONE_S if math.isinf(left_s) else max(0.0, left_s)

    def _look_for_node(self) -> None:
        """Give up when the time is over, or when a node that may take for ever is no longer there."""
        now_s = time.monotonic()
        if math.isinf(self._ends_s):
            if self._client.server_is_ready():
                self._there_s = now_s
            elif now_s - self._there_s > GONE_S:
                self._end(NotReadyError('the node is gone'))
        elif now_s >= self._ends_s and not self._done:
            self.cancel()
            self._end(RequestTimeoutError('the node does not answer: is it still running?'))

    def _take(self) -> Iterator[Item]:
        while self._items:
            yield self._items.popleft()

    def _coming(self) -> Future:
        """A future of the node's executor that ends when there is something to take."""
        future = Future(executor=self._node.executor)
        with self._news:
            if not self._items and not self._done:
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

    def _on_message(self, message: Any) -> None:
        self._hear_feedback(message.feedback)

    def _on_result(self, future: Future) -> None:
        result = future.result().result
        self._hear_result(result)
        self._end(error_of(result))

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
