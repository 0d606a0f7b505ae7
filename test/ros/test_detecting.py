"""From words to objects over ROS: the detector's node, prompts of words, and what detections become.

The scene is simulated, and the detector is the one that knows the truth about it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from pixelrefer_core.clip import open_clip
from pixelrefer_core.types import NANOSECONDS
from pixelrefer_ros import qos
from pixelrefer_ros.client import make_prompt
from pixelrefer_ros.detector_node import DetectorNode
from pixelrefer_ros.image_messages import to_image
from pixelrefer_ros.msg import NodeStatus, ObjectPromptArray, ResultCode, TrackedObjectArray
from pixelrefer_ros.pixelrefer_node import PixelReferNode
from pixelrefer_ros.srv import AddObjects, DescribeObject, GetObjects
from pixelrefer_ros.stamps import to_time

from .staging import wait_until_active
from .waiting import wait_for

CLIP = Path(__file__).resolve().parents[2] / 'config' / 'demo_tabletop'
NODE = {
    'model__path': 'random-nano',
    'model__device': 'cpu',
    'model__threads': 1,
    'image__reliability': 'reliable',
    'generation__max_new_tokens': 4,
    'detector__path': str(CLIP),
}


class Stage:
    """A camera that shows the scene image by image, and ears for what the nodes say about each."""

    def __init__(self, graph):
        node = graph.node('stage')
        self.images = [frame.image for frame in open_clip(CLIP)]
        self.publisher = node.create_publisher(Image, 'image', qos.image('reliable'))
        self.prompter = node.create_publisher(ObjectPromptArray, 'object_prompts', 10)
        self.updates: list[TrackedObjectArray] = []
        self.prompts: list[ObjectPromptArray] = []
        self.health: list[DiagnosticStatus] = []
        node.create_subscription(TrackedObjectArray, 'objects', self.updates.append, qos.results())
        node.create_subscription(ObjectPromptArray, 'object_prompts', self.prompts.append, qos.results())
        node.create_subscription(
            DiagnosticArray, '/diagnostics', lambda m: self.health.extend(m.status), qos.results()
        )

    def show(self, image, instant):
        """Publish an image as that of an instant, and wait until it is tracked; return its header."""
        stamp = to_time(NANOSECONDS + instant * NANOSECONDS // 10)
        header = Header(stamp=stamp, frame_id='eye')
        # A test before this one may have shown the same instant.
        self.updates.clear()
        self.publisher.publish(to_image(image, header, 'rgb8'))
        wait_for(lambda: self.updates and self.updates[-1].header == header)
        return header

    def play(self, instant):
        return self.show(self.images[instant], instant)

    def seen(self, header):
        """What the detector has published about an image, once it has."""
        return wait_for(lambda: next((m for m in self.prompts if m.header == header), None))


@pytest.fixture(scope='module')
def node(graph):
    return graph.add(PixelReferNode, **NODE)


@pytest.fixture(scope='module')
def stage(graph, node, call):
    wait_until_active(call, 'pixelrefer_node')
    stage = Stage(graph)
    wait_for(stage.publisher.get_subscription_count)
    return stage


@pytest.fixture
def fresh(stage, call):
    """The scene at its first image, with no objects."""
    call(Trigger, 'pixelrefer_node/reset')
    stage.play(0)
    stage.prompts.clear()
    return stage


@pytest.fixture
def detector(graph, stage):
    """A detector's node that looks for cones and rings as often as images come."""
    before = stage.publisher.get_subscription_count()
    node = graph.add(
        DetectorNode, detector__path=str(CLIP), classes='cone, ring', rate_hz=100.0, reliability='reliable'
    )
    wait_for(lambda: stage.publisher.get_subscription_count() == before + 1)
    yield node
    graph.remove(node)


def objects(call):
    return {item.label: item for item in call(GetObjects, 'get_objects').objects.objects}


def pointed_at():
    """The cone's box on the first image: x, y, width, height."""
    return json.loads((CLIP / 'objects.json').read_text())['objects'][0]['box']


def corners(box):
    return [box.x_offset, box.y_offset, box.width, box.height]


# --- words in a prompt


def test_words_start_an_object_with_their_name(fresh, call):
    response = call(AddObjects, 'add_objects', prompts=[make_prompt('mine', text='blue cone')])
    assert response.error_code == ResultCode.NONE, response.error_msg
    assert response.object_ids == ['mine']
    (item,) = response.objects.objects
    assert (item.object_id, item.label) == ('mine', 'blue cone')
    assert corners(item.box) == pytest.approx(pointed_at(), abs=8)


def test_words_that_name_nothing_are_an_error_and_nothing_is_added(fresh, call):
    prompts = [make_prompt('box', box=(20, 20, 30, 30)), make_prompt(text='purple banana')]
    response = call(AddObjects, 'add_objects', prompts=prompts)
    assert response.error_code == ResultCode.NOTHING_FOUND
    assert "no 'purple banana' is seen" in response.error_msg
    assert not objects(call)


def test_empty_words_are_an_error(fresh, call):
    prompt = make_prompt()
    prompt.kind = prompt.KIND_TEXT
    response = call(AddObjects, 'add_objects', prompts=[prompt])
    assert (response.error_code, response.error_msg) == (
        ResultCode.EMPTY_PROMPT,
        'prompt 0: the text is empty: say in words what to look for',
    )


def test_words_may_refer_to_an_image_by_its_stamp(fresh, call):
    early = fresh.play(1)
    for instant in range(2, 6):
        fresh.play(instant)
    response = call(AddObjects, 'add_objects', prompts=[make_prompt('ring', text='ring')], header=early)
    assert response.error_code == ResultCode.NONE, response.error_msg


def test_words_on_the_topic_are_taken_at_their_word(fresh, call):
    wait_for(fresh.prompter.get_subscription_count)
    fresh.prompter.publish(ObjectPromptArray(prompts=[make_prompt(text='green ring')]))
    assert wait_for(lambda: objects(call).get('green ring'))


def test_words_are_described_once_without_being_tracked(fresh, call):
    response = call(DescribeObject, 'describe_object', prompt=make_prompt(text='cone'))
    assert response.error_code == ResultCode.NONE, response.error_msg
    assert response.answer.timing.vision > 0
    assert not objects(call)


# --- the detector's node


def test_the_node_publishes_what_it_sees_with_the_stamp_of_the_image(fresh, detector):
    message = fresh.seen(fresh.play(1))
    assert sorted((item.label, item.kind, item.object_id) for item in message.prompts) == [
        ('cone', 1, ''),
        ('ring', 1, ''),
    ]
    cone = next(item for item in message.prompts if item.label == 'cone')
    assert cone.score == 1.0
    assert corners(cone.box) == pytest.approx(pointed_at(), abs=3)


def test_what_it_keeps_seeing_becomes_objects_once_it_is_confirmed(fresh, detector, call):
    fresh.seen(fresh.play(1))
    assert not objects(call), 'one image is no confirmation'
    for instant in range(2, 6):
        fresh.seen(fresh.play(instant))
    found = wait_for(lambda: len(objects(call)) == 2 and objects(call))
    assert sorted(found) == ['cone', 'ring']
    ids = {item.object_id for item in found.values()}
    fresh.seen(fresh.play(6))
    assert {item.object_id for item in objects(call).values()} == ids


def test_words_change_while_it_runs_and_wrong_ones_are_refused(fresh, detector, call):
    def set_classes(text):
        parameter = Parameter('classes', value=text).to_parameter_msg()
        return call(SetParameters, 'detector_node/set_parameters', parameters=[parameter]).results[0]

    assert set_classes('box').successful
    message = fresh.seen(fresh.play(1))
    assert {item.label for item in message.prompts} == {'box'}
    refused = set_classes('x' * 65)
    assert not refused.successful
    assert 'at most 64 characters' in refused.reason
    assert fresh.seen(fresh.play(2)).prompts[0].label == 'box'


def test_an_image_on_which_nothing_is_seen_is_told_too(fresh, detector, call):
    parameter = Parameter('classes', value='purple banana').to_parameter_msg()
    call(SetParameters, 'detector_node/set_parameters', parameters=[parameter])
    assert fresh.seen(fresh.play(1)).prompts == []


def test_weights_that_are_missing_make_configure_fail_with_the_reason_and_a_retry_works(graph, stage, call):
    node = graph.add(DetectorNode, detector__path='nobody/nothing-here', classes='cone', autostart=False)
    try:
        configure = Transition(id=Transition.TRANSITION_CONFIGURE)
        assert not call(ChangeState, 'detector_node/change_state', transition=configure).success
        state = call(GetState, 'detector_node/get_state').current_state
        assert state.id == State.PRIMARY_STATE_UNCONFIGURED
        fault = wait_for(lambda: [item for item in stage.health if item.level == DiagnosticStatus.ERROR])[-1]
        assert fault.name == 'detector_node: detector'
        assert 'pixelrefer fetch nobody/nothing-here' in fault.message
        node.set_parameters([Parameter('detector.path', value=str(CLIP))])
        assert call(ChangeState, 'detector_node/change_state', transition=configure).success
    finally:
        graph.remove(node)


def test_a_node_goes_through_its_states_again_and_again(graph, stage, call):
    node = graph.add(DetectorNode, detector__path=str(CLIP), classes='cone', autostart=False)
    steps = (
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
    )
    try:
        for step in steps * 2:
            assert call(ChangeState, 'detector_node/change_state', transition=Transition(id=step)).success
    finally:
        graph.remove(node)


def test_pixelrefer_node_says_in_status_that_its_detector_is_missing(graph):
    seen = []
    listener = graph.node('status_listener')
    listener.create_subscription(NodeStatus, 'lame/status', seen.append, qos.latched())

    def make(**kwargs):
        return PixelReferNode(**{**kwargs, 'namespace': f'{graph.namespace}/lame'})

    graph.add(make, **{**NODE, 'detector__path': 'nobody/nothing-here'})
    wait_for(lambda: seen and 'configure failed: nobody/nothing-here' in seen[-1].reason)


# --- what becomes of detections


def test_a_thing_that_comes_back_keeps_its_id(fresh, call):
    """A patch on grey, seen by a detector while it is there, gone for a second."""
    patch = np.random.default_rng(1).integers(60, 250, (40, 40, 3), np.uint8)
    grey = np.full((288, 384, 3), 90, np.uint8)
    shown = grey.copy()
    shown[100:140, 150:190] = patch
    seen = ObjectPromptArray(prompts=[make_prompt(label='patch', box=(150, 100, 40, 40), score=0.9)])
    wait_for(fresh.prompter.get_subscription_count)
    call(Trigger, 'pixelrefer_node/reset')

    def watch(image, instant, message):
        message.header = fresh.show(image, instant)
        fresh.prompter.publish(message)
        # Served in turn: the prompts before this request have been dealt with.
        return objects(call)

    def until(image, instants, message, condition):
        for instant in instants:
            if condition(watch(image, instant, message)):
                return instant
        raise AssertionError('it never happened')

    def visible(found):
        return 'patch' in found and found['patch'].box.width > 0

    now = until(shown, range(20), seen, visible)
    object_id = objects(call)['patch'].object_id
    now = until(grey, range(now + 1, now + 20), ObjectPromptArray(), lambda found: not visible(found))
    until(shown, range(now + 5, now + 25), seen, visible)
    assert [item.object_id for item in call(GetObjects, 'get_objects').objects.objects] == [object_id]
