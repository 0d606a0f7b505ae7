"""The watch action: a goal is a watch of the engine, and a timer tells what its checks have said.

Nothing waits here, not even a coroutine. The device thread leaves each check with its goal, the executor's threads
publish it; what ends a watch leaves a task that ends its goal.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from rclpy.action.server import ServerGoalHandle
from rclpy.executors import Executor
from rclpy.node import Node

from pixelrefer_core.errors import CanceledError, PixelReferError, RequestTimeoutError
from pixelrefer_core.types import ModelInfo
from pixelrefer_core.watch import WatchCheck
from pixelrefer_core.watching import Watch as EngineWatch
from pixelrefer_ros.action import Watch
from pixelrefer_ros.asking import Asker
from pixelrefer_ros.faults import reported_in
from pixelrefer_ros.goals import PatientGoalServer, steady_timer
from pixelrefer_ros.msg import WatchEvent
from pixelrefer_ros.stamps import to_seconds
from pixelrefer_ros.watch_messages import to_event, to_feedback, to_watch_request


class WatchAction:
    """Serves the action from the moment it is made; while the node is not active, goals end as NOT_READY.

    ``on_event`` gets every trigger of every goal.
    """

    def __init__(
        self,
        node: Node,
        asker: Asker,
        *,
        model: Callable[[], ModelInfo | None],
        on_event: Callable[[WatchEvent], None],
    ) -> None:
        self._node = node
        self._asker = asker
        self._model = model
        self._on_event = on_event
        self._goals: list[_Goal] = []
        self._server = PatientGoalServer(node, Watch, 'watch', self._begin, on_canceling=self._on_canceling)
        self._timer = steady_timer(node, self._period_s, self._tell_all)

    @property
    def _period_s(self) -> float:
        return 1.0 / self._asker.settings().publish.feedback_rate_hz

    @property
    def _executor(self) -> Executor:
        executor = self._node.executor
        assert executor is not None  # it runs the goals
        return executor

    @property
    def running(self) -> int:
        """How many conditions are being watched."""
        return sum(goal.is_watching for goal in tuple(self._goals))

    def end_all(self, error: PixelReferError) -> None:
        """End every goal with this reason. Returns at once."""
        for goal in tuple(self._goals):
            goal.stop(error)

    def close(self) -> None:
        """Take the action away; to be called once nothing spins it any more."""
        self._server.destroy()

    def _on_canceling(self) -> None:
        for goal in tuple(self._goals):
            if goal.handle.is_cancel_requested:
                goal.stop(CanceledError('cancelled by the client'))

    def _begin(self, handle: ServerGoalHandle) -> None:
        goal = _Goal(handle)
        self._goals.append(goal)
        begun: Future[EngineWatch] = Future()
        try:
            request = to_watch_request(handle.request, self._asker.settings().watches)
            listener = self._listener(goal)
            begun = self._asker.worker().call(lambda engine: engine.watch(request, on_check=listener))
        except Exception as error:
            # It is reported in the result, as what the device thread raises is.
            begun.set_exception(error)
        begun.add_done_callback(lambda done: self._on_begun(goal, done))

    def _on_begun(self, goal: _Goal, begun: Future[EngineWatch]) -> None:
        if begun.exception() is not None:
            self._executor.create_task(self._end, goal, begun)
            return
        watch = begun.result()
        goal.begin(watch)
        watch.future.add_done_callback(lambda done: self._executor.create_task(self._end, goal, done))

    def _end(self, goal: _Goal, done: Future[Any]) -> None:
        result = Watch.Result()
        with reported_in(result):
            try:
                done.result()
            except RequestTimeoutError:
                # To have watched for so long is all that was asked for, unless one trigger was.
                if not goal.handle.request.repeat:
                    raise
        self._tell(goal)
        goal.close()
        self._goals.remove(goal)
        result.event, result.triggers = goal.event, goal.event.number
        result.triggered = result.triggers > 0
        self._server.finish(goal.handle, result)

    def _listener(self, goal: _Goal) -> Callable[[WatchCheck], None]:
        """What the device thread calls: it only leaves the check there, and never waits for a publisher."""
        executor = self._executor

        def listen(check: WatchCheck) -> None:
            goal.checks.append(check)
            if check.triggered:
                executor.create_task(self._tell, goal)

        return listen

    def _tell_all(self) -> None:
        self._timer.timer_period_ns = round(self._period_s * 1e9)  # the rate may be changed at any time
        for goal in tuple(self._goals):
            if goal.is_late:
                goal.stop(RequestTimeoutError('the timeout passed, and the condition did not begin to hold'))
            self._tell(goal)

    def _tell(self, goal: _Goal) -> None:
        goal.tell(self._model(), self._on_event)


class _Goal:
    """A goal on its way: its watch, the checks of which its client has not been told, its last trigger."""

    def __init__(self, handle: ServerGoalHandle) -> None:
        self.handle = handle
        self.event = WatchEvent()
        self.checks: deque[WatchCheck] = deque()
        self._request_id = bytes(handle.goal_id.uuid).hex()
        self._accepted_s = time.monotonic()
        self._timeout_s = to_seconds(handle.request.timeout)
        self._watch: EngineWatch | None = None
        self._reason: PixelReferError | None = None
        self._is_closed = False
        self._lock = threading.Lock()  # feedback must not overtake feedback

    @property
    def is_late(self) -> bool:
        """Whether its timeout has passed."""
        return 0 < self._timeout_s < time.monotonic() - self._accepted_s

    @property
    def is_watching(self) -> bool:
        """Whether its watch has begun and not ended."""
        return self._watch is not None and not self._watch.has_ended

    def begin(self, watch: EngineWatch) -> None:
        """Go on with this watch, which ends at once if the goal was stopped before."""
        with self._lock:
            self._watch, reason = watch, self._reason
        if reason is not None:
            watch.end(reason)

    def stop(self, reason: PixelReferError) -> None:
        """End the watch, now or when it begins."""
        with self._lock:
            self._reason, watch = reason, self._watch
        if watch is not None:
            watch.end(reason)

    def close(self) -> None:
        """Publish no more: feedback of a goal that has ended is an error to rclpy."""
        with self._lock:
            self._is_closed = True

    def tell(self, info: ModelInfo | None, on_event: Callable[[WatchEvent], None]) -> None:
        """Publish the newest check, and on the way to it every trigger."""
        with self._lock:
            while self.checks and not self._is_closed:
                check = self.checks.popleft()
                if check.triggered:
                    self.event = to_event(self.handle.request, self._request_id, check, info)
                    on_event(self.event)
                if check.triggered or not self.checks:
                    elapsed_s = time.monotonic() - self._accepted_s
                    self.handle.publish_feedback(to_feedback(check, self.event, elapsed_s))
