"""Whole camera images arrive, between two processes, with the middleware profile that is shipped."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

pytestmark = pytest.mark.e2e
FRAMES = 150


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / 'clip'
    folder.mkdir()
    ground = np.random.default_rng(0).integers(0, 255, (45, 80, 3), np.uint8)
    for number in range(FRAMES):
        picture = cv2.resize(np.roll(ground, number, axis=1), (1280, 720))
        cv2.imwrite(str(folder / f'{number}.jpg'), picture, [cv2.IMWRITE_JPEG_QUALITY, 60])
    return folder


def test_best_effort_720p_at_30_hz_arrives_without_a_gap(processes, clip):
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node('listener', context=context)
    stamps, done = [], threading.Event()

    def take(message: Image) -> None:
        assert (message.width, message.height) == (1280, 720)
        stamps.append(message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec)
        if len(stamps) == FRAMES:
            done.set()

    node.create_subscription(
        Image, 'image', take, QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    )
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin, daemon=True)
    spinning.start()
    processes.start(
        'camera_node',
        source=clip, rate_hz=30.0, loop=False, reliability='best_effort', wait_for_subscribers=1,
    )  # fmt: skip
    done.wait(40)
    assert processes.stop('camera_node') == 0, processes.log('camera_node')
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()
    rate_hz = (len(stamps) - 1) / (stamps[-1] - stamps[0])
    print(f'{len(stamps)} of {FRAMES} frames of 1280x720 arrived at {rate_hz:.1f} Hz, best effort')
    assert len(stamps) == FRAMES
    assert rate_hz > 27
