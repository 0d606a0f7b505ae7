"""The ask action: a goal is a coroutine that asks its questions in turn, and a timer tells what has been written.

Nothing waits here. The device thread writes text into a goal, the executor's threads publish it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node

from pixelrefer_core.errors import InvalidRequestError, PixelReferError
from pixelrefer_core.tickets import Ticket
from pixelrefer_core.types import Query, QueryKind
from pixelrefer_ros import conversions
from pixelrefer_ros.action import Ask
from pixelrefer_ros.asking import Asker
from pixelrefer_ros.faults import reported_in
from pixelrefer_ros.goals import GoalServer, end_goal, steady_timer
from pixelrefer_ros.stamps import to_duration, to_seconds


class AskAction:
    """Serves the action from the moment it is made; while the node is not active, goals end as NOT_READY."""

    def __init__(self, node: Node, asker: Asker) -> None:
        self._node = node
        self._asker = asker
        self._goals: list[_Goal] = []
        self._server = GoalServer(node, Ask, 'ask', self._execute, on_canceling=self._on_canceling)
        self._timer = steady_timer(node, self._period_s, self._tell_all)

    @property
    def _period_s(self) -> float:
        return 1.0 / self._asker.settings().publish.feedback_rate_hz

    def close(self) -> None:
        """Take the action away; to be called once nothing spins it any more."""
        self._server.destroy()

    def _on_canceling(self) -> None:
        for goal in tuple(self._goals):
            goal.cancel_if_asked()

    async def _execute(self, handle: ServerGoalHandle) -> Ask.Result:
        goal, result = _Goal(handle), Ask.Result()
        self._goals.append(goal)
        with reported_in(result):
            await self._answer_all(goal, result)
        goal.end()
        self._goals.remove(goal)
        end_goal(handle, result.error_code)
        return result

    async def _answer_all(self, goal: _Goal, result: Ask.Result) -> None:
        request = goal.handle.request
        self._check(request)
        for index, question in enumerate(request.questions):
            pieces: list[str] = []
            ticket = self._asker.submit(
                _query(request, question, goal.request_id),
                on_text=self._listener(goal, pieces),
                priority=request.priority,
                has_place=index > 0,
            )
            goal.begin(index, ticket, pieces)
            answer, error = await self._asker.answer(ticket)
            result.answers.append(answer)
            self._tell(goal)
            if error is not None:
                raise error

    def _check(self, request: Ask.Goal) -> None:
        most = self._asker.settings().limits.goal_questions
        if not 0 < len(request.questions) <= most:
            raise InvalidRequestError(
                f'{len(request.questions)} questions in one goal; 1 to {most} are answered (limits.goal_questions)'
            )
        if request.kind not in tuple(QueryKind):
            raise InvalidRequestError(f'kind {request.kind} is none of ObjectAnswer.KIND_*')

    def _listener(self, goal: _Goal, pieces: list[str]) -> Callable[[str], None]:
        """What the device thread calls: it only leaves the text there, and never waits for a publisher."""
        executor = self._node.executor
        assert executor is not None  # it runs the goal

        def listen(piece: str) -> None:
            pieces.append(piece)
            if len(pieces) == 1:
                executor.create_task(self._tell, goal)

        return listen

    def _tell_all(self) -> None:
        self._timer.timer_period_ns = round(self._period_s * 1e9)  # the rate may be changed at any time
        for goal in tuple(self._goals):
            self._tell(goal)

    def _tell(self, goal: _Goal) -> None:
        try:
            worker = self._asker.worker()
        except PixelReferError:
            return  # the goal is about to end with this reason
        goal.tell(worker.ahead_of)


class _Goal:
    """A goal on its way: the question it is at, what has been written, what its client has been told."""

    def __init__(self, handle: ServerGoalHandle) -> None:
        self.handle = handle
        self.request_id = bytes(handle.goal_id.uuid).hex()
        self._accepted_s = time.monotonic()
        self._index = 0
        self._ticket: Ticket | None = None
        self._pieces: list[str] = []
        self._told_chars = 0
        self._lock = threading.Lock()  # feedback must not overtake feedback

    def begin(self, index: int, ticket: Ticket, pieces: list[str]) -> None:
        """Go on to a question, whose text will be in ``pieces``."""
        with self._lock:
            self._index, self._ticket, self._pieces, self._told_chars = index, ticket, pieces, 0
        self.cancel_if_asked()

    def end(self) -> None:
        """Publish no more: feedback of a goal that has ended is an error to rclpy."""
        with self._lock:
            self._ticket = None

    def cancel_if_asked(self) -> None:
        """Stop the question when the client has cancelled the goal."""
        ticket = self._ticket
        if ticket is not None and self.handle.is_cancel_requested:
            ticket.cancel()

    def tell(self, ahead_of: Callable[[Ticket], int]) -> None:
        """Publish what the goal is doing and what has been written since the last time."""
        with self._lock:
            if self._ticket is None:
                return
            # Answers begin with their first letter, as in the result.
            text = ''.join(self._pieces).lstrip()
            position = ahead_of(self._ticket)
            feedback = Ask.Feedback(
                state=_state(self._ticket, position, text),
                queue_position=position,
                question_index=self._index,
                text_delta=text[self._told_chars :],
                text_so_far=text,
                elapsed=to_duration(time.monotonic() - self._accepted_s),
            )
            self._told_chars = len(text)
            self.handle.publish_feedback(feedback)


def _state(ticket: Ticket, position: int, text: str) -> int:
    if not ticket.has_begun:
        return Ask.Feedback.STATE_QUEUED
    if position:
        return Ask.Feedback.STATE_INTERRUPTED
    return Ask.Feedback.STATE_DECODING if text else Ask.Feedback.STATE_PREFILL


def _query(request: Ask.Goal, question: str, request_id: str) -> Query:
    return conversions.to_query(
        request,
        kind=QueryKind(request.kind),
        object_ids=tuple(request.object_ids),
        question=question,
        horizon_s=to_seconds(request.horizon),
        request_id=request_id,
    )
