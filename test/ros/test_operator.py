"""A person in RViz and rqt, played by a script over the topics and the service that those programs use. All is real
but the person; the words of the model are random.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from geometry_msgs.msg import Point, PointStamped
from rcl_interfaces.msg import Log
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import InteractiveMarkerControl, MarkerArray

from pixelrefer_ros import clicks, qos
from pixelrefer_ros.client import make_prompt
from pixelrefer_ros.image_messages import to_frame
from pixelrefer_ros.msg import ObjectAnswer
from pixelrefer_ros.operator_node import OperatorNode
from pixelrefer_ros.overlay_node import OverlayNode
from pixelrefer_ros.pixelrefer_node import PixelReferNode
from pixelrefer_ros.srv import AddObjects, AskObjects, GetObjects

from .rviz_client import RvizClient
from .staging import HEIGHT, SQUARE_M, WIDTH, Camera, DepthCamera
from .waiting import wait_for

CONFIG = Path(__file__).resolve().parents[2] / 'config'
MENU = ['Describe', 'What is it doing?', 'What will happen next?', 'Stop tracking']


@pytest.fixture(scope='module')
def node(graph):
    return graph.add(
        PixelReferNode,
        generation__max_new_tokens=8,
        image__reliability='reliable',
        model__path='random-nano',
        model__device='cpu',
        model__threads=1,
    )


@pytest.fixture(scope='module')
def people(graph, node):
    """The nodes for people."""
    return graph.add(OperatorNode, rate_hz=60.0, hold_s=0.25), graph.add(OverlayNode, reliability='reliable')


@pytest.fixture(scope='module')
def cameras(graph, node, people):
    camera, depth = Camera(graph), DepthCamera(graph, node)
    camera.shoot()
    depth.calibrate()
    return camera, depth


@pytest.fixture(scope='module')
def answers(graph, node):
    seen = []
    graph.node('answers_reader').create_subscription(
        ObjectAnswer, 'answers', seen.append, qos.latched(depth=10)
    )
    return seen


@pytest.fixture
def shoot(cameras):
    """Take an image, with depth, and wait until it is tracked."""
    camera, depth = cameras

    def take():
        depth.measure(camera.step)
        return camera.shoot()

    return take


@pytest.fixture
def person(graph, cameras, shoot, call):
    """Somebody before RViz, in which the square is tracked as 'cup' and has a menu."""
    cameras[1].calibrate()
    call(Trigger, 'pixelrefer_node/reset')
    shoot()
    client = RvizClient(graph, call)
    client.connect()
    wait_for(lambda: not client.markers())
    response = call(
        AddObjects, 'add_objects', prompts=[make_prompt('cup', box=(*corner(cameras[0]), 40, 40))]
    )
    assert not response.error_code, response.error_msg
    shoot()
    wait_for(lambda: 'cup' in client.markers())
    yield client
    client.close()


def corner(camera):
    """Where the square is on the newest image."""
    return 20 + (camera.step - 1) % 60, 40


def test_a_tracked_object_has_a_box_and_a_menu_where_it_is(person, cameras):
    item = cameras[0].updates[-1].objects[0]
    marker = person.markers()['cup']
    assert item.position_valid
    assert marker.pose.position == item.position
    assert marker.header.frame_id == 'eye'
    # Without a stamp, RViz needs no transform of that moment.
    assert (marker.header.stamp.sec, marker.header.stamp.nanosec) == (0, 0)
    (control,) = marker.controls
    assert control.interaction_mode == InteractiveMarkerControl.MENU
    box = control.markers[0].scale
    for side, seen in ((box.x, item.extent.x), (box.y, item.extent.y), (box.z, item.extent.z)):
        assert seen < side < 2 * seen + 0.05
    assert person.titles('cup') == MENU


@pytest.mark.parametrize(
    ('title', 'kind', 'question'),
    [
        ('Describe', ObjectAnswer.KIND_CAPTION, 'Please describe in detail the marked object in the '),
        ('What is it doing?', ObjectAnswer.KIND_ANSWER, 'What is <object1> doing?'),
        ('What will happen next?', ObjectAnswer.KIND_PREDICTION, 'What will happen next?'),
    ],
)
def test_what_is_chosen_in_the_menu_is_answered(person, answers, title, kind, question):
    answers.clear()
    person.choose('cup', title)
    answer = wait_for(lambda: answers and answers[-1])
    assert answer.kind == kind
    assert answer.object_ids == ['cup']
    assert answer.question.startswith(question)
    assert answer.frame_stamps
    wait_for(lambda: not person.notice('cup'))


def test_an_answer_stands_on_the_image_and_above_the_object(graph, person, answers, shoot):
    reader = graph.node('reader')
    pictures, texts = [], []
    reader.create_subscription(Image, 'annotated_image', pictures.append, qos.results())
    reader.create_subscription(MarkerArray, 'markers', texts.append, qos.results())
    answers.clear()
    person.choose('cup', 'What is it doing?')
    answer = wait_for(lambda: answers and answers[-1])

    def is_seen():
        stamp = shoot().stamp
        return next((message for message in pictures if message.header.stamp == stamp), None)

    picture = to_frame(wait_for(is_seen)).image
    assert picture.shape == (HEIGHT, WIDTH, 3)  # a click on it is a click on the camera's image
    # The dark strip of the answer; the ground of the scene is brighter, and moves with nothing.
    assert np.median(picture[-8:]) < 30
    above = wait_for(lambda: texts and texts[-1].markers[1].text)
    assert ''.join(answer.text.split())[:16] in ''.join(above.split())
    graph.remove(reader)


def test_what_was_asked_elsewhere_can_be_asked_again_in_the_menu(person, answers, call):
    first = call(AskObjects, 'ask_objects', object_ids=['cup'], question='Is <object1> red?').answer
    wait_for(lambda: person.titles('cup', 'Ask again') == ['Is cup red?'])
    answers.clear()
    person.choose('cup', 'Is cup red?')
    again = wait_for(lambda: answers and answers[-1])
    assert again.question == first.question
    assert again.request_id != first.request_id
    assert person.titles('cup', 'Ask again') == ['Is cup red?']


def test_stop_tracking_erases_the_object_without_another_image(person, call, shoot):
    person.choose('cup', 'Stop tracking')
    wait_for(lambda: not person.markers())
    assert person.updates[-1].erases == ['cup']
    assert not call(GetObjects, 'get_objects').objects.objects
    shoot()
    assert not person.markers()


def test_why_a_question_is_not_answered_is_said_below_the_object(person, call):
    assert call(SetBool, 'pixelrefer_node/enable', data=False).success
    person.choose('cup', 'Describe')
    wait_for(lambda: person.notice('cup').startswith('NOT_READY: '))
    assert call(SetBool, 'pixelrefer_node/enable', data=True).success


def test_without_depth_the_menu_goes_and_tracking_goes_on(person, cameras):
    cameras[0].shoot(4)
    wait_for(lambda: not person.markers())
    assert [item.object_id for item in cameras[0].updates[-1].objects] == ['cup']


# --- clicks


@pytest.fixture(scope='module')
def hand(graph):
    return graph.node('hand')


@pytest.fixture(scope='module')
def warnings(graph, node):
    seen = []
    graph.node('log_reader').create_subscription(Log, '/rosout', lambda log: seen.append(log.msg), 100)
    return seen


def second(camera, shoot):
    """The object that was tracked besides the cup, once there is one."""
    shoot()
    return len(camera.updates[-1].objects) == 2 and camera.updates[-1].objects[-1]


def covers(box, x, y):
    return box.x_offset <= x <= box.x_offset + box.width and box.y_offset <= y <= box.y_offset + box.height


@pytest.mark.parametrize('shown', ['image', 'image/compressed', 'annotated_image'])
def test_what_is_clicked_in_rqt_is_tracked_and_has_a_menu(person, cameras, shoot, hand, shown):
    camera = cameras[0]
    publisher = hand.create_publisher(Point, f'{shown}_mouse_left', 1000)
    wait_for(publisher.get_subscription_count)
    x, y = corner(camera)
    publisher.publish(Point(x=x + 20.0, y=y + 20.0))
    item = wait_for(lambda: second(camera, shoot))
    assert covers(item.box, x + 20, y + 20)
    wait_for(lambda: set(person.markers()) == {'cup', item.object_id})
    assert person.titles(item.object_id) == MENU
    hand.destroy_publisher(publisher)


def test_a_click_on_the_rim_counts_and_one_beyond_it_is_refused_in_words(
    person, cameras, shoot, hand, warnings
):
    camera = cameras[0]
    publisher = hand.create_publisher(Point, 'image_mouse_left', 1000)
    wait_for(publisher.get_subscription_count)
    warnings.clear()

    def refused():
        publisher.publish(
            Point(x=WIDTH + 1.0, y=60.0)
        )  # warnings are throttled, so it may take another click
        return any('lies outside the image of 160 x 120 pixels' in text for text in warnings)

    wait_for(refused)
    # rqt rounds a click on the last half pixel up to the width.
    publisher.publish(Point(x=float(WIDTH), y=float(HEIGHT)))
    item = wait_for(lambda: second(camera, shoot))
    assert covers(item.box, WIDTH - 1, HEIGHT - 1)
    hand.destroy_publisher(publisher)


def test_what_is_clicked_in_the_3d_view_is_tracked_and_has_a_menu(person, cameras, shoot, hand):
    camera = cameras[0]
    publisher = hand.create_publisher(PointStamped, '/clicked_point', 5)
    wait_for(publisher.get_subscription_count)
    x, _ = corner(camera)
    message = PointStamped()
    message.header.frame_id = 'eye'
    message.point = Point(x=(x + 19.5 - 79.5) / 100 * SQUARE_M, y=0.0, z=SQUARE_M)
    publisher.publish(message)
    item = wait_for(lambda: second(camera, shoot))
    assert covers(item.box, x + 20, 60)
    wait_for(lambda: item.object_id in person.markers())
    person.choose(item.object_id, 'Stop tracking')
    wait_for(lambda: set(person.markers()) == {'cup'})


def test_clicks_are_heard_on_the_topic_of_the_image_wherever_that_is(graph):
    remapped = graph.add(
        lambda **kwargs: Node(
            'remapped', cli_args=['--ros-args', '-r', 'image:=/camera/color/image_raw'], **kwargs
        )
    )
    assert clicks.mouse_topic(remapped, 'image') == '/camera/color/image_raw_mouse_left'
    assert clicks.mouse_topic(remapped, 'annotated_image') == f'{graph.namespace}/annotated_image_mouse_left'


# --- the configurations of RViz


def displays(file):
    return yaml.safe_load(file.read_text())['Visualization Manager']['Displays']


@pytest.mark.parametrize('file', sorted(CONFIG.glob('*.rviz')), ids=lambda file: file.name)
def test_a_configuration_names_topics_that_there_are(file, graph, node, people, cameras, hand):
    shown = [item['Topic']['Value'] for item in displays(file) if 'Topic' in item]
    assert {'/annotated_image', '/markers'} == set(shown)
    (menus,) = [name for item in displays(file) if (name := item.get('Interactive Markers Namespace'))]
    for topic in (*shown, f'{menus}/update'):
        assert hand.count_publishers(graph.namespace + topic), topic
    assert hand.count_subscribers(f'{graph.namespace}{menus}/feedback')
    # What a camera publishes is what the node listens to.
    (cloud,) = [item for item in displays(file) if item['Class'].endswith('/DepthCloud')]
    for topic in (cloud['Color Image Topic'], cloud['Depth Map Topic'], cloud['CameraInfo Topic']):
        assert hand.count_subscribers(graph.namespace + topic), topic
    tools = yaml.safe_load(file.read_text())['Visualization Manager']['Tools']
    (click,) = [item for item in tools if item['Class'].endswith('/PublishPoint')]
    assert hand.count_subscribers(click['Topic']['Value'])


@pytest.mark.parametrize('file', sorted(CONFIG.glob('*.rviz')), ids=lambda file: file.name)
def test_a_configuration_has_the_displays_and_the_frame_of_a_camera(file):
    manager = yaml.safe_load(file.read_text())['Visualization Manager']
    kinds = {item['Class'].partition('/')[2] for item in manager['Displays']}
    assert {'Image', 'MarkerArray', 'InteractiveMarkers', 'TF'} <= kinds
    assert manager['Global Options']['Fixed Frame'].endswith('_optical_frame')
    assert all(item['Class'].startswith('rviz_default_plugins/') for item in manager['Displays'])
    assert len({item['Name'] for item in manager['Displays']}) == len(manager['Displays'])
