"""Lets a person ask in RViz: a box around each object that has a place in 3D, and on it a menu of questions.

A client of the public interface: it may run on another machine than ``pixelrefer_node``.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from pixelrefer_core.errors import PixelReferError
from pixelrefer_core.settings import OperatorSettings
from pixelrefer_ros import qos
from pixelrefer_ros.log_bridge import bridge_logging
from pixelrefer_ros.marker_server import MarkerServer
from pixelrefer_ros.msg import ObjectAnswer, TrackedObjectArray
from pixelrefer_ros.object_handles import Places, to_interactive_marker
from pixelrefer_ros.object_menu import STOP, ObjectMenu
from pixelrefer_ros.operator_calls import OperatorCalls
from pixelrefer_ros.parameters import NodeParameters
from pixelrefer_ros.spin import run

NAMESPACE = 'object_menus'


@dataclass(frozen=True)
class Notice:
    """What is said below an object. ``entry``: of the menu, that it is about; ``until_s``: monotonic."""

    entry: int
    text: str
    until_s: float = math.inf


class OperatorNode(Node):
    """Joins ``objects``, ``answers`` and the services to interactive markers in the namespace ``object_menus``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('operator_node', **kwargs)
        bridge_logging(self.get_logger())
        self._settings = NodeParameters(self, OperatorSettings())
        # Answers of services come outside of the callback group.
        self._lock = threading.RLock()
        self._places = Places()
        self._menus: dict[str, ObjectMenu] = {}
        self._notices: dict[str, Notice] = {}
        self._is_changed = False
        self._is_first = True
        self._calls = OperatorCalls(self)
        self._server = MarkerServer(self, NAMESPACE, self._on_choice)
        self._objects = self.create_subscription(
            TrackedObjectArray, 'objects', self._on_objects, qos.results()
        )
        self.create_subscription(ObjectAnswer, 'answers', self._on_answer, qos.latched(depth=10))
        # What is seen is bounded in rate, and follows a steady clock: /clock may stand still.
        period_s = 1.0 / self._settings.current.rate_hz
        self.create_timer(period_s, self._refresh, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        """Nothing runs beside the executor."""

    def _on_objects(self, message: TrackedObjectArray) -> None:
        settings = self._settings.current
        with self._lock:
            self._is_first = False
            self._places.update(message, settings.hold_s)
            self._menus = {
                item.object_id: self._menus.get(item.object_id)
                or ObjectMenu(item.object_id, settings.recent_questions)
                for item in message.objects
            }
            self._notices = {key: notice for key, notice in self._notices.items() if key in self._menus}
            self._is_changed = True

    def _on_answer(self, message: ObjectAnswer) -> None:
        with self._lock:
            for object_id in message.object_ids:
                # Latched answers come before the first objects, which will clear away what is tracked no more.
                if self._is_first or object_id in self._menus:
                    new = ObjectMenu(object_id, self._settings.current.recent_questions)
                    self._menus.setdefault(object_id, new).note(message)
            self._is_changed = True

    def _on_choice(self, object_id: str, entry: int) -> None:
        settings = self._settings.current
        with self._lock:
            menu, notice = self._menus.get(object_id), self._notices.get(object_id)
            question = menu.question(entry) if menu else None
            if question is None and entry != STOP:
                self.get_logger().warning(f'{object_id} has no entry {entry} in its menu (any more)')
                return
            if notice and notice.entry == entry and notice.until_s == math.inf:
                return  # clicked twice
            on_end = partial(self._on_end, object_id, entry)
            self._say(object_id, Notice(entry, 'asking ...' if question else 'stopping ...'))
        try:
            if question:
                self._calls.ask(question, settings.timeout_s, settings.horizon_s, on_end)
            else:
                self._calls.stop(object_id, on_end)
        except PixelReferError as error:
            on_end(error)

    def _on_end(self, object_id: str, entry: int, error: PixelReferError | None) -> None:
        """Clear the notice of a request that has ended, or say why it has failed."""
        with self._lock:
            if error is not None:
                self.get_logger().warning(f'{object_id}: {error}')
                until_s = time.monotonic() + self._settings.current.notice_s
                self._say(object_id, Notice(entry, f'{error.code.name}: {error}', until_s))
                return
            if entry == STOP:
                self._places.forget([object_id])  # without waiting for the next image
            if object_id in self._notices and self._notices[object_id].entry == entry:
                del self._notices[object_id]
            self._is_changed = True

    def _say(self, object_id: str, notice: Notice) -> None:
        self._notices[object_id] = notice
        self._is_changed = True

    def _refresh(self) -> None:
        """Show what has changed."""
        self._calls.drop_late()
        now_s = time.monotonic()
        with self._lock:
            for object_id in [key for key, notice in self._notices.items() if notice.until_s < now_s]:
                del self._notices[object_id]
                self._is_changed = True
            if self._places.items() and not self.count_publishers(self._objects.topic_name):
                self._places.clear()  # the node is gone
                self._is_changed = True
            if not self._is_changed:
                return
            self._is_changed = False
            markers = [
                to_interactive_marker(
                    object_id,
                    place,
                    self._menus[object_id].entries(),
                    self._notices[object_id].text if object_id in self._notices else '',
                )
                for object_id, place in self._places.items()
            ]
        self._server.show(markers)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    return run(OperatorNode, args, threads=1)


if __name__ == '__main__':
    sys.exit(main())
