"""Questions from ROS to the device thread, and their answers back to whoever asked and to the topic."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from rclpy.node import Node

from pixelrefer_core.engine import OnText
from pixelrefer_core.errors import (
    CanceledError,
    InvalidRequestError,
    PixelReferError,
    RequestTimeoutError,
)
from pixelrefer_core.settings import Settings
from pixelrefer_core.tickets import Ticket
from pixelrefer_core.types import FinishReason, ModelInfo, Query
from pixelrefer_core.worker import Worker
from pixelrefer_ros import conversions
from pixelrefer_ros.futures import awaitable
from pixelrefer_ros.msg import ObjectAnswer

Result = TypeVar('Result')

# Twelve days. A prediction expires at the stamp of its newest frame and the horizon, which must fit into a stamp.
LONGEST_HORIZON_S = 1e6


class Asker:
    """Puts questions to the worker and publishes every answer.

    ``worker``: returns the running worker, or raises :class:`NotReadyError`. ``on_answer``: gets every answer,
    however it was asked for.
    """

    def __init__(
        self,
        node: Node,
        *,
        worker: Callable[[], Worker],
        settings: Callable[[], Settings],
        model: Callable[[], ModelInfo | None],
        on_answer: Callable[[ObjectAnswer], None],
    ) -> None:
        self._node = node
        self.worker = worker
        self.settings = settings
        self._model = model
        self._on_answer = on_answer

    def submit(
        self,
        query: Query,
        *,
        on_text: OnText | None = None,
        priority: int = 0,
        has_place: bool = False,
    ) -> Ticket:
        """Queue a question. ``has_place``: its place was granted before, so that it is never BUSY.

        Raises :class:`BusyError`, :class:`NotReadyError` or :class:`InvalidRequestError`.
        """
        settings = self.settings()
        if query.timeout_s < 0 or query.horizon_s < 0:
            raise InvalidRequestError('timeout and horizon cannot be negative')
        if query.horizon_s > LONGEST_HORIZON_S:
            raise InvalidRequestError(
                f'the horizon must lie in [0, {LONGEST_HORIZON_S:g}] s, got {query.horizon_s:g}'
            )
        return self.worker().submit(
            query,
            limit=None if has_place else settings.limits.queued_queries,
            timeout_s=query.timeout_s or settings.generation.timeout_s,
            on_text=on_text,
            priority=priority,
        )

    async def answer(self, ticket: Ticket) -> tuple[ObjectAnswer, PixelReferError | None]:
        """Await the answer, and say whether it was cut short. Raises what the worker raises instead of an answer."""
        answer = await self.device(ticket.future)
        message = conversions.to_answer(answer, self._model())
        self._on_answer(message)
        return message, _why_cut_short(answer.finish_reason)

    async def device(self, work: Future[Result]) -> Result:
        """Await work of the device thread; no thread of the executor is held meanwhile."""
        executor = self._node.executor
        assert executor is not None  # it runs this coroutine
        return await awaitable(work, executor)


def _why_cut_short(reason: FinishReason) -> PixelReferError | None:
    if reason is FinishReason.TIMEOUT:
        return RequestTimeoutError('the deadline passed; the answer holds the text so far')
    if reason is FinishReason.CANCELED:
        return CanceledError(
            'cancelled by the client, or the node was deactivated; the answer holds the text so far'
        )
    return None
