"""Turns words into prompts: looks for ``classes`` in camera images and publishes what it sees on ``object_prompts``.

A lifecycle node. ``configure`` loads the detector, ``activate`` opens the image tap, ``deactivate`` closes it and keeps
the weights, ``cleanup`` frees them.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from pixelrefer_core.detector import Detector
from pixelrefer_core.detector.words import read_words
from pixelrefer_core.detector_worker import DetectorWorker, Search
from pixelrefer_core.errors import ModelError, PixelReferError, SettingError
from pixelrefer_core.settings import DetectorNodeSettings
from pixelrefer_core.types import Detection, Frame
from pixelrefer_ros import conversions, qos
from pixelrefer_ros.building import make_detector
from pixelrefer_ros.detector_diagnostics import DetectorHealth, to_entry
from pixelrefer_ros.image_messages import to_frame
from pixelrefer_ros.image_tap import subscribe_to_images
from pixelrefer_ros.lifecycle import ManagedNode
from pixelrefer_ros.msg import ObjectPromptArray
from pixelrefer_ros.parameters import NodeParameters
from pixelrefer_ros.spin import run

log = logging.getLogger(__name__)
STATUS_PERIOD_S = 1.0


class DetectorNode(ManagedNode):
    """Wires the camera to the thread that owns the detector, and its boxes to ``object_prompts``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('detector_node', **kwargs)
        self._worker: DetectorWorker | None = None
        self._name = ''
        self._tap: Any = None
        self._settings = NodeParameters(
            self,
            DetectorNodeSettings(),
            is_locked=lambda: self._worker is not None,
            on_change=self._on_settings,
        )
        self._search = _search(self.settings)
        self._prompts = self.create_lifecycle_publisher(ObjectPromptArray, 'object_prompts', qos.results())
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_timer(STATUS_PERIOD_S, self._publish_status, clock=self._steady)
        if self.settings.autostart:
            self._start_by_itself()

    @property
    def settings(self) -> DetectorNodeSettings:
        """The parameters as they stand."""
        return self._settings.current

    def close(self) -> None:
        """End the detector's thread."""
        self._release()

    def _load(self) -> None:
        self.get_logger().info(f'loading {self.settings.detector.path or "no detector"}')
        worker = DetectorWorker(self._build, search=lambda: self._search, on_detections=self._publish)
        self._name = worker.start().result().name
        self._worker = worker

    def _open_tap(self) -> None:
        self._tap = subscribe_to_images(
            self,
            self._on_image,
            transport=self.settings.transport,
            reliability=self.settings.reliability,
            group=MutuallyExclusiveCallbackGroup(),
        )

    def _build(self) -> Detector:
        detector = make_detector(self.settings.detector)
        if detector is None:
            raise ModelError('detector.path is empty: give a checkpoint folder or a cached hub repository')
        return detector

    def _close_tap(self) -> None:
        if self._tap is not None:
            self.destroy_subscription(self._tap)
            self._tap = None
        if self._worker is not None:
            self._worker.drop_frame()

    def _release(self) -> None:
        worker, self._worker, self._name = self._worker, None, ''
        if worker is not None and not worker.stop():
            self.get_logger().error('the thread of the detector did not end in time')

    def _on_image(self, message: Image | CompressedImage) -> None:
        worker = self._worker
        if worker is not None and self._state == 'active':
            # Decoded on the detector's thread, if it gets there before the next one.
            worker.offer(partial(to_frame, message))

    def _on_settings(self, settings: DetectorNodeSettings) -> None:
        self._search = _search(settings)
        if self._worker is not None:
            self._worker.renew()

    def _publish(self, frame: Frame, detections: list[Detection]) -> None:
        """Publish what was seen on an image, nothing included. Runs on the detector's thread."""
        if self._state == 'active':
            self._prompts.publish(conversions.to_prompt_array(frame, detections))

    def _publish_status(self) -> None:
        topic = self._tap.topic_name if self._tap is not None else self.resolve_topic_name('image')
        health = DetectorHealth(
            state=self._state,
            failure=self._failure,
            image_topic=topic,
            image_publishers=self.count_publishers(topic),
            detector=self._name,
            words=self._search.words,
            statistics=self._worker.statistics() if self._worker else None,
        )
        now = self.get_clock().now().to_msg()
        entry = to_entry(health, self.get_name())
        self._diagnostics.publish(DiagnosticArray(header=Header(stamp=now), status=[entry]))


def _search(settings: DetectorNodeSettings) -> Search:
    try:
        words = read_words(settings.classes)
    except PixelReferError as error:
        raise SettingError(f'classes: {error}') from error
    return Search(words, settings.detector.threshold, settings.rate_hz)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    return run(DetectorNode, args)


if __name__ == '__main__':
    sys.exit(main())
