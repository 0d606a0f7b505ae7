"""A small client for robots' programs: objects in, typed answers out, errors as exceptions.

    from pixelrefer_ros.client import PixelReferClient

    with PixelReferClient() as robot:
        robot.wait_until_ready()
        robot.add_object('cup', box=(310, 200, 80, 90))
        print(robot.describe('cup').text)
        print(robot.ask(['cup'], 'Is <object1> empty?').text)
        for piece in robot.stream(['cup'], ['What is <object1>?', 'Where is it?']):
            print(piece, end='', flush=True)
        robot.watch(['cup'], 'Is <object1> moving?').wait()

The blocking calls belong into a thread of your own, never into an executor's callback; there, await the futures of
:meth:`PixelReferClient.call_async` on your own node's executor, or take text and events with ``async for``.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import Point32
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from pixelrefer_core.errors import NotReadyError, RequestTimeoutError
from pixelrefer_ros import qos
from pixelrefer_ros.action import Ask, Watch
from pixelrefer_ros.answer_stream import AnswerStream
from pixelrefer_ros.faults import error_of
from pixelrefer_ros.image_messages import to_image
from pixelrefer_ros.msg import (
    GenerationOptions,
    NodeStatus,
    ObjectAnswer,
    ObjectPrompt,
    RegionMask,
    TimeWindow,
    TrackedObject,
)
from pixelrefer_ros.spin import spin
from pixelrefer_ros.srv import (
    AddObjects,
    AskObjects,
    DescribeObject,
    GetObjects,
    PredictEvent,
    RemoveObjects,
)
from pixelrefer_ros.stamps import to_duration
from pixelrefer_ros.watch_stream import OnCheck, WatchStream

_SERVICES = {
    'add_objects': AddObjects,
    'remove_objects': RemoveObjects,
    'get_objects': GetObjects,
    'describe_object': DescribeObject,
    'ask_objects': AskObjects,
    'predict_event': PredictEvent,
    'pixelrefer_node/reset': Trigger,
}
# What the answer may take beyond the node's own deadline: discovery and transport.
GRACE_S = 10.0


def make_prompt(
    object_id: str = '',
    *,
    label: str = '',
    box: Sequence[float] | None = None,
    points: Sequence[Sequence[float]] = (),
    point_labels: Sequence[bool] = (),
    mask: np.ndarray | None = None,
    text: str = '',
    score: float = 0.0,
) -> ObjectPrompt:
    """Make a prompt. ``box``: x, y, width, height, pixels; ``points``: x, y; ``mask``: (H, W), non-zero = object.

    ``text``: what to look for, instead of these; needs a detector. ``score``: of a detector, 0 = not said.
    """
    prompt = ObjectPrompt(object_id=object_id, label=label, point_labels=list(point_labels), score=score)
    if text:
        prompt.kind |= ObjectPrompt.KIND_TEXT
        prompt.text = text
    if box is not None:
        prompt.kind |= ObjectPrompt.KIND_BOX
        x, y, width, height = (int(value) for value in box)
        prompt.box = RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height)
    if len(points):
        prompt.kind |= ObjectPrompt.KIND_POINTS
        prompt.points = [Point32(x=float(x), y=float(y)) for x, y in points]
    if mask is not None:
        prompt.kind |= ObjectPrompt.KIND_MASK
        prompt.mask = to_image(np.where(mask, 255, 0).astype(np.uint8), Header(), 'mono8')
    return prompt


class PixelReferClient:
    """Talks to one node. Without ``node`` it makes one, in a context of its own, and spins it on a thread.

    ``namespace``: where the services live ('' = relative to the node). ``timeout_s``: of calls that do no answering.
    """

    def __init__(self, *, node: Node | None = None, namespace: str = '', timeout_s: float = GRACE_S) -> None:
        self.timeout_s = timeout_s
        self._own: tuple[rclpy.Context, SingleThreadedExecutor, threading.Thread] | None = None
        self.node = node or self._spin_own_node()
        prefix = f'{namespace.rstrip("/")}/' if namespace else ''
        self._clients = {
            name: self.node.create_client(kind, prefix + name, qos_profile=qos.services())
            for name, kind in _SERVICES.items()
        }
        self._ask = self._action_client(Ask, prefix + 'ask')
        self._watch = self._action_client(Watch, prefix + 'watch')
        self._status = NodeStatus(reason='no status has arrived: is the node running?')
        self._status_changed = threading.Condition()
        self.node.create_subscription(NodeStatus, prefix + 'status', self._on_status, qos.latched())

    def __enter__(self) -> PixelReferClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the client's own node and thread; a node that was given stays."""
        if self._own is not None:
            context, executor, thread = self._own
            self._own = None
            context.try_shutdown()
            thread.join(5.0)
            executor.shutdown(timeout_sec=1.0)
            self.node.destroy_node()

    @property
    def status(self) -> NodeStatus:
        """The node's last heartbeat."""
        return self._status

    def wait_until_ready(self, timeout_s: float = 120.0) -> NodeStatus:
        """Block until the node is active and sees images. Raises :class:`NotReadyError` with its reason."""
        with self._status_changed:
            if not self._status_changed.wait_for(lambda: self._status.ready, timeout_s):
                raise NotReadyError(f'not ready after {timeout_s:g} s: {self._status.reason}')
        return self._status

    def add_object(self, object_id: str = '', **prompt: Any) -> str:
        """Track an object, pointed at as in :func:`make_prompt`; return its id."""
        return self.add_objects([make_prompt(object_id, **prompt)])[0]

    def add_objects(self, prompts: Sequence[ObjectPrompt], *, replace_existing: bool = False) -> list[str]:
        """Track several objects, all or none; return their ids."""
        request = AddObjects.Request(prompts=list(prompts), replace_existing=replace_existing)
        return list(self.call('add_objects', request).object_ids)

    def remove_objects(self, object_ids: Sequence[str] = ()) -> list[str]:
        """Stop tracking; no ids = every object."""
        response = self.call('remove_objects', RemoveObjects.Request(object_ids=list(object_ids)))
        return list(response.removed_object_ids)

    def reset(self) -> None:
        """Forget all objects and images. Raises :class:`NotReadyError` when the node is not active."""
        self.call('pixelrefer_node/reset', Trigger.Request())

    def get_objects(self, object_ids: Sequence[str] = ()) -> list[TrackedObject]:
        """The objects as they stand."""
        return list(self.call('get_objects', GetObjects.Request(object_ids=list(object_ids))).objects.objects)

    def get_masks(self, object_ids: Sequence[str] = ()) -> list[RegionMask]:
        """The masks of the visible objects."""
        request = GetObjects.Request(object_ids=list(object_ids), include_masks=True)
        return list(self.call('get_objects', request).masks)

    def describe(self, object_id: str, instruction: str = '', *, timeout_s: float = 30.0) -> ObjectAnswer:
        """Describe a tracked object."""
        request = DescribeObject.Request(
            object_id=object_id, instruction=instruction, timeout=to_duration(timeout_s)
        )
        return self._answer('describe_object', request, timeout_s)

    def ask(self, object_ids: Sequence[str], question: str, *, timeout_s: float = 30.0) -> ObjectAnswer:
        """Ask about tracked objects; ``<object1>`` in the question is the first of them."""
        request = AskObjects.Request(
            object_ids=list(object_ids), question=question, timeout=to_duration(timeout_s)
        )
        return self._answer('ask_objects', request, timeout_s)

    def predict(
        self,
        object_ids: Sequence[str],
        question: str = '',
        *,
        horizon_s: float = 0.0,
        timeout_s: float = 30.0,
    ) -> ObjectAnswer:
        """Ask what will happen to tracked objects."""
        request = PredictEvent.Request(
            object_ids=list(object_ids),
            question=question,
            horizon=to_duration(horizon_s),
            timeout=to_duration(timeout_s),
        )
        return self._answer('predict_event', request, timeout_s)

    def stream(
        self,
        object_ids: Sequence[str],
        questions: str | Sequence[str],
        *,
        kind: int = ObjectAnswer.KIND_ANSWER,
        window: TimeWindow | None = None,
        options: GenerationOptions | None = None,
        horizon_s: float = 0.0,
        timeout_s: float = 30.0,
        priority: int = 0,
    ) -> AnswerStream:
        """Ask one or several questions and get the text as it is written.

        ``kind``: one of ``ObjectAnswer.KIND_*``. ``timeout_s``: of each question. ``priority``: a higher one interrupts
        what the node is writing. Raises :class:`NotReadyError` when there is no node; it does not wait for one that has
        been seen, so that callbacks may call it too.
        """
        if not self._ask.wait_for_server(self.timeout_s):
            raise NotReadyError('no action ask: is the node running?')
        goal = Ask.Goal(
            kind=kind,
            object_ids=list(object_ids),
            questions=[questions] if isinstance(questions, str) else list(questions),
            window=window or TimeWindow(),
            options=options or GenerationOptions(),
            horizon=to_duration(horizon_s),
            timeout=to_duration(timeout_s),
            priority=priority,
        )
        whole_s = timeout_s * max(1, len(goal.questions)) + GRACE_S
        return AnswerStream(self.node, self._ask, goal, timeout_s=whole_s)

    def watch(
        self,
        object_ids: Sequence[str],
        condition: str,
        *,
        window_s: float = 0.0,
        max_frames: int = 0,
        on_threshold: float = 0.0,
        off_threshold: float = 0.0,
        hits: int = 1,
        of: int = 0,
        cooldown_s: float = 0.0,
        repeat: bool = False,
        timeout_s: float = 0.0,
        on_check: OnCheck = lambda feedback: None,
    ) -> WatchStream:
        """Be told when a condition in words begins to hold: a question of yes or no, or a statement.

        The fields are those of ``Watch.action``; zero = as the node is configured. ``repeat``: every time, not only the
        first. ``timeout_s`` 0: until cancelled. ``on_check`` gets every feedback. Raises :class:`NotReadyError` when
        there is no node; it does not wait for one that has been seen, so that callbacks may call it too.
        """
        if not self._watch.wait_for_server(self.timeout_s):
            raise NotReadyError('no action watch: is the node running?')
        goal = Watch.Goal(
            condition=condition,
            object_ids=list(object_ids),
            window=to_duration(window_s),
            max_frames=max_frames,
            on_threshold=on_threshold,
            off_threshold=off_threshold,
            hits=hits,
            of=of,
            cooldown=to_duration(cooldown_s),
            repeat=repeat,
            timeout=to_duration(timeout_s),
        )
        whole_s = timeout_s + GRACE_S if timeout_s else math.inf
        return WatchStream(self.node, self._watch, goal, timeout_s=whole_s, on_check=on_check)

    def call(self, service: str, request: Any, *, timeout_s: float | None = None) -> Any:
        """Call a service and block for its response. Raises the :class:`PixelReferError` of its error_code."""
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        if not self._clients[service].wait_for_service(limit_s):
            raise NotReadyError(f'no service {self._clients[service].srv_name}: is the node running?')
        done = threading.Event()
        future = self.call_async(service, request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(limit_s):
            future.cancel()
            raise RequestTimeoutError(f'{service} did not answer within {limit_s:g} s')
        response = future.result()
        error = error_of(response)
        if error is not None:
            raise error
        return response

    def call_async(self, service: str, request: Any) -> Future:
        """Call a service; the future ends with the response, whatever its error_code."""
        return self._clients[service].call_async(request)

    def _answer(self, service: str, request: Any, timeout_s: float) -> ObjectAnswer:
        return self.call(service, request, timeout_s=timeout_s + GRACE_S).answer

    def _on_status(self, message: NodeStatus) -> None:
        with self._status_changed:
            self._status = message
            self._status_changed.notify_all()

    def _action_client(self, kind: type, name: str) -> ActionClient:
        return ActionClient(
            self.node,
            kind,
            name,
            goal_service_qos_profile=qos.services(),
            result_service_qos_profile=qos.services(),
            cancel_service_qos_profile=qos.services(),
            feedback_sub_qos_profile=qos.feedback(),
        )

    def _spin_own_node(self) -> Node:
        context = rclpy.Context()
        rclpy.init(context=context)
        node = Node('pixelrefer_client', context=context, start_parameter_services=False)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        thread = threading.Thread(target=spin, args=(executor,), name='pixelrefer-client', daemon=True)
        thread.start()
        self._own = (context, executor, thread)
        return node
