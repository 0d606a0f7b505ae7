"""Clicks of a person, in an image or in RViz's 3D view, as prompts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Point32, PointStamped
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

from pixelrefer_core.errors import NoImageError, PixelReferError
from pixelrefer_core.pinhole import project, resized
from pixelrefer_core.settings import Settings
from pixelrefer_core.types import Frame
from pixelrefer_ros import qos
from pixelrefer_ros.depth_sync import DepthSync
from pixelrefer_ros.image_messages import to_intrinsics
from pixelrefer_ros.msg import ObjectPrompt, ObjectPromptArray
from pixelrefer_ros.requests import Requests
from pixelrefer_ros.transforms import Transforms

# What RViz's tool "Publish Point" publishes on, in whatever namespace the node is.
CLICKED_POINT = '/clicked_point'
# rqt_image_view's "publish click location" adds this to the topic of the image that it shows. The annotated image has
# the pixels of the camera's image.
MOUSE_LEFT = '_mouse_left'
_SHOWN = ('image', 'image/compressed', 'annotated_image')


class Clicks:
    """Starts to track what is clicked; a refusal goes to the log.

    Clicks come on ``clicked_pixel``, on ``/clicked_point`` and, of rqt_image_view, on the topics of ``image`` and of
    ``annotated_image`` with ``_mouse_left`` behind their names.
    """

    def __init__(
        self,
        node: Node,
        group: CallbackGroup,
        requests: Requests,
        depth: DepthSync,
        transforms: Transforms,
        *,
        settings: Callable[[], Settings],
        newest: Callable[[], Frame | None],
    ) -> None:
        self._node = node
        self._requests = requests
        self._depth = depth
        self._transforms = transforms
        self._settings = settings
        self._newest = newest
        topics: list[tuple[type, str, Any]] = [
            (PointStamped, 'clicked_pixel', self._on_pixel),
            (PointStamped, CLICKED_POINT, self._on_point),
            *((Point, mouse_topic(node, image), self._on_mouse) for image in _SHOWN),
        ]
        for kind, topic, callback in topics:
            node.create_subscription(kind, topic, callback, qos.results(), callback_group=group)

    def prepare(self) -> None:
        """Listen to tf as soon as somebody may click in 3D, so that the first click finds a transform."""
        if self._node.count_publishers(CLICKED_POINT):
            self._transforms.listen()

    async def _on_pixel(self, message: PointStamped) -> None:
        await self._requests.add(_prompts(message.point.x, message.point.y, message))

    async def _on_mouse(self, message: Point) -> None:
        # On the newest image: such a click has no stamp.
        column, row = message.x, message.y
        frame = self._newest()
        if frame is not None:
            # rqt_image_view rounds up to the width of the image, which is one pixel too far.
            column, row = _inside(column, frame.width), _inside(row, frame.height)
        await self._requests.add(_prompts(column, row, PointStamped()))

    async def _on_point(self, message: PointStamped) -> None:
        try:
            column, row = self._pixel_of(message)
        except PixelReferError as error:
            self._node.get_logger().warning(f'{CLICKED_POINT}: {error}', throttle_duration_sec=1.0)
            return
        # On the newest image: the stamp of a click in 3D is that of the moment, not of an image.
        await self._requests.add(_prompts(column, row, PointStamped()))

    def _pixel_of(self, message: PointStamped) -> tuple[float, float]:
        """Where the newest image shows a point."""
        frame = self._newest()
        if frame is None:
            raise NoImageError('no image has been tracked yet')
        info = self._depth.camera_info
        camera = to_intrinsics(info, rectified=self._settings().depth.rectified)
        camera = resized(camera, frame.height, frame.width)
        point = np.array([message.point.x, message.point.y, message.point.z])
        own = frame.frame_id or info.header.frame_id
        if message.header.frame_id != own:
            point = self._transforms.lookup(own, message.header.frame_id, 0).apply(point)
        return project(camera, point.tolist())


def mouse_topic(node: Node, image: str) -> str:
    """The topic of clicks on an image, whose own topic may be remapped."""
    return node.resolve_topic_name(image) + MOUSE_LEFT


def _inside(coordinate: float, size: int) -> float:
    """Return a coordinate that is less than a pixel beyond the last as the last; others stay."""
    return min(coordinate, size - 1.0) if coordinate <= size else coordinate


def _prompts(column: float, row: float, message: PointStamped) -> ObjectPromptArray:
    prompt = ObjectPrompt(kind=ObjectPrompt.KIND_POINTS, points=[Point32(x=column, y=row)])
    return ObjectPromptArray(header=message.header, prompts=[prompt])
