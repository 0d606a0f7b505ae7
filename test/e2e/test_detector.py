"""The detector's node as a process of its own, on a simulated clip that the camera plays."""

from __future__ import annotations

import subprocess
import sys

import pytest
import rclpy
from rclpy.node import Node

from pixelrefer_ros import qos
from pixelrefer_ros.msg import ObjectPromptArray

from .conftest import ROOT

CLIP = ROOT / 'config' / 'demo_tabletop'
pytestmark = pytest.mark.e2e


@pytest.fixture
def heard():
    """The prompts that come, and a function that waits for some."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node('ear', context=context)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    seen = []
    node.create_subscription(ObjectPromptArray, 'object_prompts', seen.append, qos.results())

    def wait(count, timeout_s=60.0):
        clock = node.get_clock()
        end = clock.now().nanoseconds + timeout_s * 1e9
        while len(seen) < count and clock.now().nanoseconds < end:
            executor.spin_once(timeout_sec=0.1)
        return seen

    yield wait
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()


def test_the_process_prompts_with_what_the_clip_shows_and_ends_cleanly(processes, heard):
    processes.start('detector_node', **{'detector.path': CLIP, 'classes': 'blue cone, ring', 'rate_hz': 5.0})
    processes.start('camera_node', source=CLIP, stamps='source', wait_for_subscribers=1)
    messages = heard(3)
    assert len(messages) >= 3, processes.log('detector_node')
    for message in messages:
        assert sorted(item.label for item in message.prompts) == ['blue cone', 'ring']
        assert message.header.frame_id == 'camera_optical_frame'
    assert processes.stop('detector_node') == 0
    assert processes.stop('camera_node') == 0


def test_words_that_name_nothing_are_refused_at_the_start():
    command = [
        sys.executable,
        '-m',
        'pixelrefer_ros.detector_node',
        '--ros-args',
        '-p',
        f'classes:={"x" * 65}',
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert 'classes: words to look for' in done.stderr
