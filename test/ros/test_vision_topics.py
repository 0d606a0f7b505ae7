"""The topics of vision_msgs: without the package the node lives and says so; with it, detections come in and go out."""

from __future__ import annotations

import pytest
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from pixelrefer_ros import qos, vision_topics
from pixelrefer_ros.client import make_prompt
from pixelrefer_ros.msg import ResultCode
from pixelrefer_ros.pixelrefer_node import PixelReferNode
from pixelrefer_ros.srv import AddObjects, GetObjects
from pixelrefer_ros.vision_messages import find_vision_msgs
from pixelrefer_ros.vision_topics import VisionTopics

from .staging import Camera, wait_until_active
from .waiting import wait_for

NODE = {
    'model__path': 'random-nano',
    'model__device': 'cpu',
    'model__threads': 1,
    'image__reliability': 'reliable',
}


class Logged:
    """A node that only logs; anything else that is asked of it is a fault."""

    def __init__(self):
        self.lines = []

    def get_logger(self):
        return self

    def info(self, line):
        self.lines.append(line)


def test_without_vision_msgs_there_is_a_line_of_information_and_nothing_else(monkeypatch):
    monkeypatch.setattr(vision_topics, 'find_vision_msgs', lambda: None)
    node = Logged()
    topics = VisionTopics(node, None, None)
    topics.publish(None)
    assert node.lines == ['vision_msgs is not installed: no topics detections and detections_2d']


def test_a_folder_of_that_name_is_not_the_package(monkeypatch, tmp_path):
    if find_vision_msgs() is not None:
        pytest.skip('vision_msgs is installed, and a folder cannot hide it')
    (tmp_path / 'vision_msgs' / 'msg').mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    assert find_vision_msgs() is None


@pytest.fixture(scope='module')
def messages():
    messages = find_vision_msgs()
    if messages is None:
        pytest.skip(
            'vision_msgs is not installed (no wheel has it): not run is what the node publishes and hears; '
            'the conversions were, on messages played by stand-ins'
        )
    return messages


@pytest.fixture(scope='module')
def stage(graph, messages, call):
    """A node, a camera with a square that moves, and both ends of the topics."""
    graph.add(PixelReferNode, **NODE)
    wait_until_active(call, 'pixelrefer_node')
    camera = Camera(graph)
    camera.shoot()
    return camera


def test_what_keeps_coming_on_detections_becomes_one_object(graph, stage, messages, call):
    publisher = graph.node('detector').create_publisher(messages.Detection2DArray, 'detections', 10)
    wait_for(publisher.get_subscription_count)
    call(Trigger, 'pixelrefer_node/reset')

    def objects():
        header = stage.shoot()
        x = 20.0 + (stage.step - 1) % 60
        publisher.publish(square(messages, header, x))
        return call(GetObjects, 'get_objects').objects.objects

    wait_for(objects)
    for _ in range(5):
        found = objects()
    assert [item.label for item in found] == ['box']


def square(messages, header: Header, x: float):
    """The square at ``x``, as a detector sees it."""
    hypothesis = messages.ObjectHypothesis(class_id='box', score=0.9)
    item = messages.Detection2D(results=[messages.ObjectHypothesisWithPose(hypothesis=hypothesis)], id='77')
    item.bbox.center.position.x, item.bbox.center.position.y = x + 20.0, 60.0
    item.bbox.size_x = item.bbox.size_y = 40.0
    return messages.Detection2DArray(header=header, detections=[item])


def test_objects_are_published_as_detections_while_somebody_listens(graph, stage, messages, call):
    call(Trigger, 'pixelrefer_node/reset')
    stage.shoot()
    x = 20 + (stage.step - 1) % 60
    response = call(
        AddObjects, 'add_objects', prompts=[make_prompt('cup', label='a cup', box=(x, 40, 40, 40))]
    )
    assert response.error_code == ResultCode.NONE, response.error_msg
    seen = []
    listener = graph.node('listener')
    listener.create_subscription(messages.Detection2DArray, 'detections_2d', seen.append, qos.results())
    wait_for(lambda: stage.shoot() and seen)
    header = stage.shoot()
    message = wait_for(lambda: next((item for item in seen if item.header == header), None))
    (item,) = message.detections
    assert (item.id, item.results[0].hypothesis.class_id) == ('cup', 'a cup')
    assert item.bbox.center.position.y == pytest.approx(60, abs=4)
    assert item.bbox.size_x == pytest.approx(40, abs=8)
