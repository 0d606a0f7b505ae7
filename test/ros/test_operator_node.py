"""The menus of objects, one rule at a time: the nodes that it is a client of are played by the test."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from geometry_msgs.msg import Point, Vector3
from rclpy.callback_groups import ReentrantCallbackGroup
from std_msgs.msg import Header
from visualization_msgs.msg import InteractiveMarkerControl

from pixelrefer_core.questions import named
from pixelrefer_core.rigid import from_quaternion
from pixelrefer_core.types import NANOSECONDS
from pixelrefer_ros import object_menu, operator_calls, qos, rviz
from pixelrefer_ros.msg import ObjectAnswer, TrackedObject, TrackedObjectArray
from pixelrefer_ros.object_handles import Place, to_interactive_marker
from pixelrefer_ros.operator_node import OperatorNode
from pixelrefer_ros.srv import AskObjects
from pixelrefer_ros.stamps import to_time

from .rviz_client import RvizClient
from .waiting import wait_for

SIZE_M = 0.1


class Stage:
    """Publishes objects and answers as ``pixelrefer_node`` does, and answers questions when it is told to."""

    def __init__(self, graph):
        self.node = graph.node('stage')
        self.objects = self.node.create_publisher(TrackedObjectArray, 'objects', qos.results())
        self.answers = self.node.create_publisher(ObjectAnswer, 'answers', qos.latched(depth=10))
        self.operator = graph.add(OperatorNode, rate_hz=60.0, hold_s=1.0, notice_s=0.3, recent_questions=3)
        wait_for(self.objects.get_subscription_count)
        wait_for(self.answers.get_subscription_count)

    def see(self, second, places, *, frame_id='map', without=()):
        """Publish an image of ``second`` with objects at these x; wait until it is shown."""
        objects = [
            TrackedObject(
                object_id=key,
                position_valid=key not in without,
                position=Point(x=x),
                extent=Vector3(x=SIZE_M, y=SIZE_M, z=SIZE_M),
            )
            for key, x in places.items()
        ]
        header = Header(stamp=to_time(round(second * NANOSECONDS)), frame_id='eye')
        self.objects.publish(TrackedObjectArray(header=header, position_frame=frame_id, objects=objects))
        wait_for(lambda: set(self.operator._menus) == set(places))
        self.settle()

    def settle(self):
        wait_for(lambda: not self.operator._is_changed)

    def answer(self, object_ids, question, kind=ObjectAnswer.KIND_ANSWER):
        self.answers.publish(ObjectAnswer(object_ids=object_ids, question=question, kind=kind, text='Yes.'))


@pytest.fixture(scope='module')
def stage(graph):
    return Stage(graph)


@pytest.fixture
def person(graph, stage, call):
    stage.see(0.0, {})
    client = RvizClient(graph, call)
    client.connect()
    yield client
    client.close()


def test_an_object_without_a_position_has_no_menu(stage, person):
    stage.see(1.0, {'cup': 0.5, 'ghost': 0.0}, without=['ghost'])
    wait_for(lambda: set(person.markers()) == {'cup'})


def test_an_object_that_moves_is_sent_as_a_pose_alone(stage, person):
    stage.see(1.0, {'cup': 0.5})
    wait_for(lambda: 'cup' in person.markers())
    stage.see(1.1, {'cup': 0.6})
    wait_for(lambda: person.markers()['cup'].pose.position.x == 0.6)
    assert [item.name for item in person.updates[-1].poses] == ['cup']
    assert not person.updates[-1].markers
    assert person.markers()['cup'].menu_entries


def test_what_has_not_changed_is_not_sent(stage, person):
    stage.see(1.0, {'cup': 0.5})
    wait_for(lambda: 'cup' in person.markers())
    count = len(person.updates)
    for _ in range(3):
        stage.see(1.1, {'cup': 0.5})
    stage.see(1.2, {'cup': 0.7})
    wait_for(lambda: person.markers()['cup'].pose.position.x == 0.7)
    assert len(person.updates) == count + 1


def test_an_object_keeps_its_menu_a_while_where_it_was_seen_last(stage, person):
    stage.see(1.0, {'cup': 0.5})
    stage.see(1.9, {'cup': math.nan, 'ball': 0.0}, without=['cup'])
    wait_for(lambda: 'ball' in person.markers())
    assert person.markers()['cup'].pose.position.x == 0.5
    stage.see(2.1, {'cup': math.nan, 'ball': 0.0}, without=['cup'])
    wait_for(lambda: set(person.markers()) == {'ball'})
    assert person.updates[-1].erases == ['cup']


def test_the_places_of_another_time_are_not_held(stage, person):
    stage.see(100.0, {'cup': 0.5})
    wait_for(lambda: 'cup' in person.markers())
    stage.see(1.0, {'cup': math.nan}, without=['cup'])
    wait_for(lambda: not person.markers())


def test_a_client_that_comes_late_gets_everything_and_the_number_that_it_stands_for(
    graph, stage, person, call
):
    stage.see(1.0, {'cup': 0.5})
    wait_for(lambda: 'cup' in person.markers())
    late = RvizClient(graph, call, 'late_rviz')
    late.connect()
    assert set(late.markers()) == {'cup'}
    stage.see(1.1, {'cup': 0.8})
    for client in (person, late):
        wait_for(lambda client=client: client.markers()['cup'].pose.position.x == 0.8)
    late.close()


def test_the_last_questions_of_an_object_join_its_menu_and_the_oldest_leave(stage, person):
    stage.see(1.0, {'cup': 0.5, 'ball': 0.0})
    for number in range(5):
        stage.answer(['cup'], f'Is it {number}?')
    stage.answer(['ball', 'cup'], 'Will <object1> hit <object2>?', ObjectAnswer.KIND_PREDICTION)
    stage.answer(['cup'], 'Please describe it.', ObjectAnswer.KIND_CAPTION)
    stage.answer(['cup'], 'What will happen next?', ObjectAnswer.KIND_PREDICTION)
    asked = ['Will ball hit cup?', 'Is it 4?', 'Is it 3?']
    wait_for(lambda: person.titles('cup', 'Ask again') == asked)
    assert person.titles('ball', 'Ask again') == ['Will ball hit cup?']
    before = person.entry('cup', 'Is it 3?')
    stage.answer(['cup'], 'Is it 3?')
    wait_for(lambda: person.titles('cup', 'Ask again')[0] == 'Is it 3?')
    assert person.entry('cup', 'Is it 3?') == before


def test_a_menu_has_an_id_for_each_entry_and_parents_before_children():
    menu = object_menu.ObjectMenu('cup', 3)
    menu.note(ObjectAnswer(kind=ObjectAnswer.KIND_ANSWER, object_ids=['cup'], question='x' * 500))
    entries = menu.entries()
    assert len({entry.id for entry in entries}) == len(entries)
    seen = {0}
    for entry in entries:
        assert entry.id > 0
        assert entry.parent_id in seen
        assert len(entry.title) <= 60
        seen.add(entry.id)


def test_without_the_node_it_is_said_that_nobody_answers(stage, person):
    stage.see(1.0, {'cup': 0.5})
    wait_for(lambda: 'cup' in person.markers())
    person.choose('cup', 'Describe')
    wait_for(lambda: 'NOT_READY: no service' in person.notice('cup').replace('\n', ' '))
    wait_for(lambda: not person.notice('cup'))  # after notice_s
    assert 'Describe' in person.titles('cup')


class Silent:
    """Serves ``ask_objects`` and does not answer before :meth:`go_on`."""

    def __init__(self, stage):
        self.requests = []
        self._go_on = threading.Event()
        self._service = stage.node.create_service(
            AskObjects, 'ask_objects', self._serve, callback_group=ReentrantCallbackGroup()
        )
        client = stage.operator._calls._clients['ask_objects']
        wait_for(client.service_is_ready)

    def _serve(self, request, response):
        self.requests.append(request)
        self._go_on.wait(20.0)
        return response

    def go_on(self):
        self._go_on.set()


@pytest.fixture
def silent(stage):
    service = Silent(stage)
    yield service
    service.go_on()
    wait_for(lambda: not stage.operator._calls._pending)
    stage.node.destroy_service(service._service)
    wait_for(lambda: not stage.operator._calls._clients['ask_objects'].service_is_ready())


def test_a_choice_is_put_once_however_often_it_is_clicked(stage, person, silent):
    stage.see(1.0, {'cup': 0.5})
    wait_for(lambda: 'cup' in person.markers())
    for _ in range(3):
        person.choose('cup', 'What is it doing?')
    wait_for(lambda: person.notice('cup') == 'asking ...')
    wait_for(lambda: silent.requests)
    silent.go_on()
    wait_for(lambda: not person.notice('cup'))
    assert [request.question for request in silent.requests] == ['What is <object1> doing?']
    assert silent.requests[0].object_ids == ['cup']


def test_a_request_that_is_never_answered_ends(stage, person, silent, monkeypatch):
    stage.see(1.0, {'cup': 0.5})
    wait_for(lambda: 'cup' in person.markers())
    monkeypatch.setattr(operator_calls, 'GRACE_S', -1e3)
    person.choose('cup', 'What is it doing?')
    wait_for(lambda: person.notice('cup').startswith('TIMEOUT'))
    assert not stage.operator._calls._pending


def test_more_requests_than_may_be_under_way_are_refused(stage, person, silent, monkeypatch):
    stage.see(1.0, {'cup': 0.5, 'ball': 0.0})
    wait_for(lambda: 'ball' in person.markers())
    monkeypatch.setattr(operator_calls, 'MOST', 1)
    person.choose('cup', 'What is it doing?')
    wait_for(lambda: person.notice('cup') == 'asking ...')
    person.choose('ball', 'What is it doing?')
    wait_for(lambda: person.notice('ball').startswith('BUSY'))


def test_feedback_that_means_nothing_is_ignored(stage, person, silent):
    stage.see(1.0, {'cup': 0.5})
    wait_for(lambda: 'cup' in person.markers())
    person.send('nobody', object_menu.DOING)
    person.send('cup', 999)
    person.send('cup', object_menu.ASKED)
    person.send('cup', object_menu.DOING, event_type=1)  # POSE_UPDATE
    person.choose('cup', 'What is it doing?')
    wait_for(lambda: silent.requests)
    silent.go_on()
    wait_for(lambda: not stage.operator._calls._pending)
    assert len(silent.requests) == 1


def test_a_box_stands_upright_and_encloses_its_object_in_the_axes_of_a_camera():
    place = Place('camera_optical_frame', (0.1, 0.2, 1.0), (0.3, 0.5, 0.7), 0)
    marker = to_interactive_marker('cup', place, [], 'look')
    q = marker.pose.orientation
    turn = from_quaternion((q.x, q.y, q.z, q.w), (0.0, 0.0, 0.0))
    np.testing.assert_allclose(turn.apply(np.array([0.0, 0.0, 1.0])), [0, -1, 0], atol=1e-12)  # up is -y
    size = marker.controls[0].markers[0].scale
    sides = np.abs(turn.apply(np.array([size.x, size.y, size.z])))
    np.testing.assert_allclose(sides, [0.3, 0.5, 0.7], atol=1e-12)
    assert marker.controls[0].interaction_mode == InteractiveMarkerControl.MENU
    # Below the box.
    below = turn.apply(np.array([0.0, 0.0, marker.controls[1].markers[0].pose.position.z]))
    assert below[1] > 0.25


def test_a_box_stays_as_large_as_it_is_while_the_object_changes_little(stage, person):
    stage.see(1.0, {'cup': 0.5})
    wait_for(lambda: 'cup' in person.markers())
    (box,) = person.markers()['cup'].controls[0].markers
    assert SIZE_M < box.scale.x < 1.5 * SIZE_M
    for step, extent in ((1, 1.1), (2, 0.9), (3, 2.0)):
        item = TrackedObject(
            object_id='cup',
            position_valid=True,
            position=Point(x=step * 1.0),
            extent=Vector3(x=extent * SIZE_M, y=SIZE_M, z=SIZE_M),
        )
        stamp = to_time(NANOSECONDS + step)
        stage.objects.publish(
            TrackedObjectArray(header=Header(stamp=stamp), position_frame='map', objects=[item])
        )
        wait_for(lambda step=step: person.markers()['cup'].pose.position.x == step)
        (changed,) = person.markers()['cup'].controls[0].markers
        assert (changed.scale == box.scale) is (extent < 2.0)


def test_a_question_for_people_names_the_objects():
    assert named('Will <object1> hit <object2>?', ['ball', 'cup']) == 'Will ball hit cup?'
    assert named('What is <object3>?', ['ball']) == 'What is <object3>?'


def test_the_menus_go_when_the_node_goes(graph, person, stage):
    stage.see(1.0, {'cup': 0.5})
    wait_for(lambda: 'cup' in person.markers())
    stage.node.destroy_publisher(stage.objects)
    wait_for(lambda: not person.markers())


# --- starting RViz


def test_a_configuration_is_remapped_into_a_namespace():
    pairs = dict(rviz.remappings('left', image='/left/color', depth='depth', camera_info='info'))
    assert pairs['/markers'] == '/left/markers'
    assert pairs['/object_menus/update'] == '/left/object_menus/update'
    assert pairs['/image'] == '/left/color'
    assert (pairs['/depth/image'], pairs['/camera_info']) == ('/left/depth', '/left/info')
    assert '/clicked_point' not in pairs


def test_in_the_root_namespace_only_the_camera_is_remapped():
    pairs = dict(rviz.remappings('', image='/camera/color/image_raw'))
    assert pairs == {'/image': '/camera/color/image_raw', '/depth/camera_info': '/camera_info'}


def test_rviz_gets_the_installed_file_and_a_frame_if_one_is_given():
    assert rviz.arguments('/share', 'demo.rviz') == ['-d', '/share/config/demo.rviz']
    assert rviz.arguments('/share', 'demo.rviz', 'map')[2:] == ['-f', 'map']
