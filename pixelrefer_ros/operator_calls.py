"""Puts what a person chooses to the services of the node. Nothing here waits, and little is under way at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future

from pixelrefer_core.errors import BusyError, NotReadyError, PixelReferError, RequestTimeoutError
from pixelrefer_ros.client import GRACE_S
from pixelrefer_ros.faults import error_of
from pixelrefer_ros.msg import ObjectAnswer
from pixelrefer_ros.object_menu import Question
from pixelrefer_ros.srv import AskObjects, DescribeObject, PredictEvent, RemoveObjects
from pixelrefer_ros.stamps import to_duration

# As many as may wait in the node, by default.
MOST = 8
_SERVICES = {
    'describe_object': DescribeObject,
    'ask_objects': AskObjects,
    'predict_event': PredictEvent,
    'remove_objects': RemoveObjects,
}
# Called once, with what went wrong, or None.
OnEnd = Callable[[PixelReferError | None], None]


@dataclass(frozen=True)
class _Call:
    client: Client
    deadline_s: float
    on_end: OnEnd


class OperatorCalls:
    """Calls services; every call ends, also when the node does not answer. Thread-safe."""

    def __init__(self, node: Node) -> None:
        self._clients = {name: node.create_client(kind, name) for name, kind in _SERVICES.items()}
        self._lock = threading.Lock()
        self._pending: dict[Future, _Call] = {}

    def ask(self, question: Question, timeout_s: float, horizon_s: float, on_end: OnEnd) -> None:
        """Ask. The answer goes to the topic ``answers``. Raises as :meth:`stop` does."""
        common = {'timeout': to_duration(timeout_s)}
        if question.kind == ObjectAnswer.KIND_CAPTION:
            (object_id,) = question.object_ids
            service, request = 'describe_object', DescribeObject.Request(object_id=object_id, **common)
        elif question.kind == ObjectAnswer.KIND_PREDICTION:
            common |= {'object_ids': list(question.object_ids), 'horizon': to_duration(horizon_s)}
            service, request = 'predict_event', PredictEvent.Request(question=question.text, **common)
        else:
            common |= {'object_ids': list(question.object_ids)}
            service, request = 'ask_objects', AskObjects.Request(question=question.text, **common)
        self._call(service, request, timeout_s, on_end)

    def stop(self, object_id: str, on_end: OnEnd) -> None:
        """Stop tracking. Raises :class:`NotReadyError` or :class:`BusyError`."""
        self._call('remove_objects', RemoveObjects.Request(object_ids=[object_id]), 0.0, on_end)

    def drop_late(self) -> None:
        """End the calls that no answer has come to in time."""
        now_s = time.monotonic()
        with self._lock:
            late = [future for future, call in self._pending.items() if call.deadline_s < now_s]
            calls = [(future, self._pending.pop(future)) for future in late]
        for future, call in calls:
            call.client.remove_pending_request(future)
            call.on_end(RequestTimeoutError(f'{call.client.srv_name} did not answer'))

    def _call(self, service: str, request: Any, timeout_s: float, on_end: OnEnd) -> None:
        client = self._clients[service]
        if not client.service_is_ready():
            raise NotReadyError(f'no service {client.srv_name}: is the node running?')
        with self._lock:
            if len(self._pending) >= MOST:
                raise BusyError(f'{MOST} requests are under way: wait for an answer')
            future = client.call_async(request)
            self._pending[future] = _Call(client, time.monotonic() + timeout_s + GRACE_S, on_end)
        future.add_done_callback(self._on_done)

    def _on_done(self, future: Future) -> None:
        with self._lock:
            call = self._pending.pop(future, None)
        if call is not None:
            call.on_end(error_of(future.result()))
