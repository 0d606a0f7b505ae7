"""The node: watches a camera, tracks objects, answers questions about them. Wiring only.

A lifecycle node. ``configure`` loads the model, ``activate`` opens the image tap, ``deactivate`` closes it and keeps
the weights, ``cleanup`` frees them. Its services and its action are there in every state and say NOT_READY outside
``active``.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point32, PointStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import SetBool

from pixelrefer_core.engine import build_engine
from pixelrefer_core.errors import NotReadyError, PixelReferError
from pixelrefer_core.meters import device_memory_bytes
from pixelrefer_core.settings import Settings
from pixelrefer_core.types import ModelInfo, TrackUpdate
from pixelrefer_core.worker import Worker
from pixelrefer_ros import conversions, qos
from pixelrefer_ros.ask_action import AskAction
from pixelrefer_ros.asking import Asker
from pixelrefer_ros.diagnostics import CONFIGURE_FAILED, Health, to_diagnostics, to_status
from pixelrefer_ros.log_bridge import bridge_logging
from pixelrefer_ros.msg import (
    NodeStatus,
    ObjectAnswer,
    ObjectPrompt,
    ObjectPromptArray,
    TrackedObjectArray,
)
from pixelrefer_ros.parameters import NodeParameters
from pixelrefer_ros.requests import Requests
from pixelrefer_ros.spin import run

log = logging.getLogger(__name__)


class PixelReferNode(LifecycleNodeMixin, Node):
    """Translates between ROS and the worker that owns the engine."""

    def __init__(self, **kwargs: Any) -> None:
        # Not LifecycleNode, which cannot say this: the lifecycle services go on answering while a model loads.
        Node.__init__(self, 'pixelrefer_node', **kwargs)
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        bridge_logging(self.get_logger())
        self._worker: Worker | None = None
        self._model: ModelInfo | None = None
        self._tracker_name = ''
        self._state = 'unconfigured'
        self._failure = ''
        self._qos_problem = ''
        self._newest: TrackUpdate | None = None
        self._image_subscription: Any = None
        self._settings = NodeParameters(
            self, Settings(), is_locked=lambda: self._worker is not None, on_change=self._on_settings
        )
        self._images = MutuallyExclusiveCallbackGroup()
        self._create_publishers()
        self._create_inputs(ReentrantCallbackGroup())
        housekeeping = MutuallyExclusiveCallbackGroup()
        period_s = 1.0 / self.settings.publish.status_rate_hz
        # The heart beats also while the time of a simulation or a bag stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(period_s, self._publish_status, housekeeping, clock=steady)
        if self.settings.autostart:
            group = MutuallyExclusiveCallbackGroup()
            self._autostart_timer = self.create_timer(0.0, self._autostart, group, clock=steady)

    @property
    def settings(self) -> Settings:
        """The parameters as they stand."""
        return self._settings.current

    def close(self) -> None:
        """End the device thread and take the action away."""
        self._release()
        self._ask.close()

    def _create_publishers(self) -> None:
        self._objects = self.create_lifecycle_publisher(TrackedObjectArray, 'objects', qos.results())
        self._answers = self.create_lifecycle_publisher(ObjectAnswer, 'answers', qos.latched(depth=10))
        self._labels = self.create_lifecycle_publisher(Image, 'label_image', qos.results())
        self._status = self.create_publisher(NodeStatus, 'status', qos.latched())
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)

    def _create_inputs(self, group: ReentrantCallbackGroup) -> None:
        asker = Asker(
            self,
            worker=self._active_worker,
            settings=lambda: self.settings,
            model=lambda: self._model,
            on_answer=lambda answer: self._answers.publish(answer),
        )
        self._requests = Requests(self, group, asker)
        self._ask = AskAction(self, asker)
        self.create_service(SetBool, '~/enable', self._on_enable, callback_group=group)
        topics: tuple[tuple[type, str, Any], ...] = (
            (ObjectPromptArray, 'object_prompts', self._requests.prompt),
            (String, 'question', self._on_question),
            (PointStamped, 'clicked_pixel', self._on_clicked_pixel),
        )
        for kind, topic, callback in topics:
            self.create_subscription(kind, topic, callback, qos.results(), callback_group=group)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and make the tracker; FAILURE, with the reason in status, when that cannot be done."""
        settings = self.settings
        self.get_logger().info(f'loading {settings.model.path} on {settings.model.device}')
        worker = Worker(lambda: build_engine(settings), on_update=self._on_update)
        try:
            engine = worker.start().result()
        except PixelReferError as error:
            self._failure = f'{CONFIGURE_FAILED}: {error}'
        except Exception as error:
            # rclpy would swallow the traceback.
            log.exception('configure failed')
            self._failure = f'{CONFIGURE_FAILED}: {type(error).__name__}: {error}'
        else:
            self._worker, self._model, self._tracker_name = worker, engine.model.info, engine.tracker.name
            self._failure = ''
            self._enter('inactive')
            return TransitionCallbackReturn.SUCCESS
        self.get_logger().error(self._failure)
        self._publish_status()
        return TransitionCallbackReturn.FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera."""
        self._qos_problem = ''
        compressed = self.settings.image.transport == 'compressed'
        self._image_subscription = self.create_subscription(
            CompressedImage if compressed else Image,
            'image/compressed' if compressed else 'image',
            self._on_image,
            qos.image(self.settings.image.reliability),
            callback_group=self._images,
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible_qos),
        )
        result = super().on_activate(state)
        self._enter('active')
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the tap and cancel what is being asked; the model and the objects stay."""
        self._enter('inactive')
        self._close_tap()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model."""
        self._release()
        self._enter('unconfigured')
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, from any state."""
        self._close_tap()
        self._release()
        self._enter('finalized')
        return TransitionCallbackReturn.SUCCESS

    def _autostart(self) -> None:
        self._autostart_timer.cancel()
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _enter(self, state: str) -> None:
        self._state = state
        self.get_logger().info(state)
        self._publish_status()

    def _close_tap(self) -> None:
        if self._image_subscription is not None:
            self.destroy_subscription(self._image_subscription)
            self._image_subscription = None
        if self._worker is not None:
            self._worker.drop_frame()
            self._worker.cancel_all()

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

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        trigger = self.trigger_activate if request.data else self.trigger_deactivate
        wanted = 'active' if request.data else 'inactive'
        if self._state == wanted:
            response.success, response.message = True, f'already {wanted}'
        elif self._state not in ('active', 'inactive'):
            response.message = self._failure or f'the node is {self._state}: configure it first'
        else:
            response.success = trigger() == TransitionCallbackReturn.SUCCESS
            response.message = self._state
        return response

    def _on_image(self, message: Image | CompressedImage) -> None:
        worker = self._worker
        if worker is not None and self._state == 'active':
            # Decoded on the device thread, if it gets there before the next one.
            worker.offer(partial(conversions.to_frame, message))

    def _on_update(self, update: TrackUpdate) -> None:
        """Publish a tracked frame. Runs on the device thread."""
        self._newest = update
        self._objects.publish(conversions.to_tracked_objects(update.frame, update.objects))
        if self.settings.publish.label_image and self._labels.get_subscription_count():
            self._labels.publish(conversions.to_label_image(update.frame, update.objects))

    async def _on_question(self, message: String) -> None:
        await self._requests.ask_all(message.data)

    async def _on_clicked_pixel(self, message: PointStamped) -> None:
        point = Point32(x=message.point.x, y=message.point.y)
        prompt = ObjectPrompt(kind=ObjectPrompt.KIND_POINTS, points=[point])
        await self._requests.add(ObjectPromptArray(header=message.header, prompts=[prompt]))

    def _on_incompatible_qos(self, event: Any) -> None:
        self._qos_problem = (
            f'a publisher of {self._image_subscription.topic_name} offers a QoS that this node does not accept: '
            'set image.reliability to best_effort'
        )
        self.get_logger().warning(self._qos_problem)

    def _on_settings(self, settings: Settings) -> None:
        if self._worker is not None:
            self._worker.call(lambda engine: engine.apply(settings))

    def _publish_status(self) -> None:
        now = self.get_clock().now().to_msg()
        health = self._health()
        self._status.publish(to_status(health, now))
        self._diagnostics.publish(to_diagnostics(health, now, self.get_name()))

    def _health(self) -> Health:
        tap, newest = self._image_subscription, self._newest
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
            device_memory_bytes=device_memory_bytes(self._model.device) if self._model else 0,
            model=self._model,
            statistics=self._worker.statistics() if self._worker else None,
        )


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    return run(PixelReferNode, args)


if __name__ == '__main__':
    sys.exit(main())
