"""What the node's actions have in common: how goals are admitted, heard of when they are cancelled, and ended."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.timer import Timer

from pixelrefer_ros import qos
from pixelrefer_ros.msg import ResultCode

# A result is kept so long for a client that is late to fetch it, and so many of them at most: each change of a goal's
# status is published with the status of all that are kept.
RESULT_TIMEOUT_S = 60
KEPT_GOALS = 300


class GoalServer(ActionServer):
    """Accepts goals, each a coroutine, unless too many came lately.

    ``on_canceling`` is called when goals have become canceling; a cancel callback runs before that, when they may not
    end as canceled.
    """

    def __init__(
        self, node: Node, kind: type, name: str, execute: Any, *, on_canceling: Callable[[], None]
    ) -> None:
        self._on_canceling = on_canceling
        self._warn = node.get_logger().warning
        self._title = name
        self._accepted_s: deque[float] = deque()
        super().__init__(
            node,
            kind,
            name,
            execute,
            # One callback at a time: rclpy's server keeps no order among goals, cancels and expiries of its own.
            callback_group=MutuallyExclusiveCallbackGroup(),
            goal_callback=self._on_goal,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
            result_timeout=RESULT_TIMEOUT_S,
            goal_service_qos_profile=qos.services(),
            result_service_qos_profile=qos.services(),
            cancel_service_qos_profile=qos.services(),
            feedback_pub_qos_profile=qos.feedback(),
        )

    async def execute(self, taken_data: Any) -> None:
        """Serve what has come in."""
        await super().execute(taken_data)
        if 'cancel' in taken_data:
            self._on_canceling()

    def _on_goal(self, request: Any) -> GoalResponse:
        now_s = time.monotonic()
        while self._accepted_s and now_s - self._accepted_s[0] > RESULT_TIMEOUT_S:
            self._accepted_s.popleft()
        if len(self._accepted_s) >= KEPT_GOALS:
            self._warn(
                f'{self._title}: a goal is rejected, {KEPT_GOALS} came within {RESULT_TIMEOUT_S} s',
                throttle_duration_sec=5.0,
            )
            return GoalResponse.REJECT
        self._accepted_s.append(now_s)
        return GoalResponse.ACCEPT


class PatientGoalServer(GoalServer):
    """Begins each goal by ``begin(handle)``, which returns at once; :meth:`finish` ends it, much later perhaps.

    For goals that last: rclpy resumes every coroutine that waits whenever anything happens. Fifty of them, and timers
    and images come at a quarter of their rate.
    """

    def __init__(
        self,
        node: Node,
        kind: type,
        name: str,
        begin: Callable[[ServerGoalHandle], None],
        *,
        on_canceling: Callable[[], None],
    ) -> None:
        self._begin = begin
        super().__init__(node, kind, name, begin, on_canceling=on_canceling)

    def notify_execute(self, goal_handle: ServerGoalHandle, execute_callback: Any) -> None:
        """Begin a goal that is executing now."""
        self._begin(goal_handle)

    def finish(self, handle: ServerGoalHandle, result: Any) -> None:
        """End a goal as the error_code of ``result`` tells, and send that."""

        def end(handle: ServerGoalHandle) -> Any:
            end_goal(handle, result.error_code)
            return result

        super().notify_execute(handle, end)


def steady_timer(node: Node, period_s: float, callback: Callable[[], None]) -> Timer:
    """A timer that keeps going while the time of a simulation or a bag stands still.

    It always runs: rclpy loses a timer for good that is cancelled while one of its threads is about to call it.
    """
    steady = Clock(clock_type=ClockType.STEADY_TIME)
    return node.create_timer(period_s, callback, MutuallyExclusiveCallbackGroup(), clock=steady)


def end_goal(handle: ServerGoalHandle, code: int) -> None:
    """Bring a goal to the end that the error_code of its result tells of."""
    if code == ResultCode.NONE:
        handle.succeed()
    elif code == ResultCode.CANCELED and handle.is_cancel_requested:
        handle.canceled()
    else:
        handle.abort()
