"""A camera that shoots when it is told to, and a client that waits for every response."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.action import ActionClient
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from pixelrefer_core.engine import Engine
from pixelrefer_core.errors import ErrorCode
from pixelrefer_core.settings import Settings
from pixelrefer_core.tracker import create_tracker
from pixelrefer_core.types import NANOSECONDS, Intrinsics
from pixelrefer_ros import pixelrefer_node, qos
from pixelrefer_ros.image_messages import to_camera_info, to_image
from pixelrefer_ros.msg import TrackedObjectArray
from pixelrefer_ros.stamps import to_time

from .waiting import wait_for

HEIGHT, WIDTH = 120, 160
START_NS = 100 * NANOSECONDS
PATIENCE_S = 60.0
# At 1 m, a pixel is 1 cm wide.
LENS = Intrinsics(WIDTH, HEIGHT, 100.0, 100.0, 79.5, 59.5)
WALL_M, SQUARE_M = 3.0, 2.0
ENDED = {
    GoalStatus.STATUS_SUCCEEDED: 'SUCCEEDED',
    GoalStatus.STATUS_CANCELED: 'CANCELED',
    GoalStatus.STATUS_ABORTED: 'ABORTED',
}


def scene(step: int) -> np.ndarray:
    """A bright textured square that moves one pixel a step over a textured ground."""
    noise = np.random.default_rng(0).integers(0, 90, (HEIGHT, WIDTH, 3), np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 2)
    patch = np.random.default_rng(1).integers(120, 250, (40, 40, 3), np.uint8)
    x = 20 + step
    image[40:80, x : x + 40] = cv2.GaussianBlur(patch, (0, 0), 1.5)
    return image


class Camera:
    """Publishes the scene frame by frame, each 0.1 s of camera time after the last."""

    def __init__(self, graph):
        node = graph.node('camera')
        self.publisher = node.create_publisher(Image, 'image', qos.image('reliable'))
        self.updates: list[TrackedObjectArray] = []
        node.create_subscription(TrackedObjectArray, 'objects', self.updates.append, qos.results())
        self.step = 0

    def post(self) -> Header:
        """Publish the next frame; return its header."""
        header = Header(stamp=to_time(START_NS + self.step * NANOSECONDS // 10), frame_id='eye')
        self.publisher.publish(to_image(scene(self.step % 60), header, 'rgb8'))
        self.step += 1
        return header

    def shoot(self, frames: int = 1) -> Header:
        """Publish so many frames, each after the node has tracked the one before; return the last header."""
        wait_for(self.publisher.get_subscription_count)
        for _ in range(frames):
            header = self.post()
            wait_for(lambda header=header: self.updates and self.updates[-1].header == header)
        return header


class DepthCamera:
    """Measures the square of the scene, 2 m away before a wall, when it is told to."""

    def __init__(self, graph, node):
        own = graph.node('depth_camera')
        self._node = node
        self._images = own.create_publisher(Image, 'depth/image', qos.image('reliable'))
        self._infos = own.create_publisher(CameraInfo, 'camera_info', qos.image('reliable'))

    def calibrate(self, lens=LENS, frame_id='eye'):
        wait_for(self._infos.get_subscription_count)
        self._infos.publish(to_camera_info(lens, Header(frame_id=frame_id)))
        wait_for(lambda: self._node._depth._camera_info is not None)

    def measure(self, step, *, encoding='16UC1', stride=1, columns=None, frame_id='eye', late_s=0.0):
        """Publish the depth of frame ``step`` and wait until the node has it."""
        metres = np.full((HEIGHT, WIDTH), WALL_M, np.float32)
        x = 20 + step % 60
        metres[40:80, x : x + 40] = SQUARE_M
        metres = metres[::stride, ::stride][:, :columns]
        pixels = {
            '16UC1': lambda: (1000 * metres).astype(np.uint16),
            '32FC1': lambda: metres,
            'mono8': lambda: metres.astype(np.uint8),
        }[encoding]()
        stamp_ns = START_NS + step * NANOSECONDS // 10 + round(late_s * NANOSECONDS)
        header = Header(stamp=to_time(stamp_ns), frame_id=frame_id)
        wait_for(self._images.get_subscription_count)
        count = self._node._depth.arrived
        self._images.publish(to_image(pixels, header, encoding))
        wait_for(lambda: self._node._depth.arrived > count)


@contextmanager
def engines_with(model) -> Iterator[None]:
    """Nodes that are configured meanwhile get this model; everything else of their engines is real."""

    def build(settings: Settings) -> Engine:
        return Engine(settings, tracker=create_tracker(settings.tracker), model=model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixelrefer_node, 'build_engine', build)
        yield


def action_client(node, kind, name) -> ActionClient:
    """A client with room for a word to each of its goals in one moment, connected."""
    client = ActionClient(node, kind, name, feedback_sub_qos_profile=qos.feedback())
    assert client.wait_for_server(PATIENCE_S)
    return client


class SentGoal:
    """A goal of an action that was sent; what was heard of it, and how it ended."""

    def __init__(self, client, goal):
        self.feedback = []
        self._done = threading.Event()
        accepted = threading.Event()
        sent = client.send_goal_async(goal, feedback_callback=lambda m: self.feedback.append(m.feedback))
        sent.add_done_callback(lambda _: accepted.set())
        assert accepted.wait(PATIENCE_S)
        self.handle = sent.result()
        if self.handle.accepted:
            self._result = self.handle.get_result_async()
            self._result.add_done_callback(lambda _: self._done.set())

    @property
    def id(self) -> str:
        return bytes(self.handle.goal_id.uuid).hex()

    def ended(self) -> tuple[str, str]:
        """Wait for it: status and code."""
        assert self._done.wait(PATIENCE_S), 'the goal does not end'
        response = self._result.result()
        self.result = response.result
        return ENDED[response.status], ErrorCode(self.result.error_code).name

    def cancel(self) -> None:
        """Cancel it, and wait until the node has answered."""
        done = threading.Event()
        self.handle.cancel_goal_async().add_done_callback(lambda _: done.set())
        assert done.wait(PATIENCE_S)


class Caller:
    """Calls services of the node and waits for the response, whatever its code."""

    def __init__(self, graph):
        self.node = graph.node('caller')

    def __call__(self, kind, name, **fields):
        client = self.node.create_client(kind, name)
        assert client.wait_for_service(20.0), name
        done = threading.Event()
        future = client.call_async(kind.Request(**fields))
        future.add_done_callback(lambda _: done.set())
        assert done.wait(60.0), name
        self.node.destroy_client(client)
        return future.result()


def wait_until_active(call: Caller, node: str) -> None:
    """Wait until a node is active: before that, it drops images."""
    active = State.PRIMARY_STATE_ACTIVE
    wait_for(lambda: call(GetState, f'{node}/get_state').current_state.id == active)
