"""The node: watches a camera, tracks objects, answers questions about them. Wiring only.

A lifecycle node. ``configure`` loads the model, ``activate`` opens the image tap, ``deactivate`` closes it and keeps
the weights, ``cleanup`` frees them. Its services and its actions are there in every state and say NOT_READY outside
``active``.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import SetBool

from pixelrefer_core.errors import NotReadyError
from pixelrefer_core.meters import device_memory_bytes
from pixelrefer_core.settings import Settings
from pixelrefer_core.types import ModelInfo, Positions, TrackUpdate
from pixelrefer_core.worker import Worker
from pixelrefer_ros import conversions, qos
from pixelrefer_ros.ask_action import AskAction
from pixelrefer_ros.asking import Asker
from pixelrefer_ros.building import build_engine
from pixelrefer_ros.clicks import Clicks
from pixelrefer_ros.depth_sync import DepthSync
from pixelrefer_ros.diagnostics import Health, to_diagnostics, to_status
from pixelrefer_ros.image_messages import to_frame
from pixelrefer_ros.image_tap import subscribe_to_images
from pixelrefer_ros.lifecycle import ManagedNode
from pixelrefer_ros.locating import Locator
from pixelrefer_ros.markers import Markers
from pixelrefer_ros.msg import (
    NodeStatus,
    ObjectAnswer,
    ObjectPromptArray,
    TrackedObjectArray,
    WatchEvent,
)
from pixelrefer_ros.parameters import NodeParameters
from pixelrefer_ros.requests import Requests
from pixelrefer_ros.spin import run
from pixelrefer_ros.transforms import Transforms
from pixelrefer_ros.vision_topics import VisionTopics
from pixelrefer_ros.watch_action import WatchAction

log = logging.getLogger(__name__)


class PixelReferNode(ManagedNode):
    """Translates between ROS and the worker that owns the engine."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('pixelrefer_node', **kwargs)
        self._worker: Worker | None = None
        self._model: ModelInfo | None = None
        self._tracker_name = ''
        self._qos_problem = ''
        self._newest: TrackUpdate | None = None
        self._positions = Positions()
        self._tap: Any = None
        self._settings = NodeParameters(
            self, Settings(), is_locked=lambda: self._worker is not None, on_change=self._on_settings
        )
        self._images = MutuallyExclusiveCallbackGroup()
        self._depth = DepthSync(self, lambda: self.settings)
        self._transforms = Transforms(self)
        self._locator = Locator(self._depth, self._transforms, lambda: self.settings)
        self._create_publishers()
        self._create_inputs(ReentrantCallbackGroup())
        housekeeping = MutuallyExclusiveCallbackGroup()
        period_s = 1.0 / self.settings.publish.status_rate_hz
        self.create_timer(period_s, self._publish_status, housekeeping, clock=self._steady)
        if self.settings.autostart:
            self._start_by_itself()

    @property
    def settings(self) -> Settings:
        """The parameters as they stand."""
        return self._settings.current

    def close(self) -> None:
        """End the device thread and take the actions away."""
        self._release()
        self._ask.close()
        self._watch.close()

    def _create_publishers(self) -> None:
        self._objects = self.create_lifecycle_publisher(TrackedObjectArray, 'objects', qos.results())
        self._answers = self.create_lifecycle_publisher(ObjectAnswer, 'answers', qos.latched(depth=10))
        self._events = self.create_lifecycle_publisher(WatchEvent, 'events', qos.latched(depth=10))
        self._labels = self.create_lifecycle_publisher(Image, 'label_image', qos.results())
        self._status = self.create_publisher(NodeStatus, 'status', qos.latched())
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._markers = Markers(self, lambda: self.settings)

    def _create_inputs(self, group: ReentrantCallbackGroup) -> None:
        asker = Asker(
            self,
            worker=self._active_worker,
            settings=lambda: self.settings,
            model=lambda: self._model,
            on_answer=self._on_answer,
        )
        self._requests = Requests(self, group, asker, self._locator.locate)
        self._clicks = Clicks(
            self,
            group,
            self._requests,
            self._depth,
            self._transforms,
            settings=lambda: self.settings,
            newest=lambda: self._newest.frame if self._newest else None,
        )
        self._vision = VisionTopics(self, group, self._requests.detect)
        self._ask = AskAction(self, asker)
        self._watch = WatchAction(
            self, asker, model=lambda: self._model, on_event=lambda event: self._events.publish(event)
        )
        self.create_service(SetBool, '~/enable', self._on_enable, callback_group=group)
        topics: tuple[tuple[type, str, Any], ...] = (
            (ObjectPromptArray, 'object_prompts', self._requests.prompt),
            (String, 'question', self._on_question),
        )
        for kind, topic, callback in topics:
            self.create_subscription(kind, topic, callback, qos.results(), callback_group=group)

    def _load(self) -> None:
        settings = self.settings
        self.get_logger().info(f'loading {settings.model.path} on {settings.model.device}')
        worker = Worker(lambda: build_engine(settings), on_update=self._on_update)
        engine = worker.start().result()
        self._worker, self._model, self._tracker_name = worker, engine.model.info, engine.tracker.name

    def _open_tap(self) -> None:
        self._qos_problem = ''
        self._depth.open()
        self._tap = subscribe_to_images(
            self,
            self._on_image,
            transport=self.settings.image.transport,
            reliability=self.settings.image.reliability,
            group=self._images,
            events=SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible_qos),
        )

    def _close_tap(self) -> None:
        if self._tap is not None:
            self.destroy_subscription(self._tap)
            self._tap = None
            self._depth.close()
            self._positions = Positions()
            self._markers.clear()
        if self._worker is not None:
            self._worker.drop_frame()
            self._worker.cancel_all()
        self._watch.end_all(NotReadyError('the node was deactivated'))

    def _release(self) -> None:
        worker, self._worker, self._model = self._worker, None, None
        self._newest, self._tracker_name = None, ''
        if worker is not None and not worker.stop():
            self.get_logger().error('the device thread did not end in time')

    def _active_worker(self) -> Worker:
        if self._worker is None or self._state != 'active':
            raise NotReadyError(
                self._failure or f'the node is {self._state}: configure and activate it first'
            )
        return self._worker

    def _on_image(self, message: Image | CompressedImage) -> None:
        worker = self._worker
        if worker is not None and self._state == 'active':
            # Decoded on the device thread, if it gets there before the next one.
            limit = self.settings.limits.image_pixels
            worker.offer(partial(to_frame, message, max_pixels=limit))

    def _on_update(self, update: TrackUpdate) -> None:
        """Publish a tracked frame. Runs on the device thread."""
        self._newest = update
        self._positions = self._locator.locate(update.frame, update.objects)
        self._objects.publish(conversions.to_tracked_objects(update.frame, update.objects, self._positions))
        self._markers.publish(update.frame, update.objects, self._positions)
        if self.settings.publish.label_image and self._labels.get_subscription_count():
            self._labels.publish(conversions.to_label_image(update.frame, update.objects))
        self._vision.publish(update)

    async def _on_question(self, message: String) -> None:
        await self._requests.ask_all(message.data)

    def _on_answer(self, answer: ObjectAnswer) -> None:
        self._answers.publish(answer)
        self._markers.note(answer)

    def _on_incompatible_qos(self, event: Any) -> None:
        self._qos_problem = (
            f'a publisher of {self._tap.topic_name} offers a QoS that this node does not accept: '
            'set image.reliability to best_effort'
        )
        self.get_logger().warning(self._qos_problem)

    def _on_settings(self, settings: Settings) -> None:
        if self._worker is not None:
            self._worker.call(lambda engine: engine.apply(settings))

    def _publish_status(self) -> None:
        now = self.get_clock().now().to_msg()
        self._clicks.prepare()
        health = self._health()
        self._status.publish(to_status(health, now))
        self._diagnostics.publish(to_diagnostics(health, now, self.get_name()))

    def _health(self) -> Health:
        tap, newest = self._tap, self._newest
        topic = tap.topic_name if tap is not None else self.resolve_topic_name('image')
        return Health(
            state=self._state,
            failure=self._failure,
            image_topic=topic,
            image_publishers=self.count_publishers(topic),
            qos_problem=self._qos_problem,
            image_timeout_s=self.settings.image.timeout_s,
            newest_image_ns=newest.frame.stamp_ns if newest else 0,
            tracker=self._tracker_name,
            tracked_objects=len(newest.objects) if newest else 0,
            watches=self._watch.running,
            device_memory_bytes=device_memory_bytes(self._model.device) if self._model else 0,
            model=self._model,
            statistics=self._worker.statistics() if self._worker else None,
            depth_topic=self._depth.topic,
            depth_images=self._depth.arrived,
            positions=self._positions,
        )


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    return run(PixelReferNode, args)


if __name__ == '__main__':
    sys.exit(main())
