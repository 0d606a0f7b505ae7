"""The node under the clock of a simulation or a bag: one that stands still or jumps back holds nothing up."""

from __future__ import annotations

import pytest
from rosgraph_msgs.msg import Clock

from pixelrefer_ros import qos
from pixelrefer_ros.client import PixelReferClient
from pixelrefer_ros.msg import GenerationOptions, NodeStatus
from pixelrefer_ros.pixelrefer_node import PixelReferNode
from pixelrefer_ros.stamps import to_time

from ..core.paced_model import PacedModel
from .staging import Camera, engines_with
from .waiting import wait_for


@pytest.fixture(scope='module')
def model():
    return PacedModel()


@pytest.fixture(scope='module')
def status(graph, model):
    """Heartbeats of a node whose clock nobody has set yet."""
    heard: list[NodeStatus] = []
    graph.node('watcher').create_subscription(NodeStatus, 'status', heard.append, qos.latched())

    with engines_with(model):
        graph.add(
            PixelReferNode, use_sim_time=True, image__reliability='reliable', publish__status_rate_hz=20.0
        )
        yield heard


def beats(status) -> None:
    count = len(status)
    wait_for(lambda: len(status) > count + 1)


def test_the_heart_beats_and_goals_are_answered_whatever_the_clock_does(graph, status, model):
    camera = Camera(graph)
    camera.shoot()
    robot = PixelReferClient(node=graph.node('robot'))
    robot.add_object('cup', box=(20, 40, 40, 40))
    clock = graph.node('clock').create_publisher(Clock, '/clock', 10)
    for second in (0, 100, 5):
        clock.publish(Clock(clock=to_time(second * 1_000_000_000)))
        if second:
            wait_for(lambda s=second: status[-1].header.stamp.sec == s)
        beats(status)
        model.go.release(3)
        stream = robot.stream(['cup'], 'What?', options=GenerationOptions(max_new_tokens=2))
        assert ''.join(map(str, stream)) == 'w0 w1'
