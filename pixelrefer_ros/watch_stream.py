"""What a client holds while the node watches for a condition: events as they come, a way to cancel."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.action import ActionClient
from rclpy.node import Node

from pixelrefer_ros.action import Watch
from pixelrefer_ros.goal_stream import GoalStream
from pixelrefer_ros.msg import WatchEvent

OnCheck = Callable[[Watch.Feedback], None]


class WatchStream(GoalStream[WatchEvent]):
    """A goal of the watch action; iterate over it for its events.

    Of events that come faster than feedback is delivered only the last may be heard: ``event.number`` counts all.
    ``on_check`` gets every feedback on a thread of the executor: it must be quick.
    """

    def __init__(
        self,
        node: Node,
        client: ActionClient,
        goal: Watch.Goal,
        *,
        timeout_s: float,
        on_check: OnCheck = lambda feedback: None,
    ) -> None:
        self.event: WatchEvent | None = None
        self._on_check = on_check
        super().__init__(node, client, goal, timeout_s=timeout_s)

    def wait(self) -> WatchEvent | None:
        """Block until the goal has ended; return the last event, None when there was none. Raises as iterating does."""
        for _ in self:
            pass
        return self.event

    def _hear_feedback(self, feedback: Watch.Feedback) -> None:
        self._hear(feedback.event)
        self._on_check(feedback)

    def _hear_result(self, result: Watch.Result) -> None:
        self._hear(result.event)

    def _hear(self, event: WatchEvent) -> None:
        """Note the last event; feedback may have been lost, and brings it again."""
        with self._news:
            if self._done or event.number <= (self.event.number if self.event else 0):
                return
            self.event = event
            self._items.append(event)
        self._tell()
