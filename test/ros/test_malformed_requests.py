"""Whatever a client sends: it gets an error of the list and a sentence, never a fault inside the node, which lives."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, PointStamped
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from rcl_interfaces.msg import Log
from rclpy.action import ActionClient
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from pixelrefer_core.errors import ErrorCode, InvalidImageError
from pixelrefer_ros import qos
from pixelrefer_ros.action import Ask, Watch
from pixelrefer_ros.client import make_prompt
from pixelrefer_ros.image_messages import to_frame
from pixelrefer_ros.msg import ObjectAnswer, ObjectPromptArray
from pixelrefer_ros.pixelrefer_node import PixelReferNode
from pixelrefer_ros.srv import AddObjects, AskObjects, DescribeObject, GetObjects, PredictEvent, RemoveObjects

from .random_messages import messages, spoiled
from .staging import HEIGHT, PATIENCE_S, WIDTH, Camera, SentGoal
from .waiting import wait_for

BOX = make_prompt('new', box=(20, 40, 40, 40))
POINTS = make_prompt('new', points=[(40, 60), (5, 5)], point_labels=[True, False])
MASK = make_prompt('new', mask=np.eye(HEIGHT, WIDTH))
# Good requests, goals and messages, to be spoiled.
SERVICES = {
    'add_objects': [AddObjects.Request(prompts=[prompt]) for prompt in (BOX, POINTS, MASK)],
    'ask_objects': [AskObjects.Request(object_ids=['cup'], question='What is <object1>?')],
    'describe_object': [DescribeObject.Request(object_id='cup'), DescribeObject.Request(prompt=BOX)],
    'get_objects': [GetObjects.Request(include_masks=True)],
    'predict_event': [PredictEvent.Request(object_ids=['cup'], horizon=Duration(sec=2))],
    'remove_objects': [RemoveObjects.Request(object_ids=['cup'])],
}
ASK = Ask.Goal(kind=ObjectAnswer.KIND_ANSWER, object_ids=['cup'], questions=['What is <object1>?'])
WATCH = Watch.Goal(object_ids=['cup'], condition='Is <object1> red?')
TOPICS = {
    'clicked_pixel': PointStamped(point=Point(x=40.0, y=60.0)),
    'object_prompts': ObjectPromptArray(prompts=[BOX]),
    'question': String(data='What is <object1>?'),
}
MOST_OBJECTS = 4
# The same messages in every run; the node they are sent to lives as long as the module.
SAME = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


class Sender:
    """Sends requests, goals and messages to a node, and waits for what becomes of them."""

    def __init__(self, graph) -> None:
        self.node = graph.node('sender')
        kinds = (AddObjects, AskObjects, DescribeObject, GetObjects, PredictEvent, RemoveObjects)
        self._services = {
            name: self.node.create_client(kind, name) for name, kind in zip(SERVICES, kinds, strict=True)
        }
        self._actions = {
            kind.Goal: ActionClient(self.node, kind, name) for name, kind in (('ask', Ask), ('watch', Watch))
        }
        self._topics = {
            name: self.node.create_publisher(type(message), name, qos.results())
            for name, message in TOPICS.items()
        }
        for client in self._services.values():
            assert client.wait_for_service(PATIENCE_S)
        for action in self._actions.values():
            assert action.wait_for_server(PATIENCE_S)
        for publisher in self._topics.values():
            wait_for(publisher.get_subscription_count)

    def call(self, name, request):
        """Return the response to a request."""
        done = threading.Event()
        future = self._services[name].call_async(request)
        future.add_done_callback(lambda _: done.set())
        assert done.wait(PATIENCE_S), f'{name} does not answer {request}'
        return future.result()

    def goal(self, goal) -> SentGoal:
        """Send a goal."""
        return SentGoal(self._actions[type(goal)], goal)

    def publish(self, name, message) -> None:
        """Send a message, and wait until the node has done with it: services wait behind it."""
        self._topics[name].publish(message)
        self.place_cup()

    def place_cup(self) -> None:
        """See to it that 'cup' is tracked, and hardly anything else."""
        tracked = [item.object_id for item in self.call('get_objects', GetObjects.Request()).objects.objects]
        if 'cup' in tracked and len(tracked) < MOST_OBJECTS:
            return
        self.call('remove_objects', RemoveObjects.Request())
        prompt = make_prompt('cup', box=(20, 40, 40, 40))
        response = self.call('add_objects', AddObjects.Request(prompts=[prompt]))
        assert response.error_code == ErrorCode.NONE, response.error_msg


@pytest.fixture(scope='module')
def node(graph):
    return graph.add(
        PixelReferNode,
        generation__max_new_tokens=2,
        generation__timeout_s=20.0,
        image__reliability='reliable',
        image__timeout_s=300.0,
        limits__new_tokens=2,
        model__device='cpu',
        model__path='random-nano',
        model__threads=1,
        tracker__max_objects=MOST_OBJECTS,
    )


@pytest.fixture(scope='module')
def sender(graph, node):
    wait_for(lambda: node._state == 'active', 2 * PATIENCE_S)  # a busy machine
    camera = Camera(graph)
    camera.shoot()
    sender = Sender(graph)
    sender.place_cup()
    return sender


@pytest.fixture
def log(sender):
    """What the node logs, tracebacks included."""
    heard = []
    node = sender.node
    subscription = node.create_subscription(Log, '/rosout', lambda message: heard.append(message.msg), 1000)
    wait_for(lambda: node.get_logger().warning('listening') or 'listening' in heard)
    heard.clear()
    yield heard
    node.destroy_subscription(subscription)


def check(result) -> None:
    """A success without complaint, or an error of the list with a sentence; never a fault inside the node."""
    code = ErrorCode(result.error_code)
    event(code.name)  # pytest --hypothesis-show-statistics tells how far the requests get
    assert code is not ErrorCode.UNKNOWN, result.error_msg
    assert bool(result.error_msg) == (code is not ErrorCode.NONE)


def requests() -> st.SearchStrategy[tuple[str, Any]]:
    """A service and a spoiled request to it."""
    good = [(name, request) for name, requests in SERVICES.items() for request in requests]
    return st.sampled_from(good).flatmap(lambda pair: st.tuples(st.just(pair[0]), spoiled(pair[1])))


@pytest.mark.slow
@settings(SAME, max_examples=200)
@given(sent=requests())
def test_any_request_gets_a_result_or_an_error_of_the_list(sender, sent):
    sender.place_cup()
    check(sender.call(*sent))


@pytest.mark.parametrize('good', [ASK, WATCH], ids=['ask', 'watch'])
def test_any_goal_ends_with_a_result_or_an_error_of_the_list(sender, good):
    @settings(SAME, max_examples=40)
    @given(goal=spoiled(good))
    def send(goal):
        sender.place_cup()
        sent = sender.goal(goal)
        if isinstance(goal, Watch.Goal):
            sent.cancel()  # it could last for ever
        sent.ended()
        check(sent.result)

    send()


@pytest.mark.parametrize('name', TOPICS)
def test_any_message_of_a_topic_leaves_a_node_without_a_traceback(sender, log, name):
    @settings(SAME, max_examples=40)
    @given(message=spoiled(TOPICS[name]))
    def send(message):
        sender.publish(name, message)

    send()
    assert not [text for text in log if 'Traceback' in text]


@settings(SAME, max_examples=200)
@given(message=messages(Image) | messages(CompressedImage))
def test_any_image_is_read_or_refused(message):
    with suppress(InvalidImageError):
        assert to_frame(message).image.shape[2] == 3
