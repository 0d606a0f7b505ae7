"""The topics of ``vision_msgs``, where it is installed: ``detections`` in, ``detections_2d`` out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from rclpy.callback_groups import CallbackGroup
from std_msgs.msg import Header

from pixelrefer_core.types import Detection, TrackUpdate
from pixelrefer_ros import qos
from pixelrefer_ros.vision_messages import find_vision_msgs, to_detection_array, to_detections

# Gets the topic, the header and what reads the detections; it says what is wrong with them.
Detect = Callable[[str, Header, Callable[[], list[Detection]]], Awaitable[None]]


class VisionTopics:
    """Speaks ``vision_msgs``; without the package it says so once and does nothing."""

    def __init__(self, node: Any, group: CallbackGroup, detect: Detect) -> None:
        self._detect = detect
        self._messages = find_vision_msgs()
        self._output: Any = None
        if self._messages is None:
            node.get_logger().info('vision_msgs is not installed: no topics detections and detections_2d')
            return
        kind = self._messages.Detection2DArray
        self._output = node.create_lifecycle_publisher(kind, 'detections_2d', qos.results())
        node.create_subscription(kind, 'detections', self._on_detections, qos.results(), callback_group=group)

    def publish(self, update: TrackUpdate) -> None:
        """Publish the objects of a frame while somebody listens."""
        if self._messages is not None and self._output.get_subscription_count():
            self._output.publish(to_detection_array(self._messages, update.frame, update.objects))

    async def _on_detections(self, message: Any) -> None:
        await self._detect('detections', message.header, partial(to_detections, message))
