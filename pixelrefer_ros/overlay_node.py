"""Draws the tracked objects and the newest answer on the camera image, for people. Works only while one looks."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image

from pixelrefer_core.drawing import draw_answer_panel, draw_objects
from pixelrefer_core.errors import InvalidImageError
from pixelrefer_core.questions import named
from pixelrefer_core.settings import OverlaySettings
from pixelrefer_ros import conversions, qos
from pixelrefer_ros.image_messages import from_label_image, to_frame, to_image
from pixelrefer_ros.log_bridge import bridge_logging
from pixelrefer_ros.msg import ObjectAnswer, TrackedObjectArray
from pixelrefer_ros.parameters import NodeParameters
from pixelrefer_ros.spin import run
from pixelrefer_ros.stamp_join import StampJoin

CHECK_PERIOD_S = 0.25


class OverlayNode(Node):
    """Joins ``image``, ``label_image`` and ``objects`` by stamp and publishes ``annotated_image``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('overlay_node', **kwargs)
        bridge_logging(self.get_logger())
        self._settings = NodeParameters(self, OverlaySettings())
        self._output = self.create_publisher(Image, 'annotated_image', qos.results())
        self._inputs: list[Any] = []
        self._join = StampJoin(
            ('image', 'labels', 'objects'), self._draw, limit=self._settings.current.history_frames
        )
        self._answer: ObjectAnswer | None = None
        self._answer_s = 0.0
        self.create_subscription(ObjectAnswer, 'answers', self._on_answer, qos.latched(depth=10))
        self.create_timer(CHECK_PERIOD_S, self._follow_subscribers)

    def close(self) -> None:
        """Nothing runs beside the executor."""

    def _follow_subscribers(self) -> None:
        """Listen to the inputs only while somebody listens to the output."""
        wanted = self._output.get_subscription_count() > 0
        if wanted and not self._inputs:
            image_qos = qos.image(self._settings.current.reliability)
            self._inputs = [
                self.create_subscription(kind, topic, partial(self._join.put, part), profile)
                for kind, topic, part, profile in (
                    (Image, 'image', 'image', image_qos),
                    (Image, 'label_image', 'labels', qos.results()),
                    (TrackedObjectArray, 'objects', 'objects', qos.results()),
                )
            ]
        elif not wanted and self._inputs:
            for subscription in self._inputs:
                self.destroy_subscription(subscription)
            self._inputs = []
            self._join.clear()

    def _on_answer(self, message: ObjectAnswer) -> None:
        self._answer, self._answer_s = message, time.monotonic()

    def _draw(self, image: Image, labels: Image, objects: TrackedObjectArray) -> None:
        settings = self._settings.current
        try:
            picture: np.ndarray = to_frame(image).image
            masks = from_label_image(labels)
        except InvalidImageError as error:
            self.get_logger().warning(f'image skipped: {error}', throttle_duration_sec=5.0)
            return
        picture = draw_objects(picture, conversions.from_tracked_objects(objects, masks), settings.opacity)
        if self._answer is not None and time.monotonic() - self._answer_s < settings.answer_s:
            question = named(self._answer.question, self._answer.object_ids)
            picture = draw_answer_panel(picture, question, self._answer.text)
        self._output.publish(to_image(picture, image.header, 'rgb8'))


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    return run(OverlayNode, args, threads=1)


if __name__ == '__main__':
    sys.exit(main())
