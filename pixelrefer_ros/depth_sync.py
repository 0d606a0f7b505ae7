"""The newest depth images and the camera's calibration, for whoever asks what was measured at the time of an image.

A synchroniser that hands out pairs (message_filters) would hold back every image until its depth is there, and images
without depth for ever. Here images are tracked at once, and the depth nearest in time is looked up when their masks
are known; by then it has usually come.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from pixelrefer_core.errors import InvalidCameraInfoError, InvalidImageError, NoImageError, StaleImageError
from pixelrefer_core.settings import Settings
from pixelrefer_core.types import NANOSECONDS, DepthImage, Frame
from pixelrefer_ros import qos
from pixelrefer_ros.image_messages import to_depth, to_intrinsics
from pixelrefer_ros.stamps import to_ns


class DepthSync:
    """Listens to ``depth/image`` and ``camera_info`` from :meth:`open` to :meth:`close`. Thread-safe, never waits."""

    def __init__(self, node: Node, settings: Callable[[], Settings]) -> None:
        self._node = node
        self._settings = settings
        self._group = MutuallyExclusiveCallbackGroup()
        self._subscriptions: list[Any] = []
        self._lock = threading.Lock()
        self._depths: deque[Image] = deque()
        self._bytes = 0
        self._camera_info: CameraInfo | None = None
        self._arrived = 0

    def open(self) -> None:
        """Subscribe."""
        reliability = self._settings().image.reliability
        topics: list[tuple[type, str, Any]] = [(CameraInfo, 'camera_info', self._on_camera_info)]
        if self._settings().depth.enabled:
            topics.append((Image, 'depth/image', self._on_depth))
        self._subscriptions = [
            self._node.create_subscription(
                kind, topic, callback, qos.image(reliability), callback_group=self._group
            )
            for kind, topic, callback in topics
        ]

    def close(self) -> None:
        """Unsubscribe and forget what was heard."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        with self._lock:
            self._depths.clear()
            self._bytes, self._arrived, self._camera_info = 0, 0, None

    @property
    def arrived(self) -> int:
        """Depth images since :meth:`open`."""
        return self._arrived

    @property
    def topic(self) -> str:
        """The name of the depth topic as it was resolved."""
        return self._node.resolve_topic_name('depth/image')

    @property
    def camera_info(self) -> CameraInfo:
        """The newest calibration. Raises :class:`InvalidCameraInfoError` before the first."""
        with self._lock:
            if self._camera_info is None:
                topic = self._node.resolve_topic_name('camera_info')
                raise InvalidCameraInfoError(
                    f'no camera_info has arrived on {topic}: check the topic and its QoS'
                )
            return self._camera_info

    def of(self, frame: Frame) -> DepthImage:
        """Return the depth image nearest in time to a colour image.

        Raises :class:`NoImageError` or :class:`StaleImageError` when there is none, :class:`InvalidImageError` or
        :class:`InvalidCameraInfoError` when depth and image are unfit for each other.
        """
        message = self._nearest(frame.stamp_ns)
        info = self.camera_info
        _check_frame('depth/image', message.header.frame_id, frame.frame_id)
        _check_frame('camera_info', info.header.frame_id, frame.frame_id)
        camera = to_intrinsics(info, rectified=self._settings().depth.rectified)
        return to_depth(message, camera)

    def _nearest(self, stamp_ns: int) -> Image:
        tolerance_s = self._settings().depth.sync_tolerance_s
        with self._lock:
            if not self._depths:
                raise NoImageError(self._silence())
            nearest = min(self._depths, key=lambda item: abs(to_ns(item.header.stamp) - stamp_ns))
        apart_s = abs(to_ns(nearest.header.stamp) - stamp_ns) / NANOSECONDS
        if apart_s > tolerance_s:
            raise StaleImageError(
                f'the depth image nearest to the newest image is {apart_s:.3f} s apart; '
                f'depth.sync_tolerance_s is {tolerance_s:g}'
            )
        return nearest

    def _silence(self) -> str:
        if not self._settings().depth.enabled:
            return 'depth.enabled is false'
        if not self._node.count_publishers(self.topic):
            return f'nobody publishes {self.topic}'
        return f'{self.topic} has a publisher, but no depth image has arrived'

    def _on_depth(self, message: Image) -> None:
        limit = self._settings().depth.buffer_mb * 1_000_000
        with self._lock:
            self._arrived += 1
            self._depths.append(message)
            self._bytes += len(message.data)
            while self._bytes > limit and len(self._depths) > 1:
                self._bytes -= len(self._depths.popleft().data)

    def _on_camera_info(self, message: CameraInfo) -> None:
        with self._lock:
            self._camera_info = message


def _check_frame(topic: str, given: str, image: str) -> None:
    """Refuse depth that was seen from elsewhere: pixel by pixel, it belongs to other things."""
    if given and image and given != image:
        kind = InvalidImageError if topic == 'depth/image' else InvalidCameraInfoError
        raise kind(
            f'{topic} is of frame {given!r}, the image of {image!r}: take depth that is registered (aligned) to the '
            'colour image, and the camera_info of that image'
        )
