"""3D positions over real topics: depth early, late, never, in other sizes and encodings; tf; markers; clicks in 3D."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from geometry_msgs.msg import Point, PointStamped, TransformStamped
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import Marker, MarkerArray

from pixelrefer_core.types import NANOSECONDS, Intrinsics
from pixelrefer_ros import qos
from pixelrefer_ros.client import make_prompt
from pixelrefer_ros.msg import NodeStatus
from pixelrefer_ros.pixelrefer_node import PixelReferNode
from pixelrefer_ros.srv import AddObjects, AskObjects, GetObjects, RemoveObjects
from pixelrefer_ros.stamps import to_time

from .staging import HEIGHT, SQUARE_M, START_NS, WIDTH, Camera, DepthCamera
from .waiting import wait_for


@pytest.fixture(scope='module')
def node(graph):
    return graph.add(
        PixelReferNode,
        generation__max_new_tokens=8,
        image__reliability='reliable',
        model__path='random-nano',
        model__device='cpu',
        model__threads=1,
        publish__status_rate_hz=20.0,
        publish__marker_lifetime_s=0.5,
    )


@pytest.fixture(scope='module')
def depth_camera(graph, node):
    return DepthCamera(graph, node)


@pytest.fixture(scope='module')
def cameras(graph, node, depth_camera):
    camera = Camera(graph)
    wait_for(camera.publisher.get_subscription_count, 100.0)  # a busy machine is slow to load a model
    camera.shoot()
    return camera


@pytest.fixture(scope='module')
def statuses(graph, node):
    seen = []
    graph.node('status_reader').create_subscription(NodeStatus, 'status', seen.append, qos.latched())
    return seen


@pytest.fixture
def camera(cameras, call):
    """A camera before which the square is tracked as 'cup'; what was heard of depth is forgotten."""
    for state in (False, True):
        assert call(SetBool, 'pixelrefer_node/enable', data=state).success
    call(Trigger, 'pixelrefer_node/reset')
    cameras.shoot()
    x = 20 + (cameras.step - 1) % 60
    response = call(AddObjects, 'add_objects', prompts=[make_prompt('cup', box=(x, 40, 40, 40))])
    assert not response.error_code, response.error_msg
    return cameras


@pytest.fixture
def parameters(call):
    """Sets parameters, and sets them back."""
    changed = {}

    def change(**values):
        names = {name.replace('__', '.'): value for name, value in values.items()}
        request = [Parameter(name, value=value).to_parameter_msg() for name, value in names.items()]
        results = call(SetParameters, 'pixelrefer_node/set_parameters', parameters=request).results
        assert all(result.successful for result in results), results

    def set_them(**values):
        changed.update(values)
        change(**values)

    yield set_them
    defaults = {'target_frame': '', 'depth__sync_tolerance_s': 0.05}
    change(**{name: defaults[name] for name in changed})


def cup_of(camera):
    return next(item for item in camera.updates[-1].objects if item.object_id == 'cup')


def expected(camera):
    """Where the middle of the square is: worked out by hand from where the scene draws it."""
    x = 20 + (camera.step - 1) % 60
    return ((x + 19.5 - 79.5) / 100 * SQUARE_M, (59.5 - 59.5) / 100 * SQUARE_M, SQUARE_M)


def assert_located(camera):
    item = cup_of(camera)
    assert item.position_valid
    found = (item.position.x, item.position.y, item.position.z)
    # The tracker is right to two pixels, which are 4 cm there.
    assert found == pytest.approx(expected(camera), abs=0.05)
    assert found[2] == pytest.approx(SQUARE_M, abs=0.002)
    assert (item.extent.x, item.extent.y) == pytest.approx((0.78, 0.78), abs=0.1)


def assert_nowhere(camera, statuses, reason):
    item = cup_of(camera)
    assert not item.position_valid
    assert np.isnan([item.position.x, item.extent.y, item.position_stddev]).all()
    wait_for(lambda: reason in statuses[-1].position_reason)
    assert statuses[-1].ready


# --- depth


def test_depth_that_is_there_before_the_image_places_the_object_in_the_cameras_frame(
    camera, depth_camera, call
):
    depth_camera.calibrate()
    depth_camera.measure(camera.step)
    camera.shoot()
    assert_located(camera)
    assert camera.updates[-1].position_frame == camera.updates[-1].header.frame_id == 'eye'
    found = call(GetObjects, 'get_objects').objects
    assert found.position_frame == 'eye'
    assert found.objects[0].position == cup_of(camera).position


def test_depth_that_came_long_before_other_depth_is_still_found(camera, depth_camera):
    depth_camera.calibrate()
    for ahead in range(4):
        depth_camera.measure(camera.step + ahead)
    camera.shoot()
    assert_located(camera)


def test_images_do_not_wait_for_depth_that_is_late(camera, depth_camera, statuses):
    depth_camera.calibrate()
    camera.shoot()
    assert_nowhere(camera, statuses, 'no depth image has arrived')
    depth_camera.measure(camera.step - 1)
    camera.shoot()
    assert_nowhere(camera, statuses, '0.100 s apart; depth.sync_tolerance_s is 0.05')
    depth_camera.measure(camera.step)
    camera.shoot()
    assert_located(camera)


def test_depth_of_a_little_other_time_counts_within_the_tolerance(camera, depth_camera, parameters):
    depth_camera.calibrate()
    depth_camera.measure(camera.step, late_s=0.08)
    parameters(depth__sync_tolerance_s=0.09)
    camera.shoot()
    assert_located(camera)


def test_without_a_calibration_there_is_no_position(camera, depth_camera, statuses):
    depth_camera.measure(camera.step)
    camera.shoot()
    assert_nowhere(camera, statuses, 'no camera_info has arrived')
    assert camera.updates[-1].position_frame == ''


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
@pytest.mark.parametrize('stride', [1, 2])
def test_every_encoding_and_a_smaller_depth_image_serve(camera, depth_camera, encoding, stride):
    depth_camera.calibrate()
    depth_camera.measure(camera.step, encoding=encoding, stride=stride)
    camera.shoot()
    assert_located(camera)


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'columns': 100}, 'no larger or smaller copy'),
        ({'encoding': 'mono8'}, 'depth is 16UC1 or 32FC1'),
        ({'frame_id': 'other_eye'}, 'registered (aligned) to the colour image'),
    ],
)
def test_depth_that_does_not_fit_is_refused_in_words_and_tracking_goes_on(
    camera, depth_camera, statuses, changes, reason
):
    depth_camera.calibrate()
    depth_camera.measure(camera.step, **changes)
    camera.shoot()
    assert_nowhere(camera, statuses, reason)
    assert cup_of(camera).mask_area > 1000


def test_a_camera_that_is_not_calibrated_gives_no_position(camera, depth_camera, statuses):
    depth_camera.calibrate(Intrinsics(WIDTH, HEIGHT, 0.0, 0.0, 0.0, 0.0))
    depth_camera.measure(camera.step)
    camera.shoot()
    assert_nowhere(camera, statuses, 'the camera is not calibrated')


# --- tf


def test_without_tf2_ros_a_target_frame_gives_no_position_and_says_why(
    camera, depth_camera, parameters, statuses, monkeypatch
):
    monkeypatch.setitem(sys.modules, 'tf2_ros', None)
    depth_camera.calibrate()
    depth_camera.measure(camera.step)
    parameters(target_frame='map')
    camera.shoot()
    assert_nowhere(camera, statuses, 'tf2_ros, which is not installed')


@pytest.fixture
def tf(monkeypatch, node):
    """A stand-in for tf2_ros, which the wheels lack, with the calls that the node makes. Maps time to a transform."""
    known = {}

    class TransformException(Exception):  # noqa: N818, its name is tf2's
        pass

    class Buffer:
        def lookup_transform(self, target, source, time):
            if (target, source) != ('map', 'eye') and (target, source) != ('eye', 'map'):
                raise TransformException(
                    f'"{source}" passed to lookupTransform argument source_frame does not exist'
                )
            stamp_ns = time.nanoseconds or max(known, default=-1)
            if stamp_ns not in known:
                raise TransformException('Lookup would require extrapolation into the future')
            return known[stamp_ns]

    module = ModuleType('tf2_ros')
    module.Buffer, module.TransformException = Buffer, TransformException
    module.TransformListener = lambda buffer, node: object()
    monkeypatch.setitem(sys.modules, 'tf2_ros', module)
    monkeypatch.setattr(node._transforms, '_buffer', None)
    yield known
    node._transforms._buffer = None


def stamped(stamp_ns, x):
    """The camera looks along the x of the map: forward z becomes x, right x becomes -y, down y becomes -z."""
    message = TransformStamped(header=Header(stamp=to_time(stamp_ns), frame_id='map'))
    message.transform.translation.x = x
    rotation = message.transform.rotation
    rotation.x, rotation.y, rotation.z, rotation.w = -0.5, 0.5, -0.5, 0.5
    return message


def test_positions_are_those_of_the_target_frame_at_the_time_of_the_image(
    camera, depth_camera, parameters, tf
):
    stamp_ns = START_NS + camera.step * NANOSECONDS // 10
    tf |= {stamp_ns: stamped(stamp_ns, 10.0), stamp_ns + NANOSECONDS: stamped(stamp_ns + NANOSECONDS, 99.0)}
    depth_camera.calibrate()
    depth_camera.measure(camera.step)
    parameters(target_frame='map')
    header = camera.shoot()
    right, down, forward = expected(camera)
    item = cup_of(camera)
    assert camera.updates[-1].position_frame == 'map'
    assert camera.updates[-1].header == header
    assert item.position_valid
    assert (item.position.x, item.position.y, item.position.z) == pytest.approx(
        (10.0 + forward, -right, -down), abs=0.05
    )
    assert item.extent.x == pytest.approx(0.0, abs=0.01)


def test_a_transform_that_is_a_little_old_counts_and_one_that_is_too_old_does_not(
    camera, depth_camera, parameters, tf, statuses
):
    parameters(target_frame='map')
    for age_s, valid in ((0.09, True), (0.5, False)):
        stamp_ns = START_NS + camera.step * NANOSECONDS // 10 - round(age_s * NANOSECONDS)
        tf.clear()
        tf[stamp_ns] = stamped(stamp_ns, 10.0)
        depth_camera.calibrate()
        depth_camera.measure(camera.step)
        camera.shoot()
        assert cup_of(camera).position_valid is valid
    assert_nowhere(camera, statuses, "no transform from 'eye' to 'map': Lookup would require extrapolation")


# --- markers


@pytest.fixture
def markers(graph, node):
    seen = []
    reader = graph.node('markers_reader')
    reader.create_subscription(MarkerArray, 'markers', seen.append, qos.results())
    wait_for(node._markers._publisher.get_subscription_count)
    yield seen
    graph.remove(reader)


def test_a_marker_stands_where_the_object_is_and_vanishes_by_itself(camera, depth_camera, markers, call):
    answer = call(AskObjects, 'ask_objects', object_ids=['cup'], question='What is it?').answer
    depth_camera.calibrate()
    depth_camera.measure(camera.step)
    header = camera.shoot()
    box, text = wait_for(lambda: markers and markers[-1].markers)
    assert (box.type, text.type) == (Marker.CUBE, Marker.TEXT_VIEW_FACING)
    assert {(item.ns, item.action) for item in (box, text)} == {('cup', Marker.ADD)}
    assert box.id != text.id
    assert box.header == header
    assert box.pose.position == cup_of(camera).position
    assert (box.scale.x, box.scale.y) == (cup_of(camera).extent.x, cup_of(camera).extent.y)
    assert box.scale.z > 0
    assert (box.lifetime.sec, box.lifetime.nanosec) == (0, 500_000_000)
    assert text.lifetime == box.lifetime
    assert text.text.startswith('cup tracked') or text.text.startswith('cup pending')
    assert ''.join(answer.text.split())[:20] in ''.join(text.text.split())


def test_the_markers_of_a_removed_object_are_deleted(camera, depth_camera, markers, call):
    depth_camera.calibrate()
    depth_camera.measure(camera.step)
    camera.shoot()
    wait_for(lambda: markers)
    call(RemoveObjects, 'remove_objects', object_ids=['cup'])
    depth_camera.measure(camera.step)
    camera.shoot()
    wait_for(lambda: len(markers) == 2)
    assert {(item.ns, item.id, item.action) for item in markers[-1].markers} == {
        ('cup', 0, Marker.DELETE),
        ('cup', 1, Marker.DELETE),
    }


def test_an_object_that_loses_its_position_loses_its_markers(camera, depth_camera, markers):
    depth_camera.calibrate()
    depth_camera.measure(camera.step)
    camera.shoot(2)  # of the second image there is no depth
    wait_for(lambda: len(markers) == 2)
    assert {item.action for item in markers[-1].markers} == {Marker.DELETE}


def test_a_node_that_is_deactivated_takes_its_markers_away(camera, markers, call):
    call(SetBool, 'pixelrefer_node/enable', data=False)
    wait_for(lambda: markers and markers[-1].markers[0].action == Marker.DELETEALL)


# --- clicks in 3D


@pytest.fixture(scope='module')
def click(graph, node):
    publisher = graph.node('rviz').create_publisher(PointStamped, '/clicked_point', 10)
    wait_for(publisher.get_subscription_count)

    def send(frame_id, x, y, z):
        header = Header(frame_id=frame_id, stamp=to_time(7))
        publisher.publish(PointStamped(header=header, point=Point(x=x, y=y, z=z)))

    return send


@pytest.fixture(scope='module')
def warnings(graph, node):
    seen = []
    graph.node('log_reader').create_subscription(Log, '/rosout', lambda log: seen.append(log.msg), 100)
    return seen


def tracked_after(camera, count):
    camera.shoot()
    return len(camera.updates[-1].objects) == count and camera.updates[-1].objects[-1]


def test_what_is_clicked_in_the_cameras_frame_is_tracked(camera, depth_camera, click):
    depth_camera.calibrate()
    # The middle of the square.
    click('eye', *expected(camera))
    item = wait_for(lambda: tracked_after(camera, 2))
    x = 20 + (camera.step - 1) % 60
    assert item.box.x_offset <= x + 20 <= item.box.x_offset + item.box.width
    assert item.box.y_offset <= 60 <= item.box.y_offset + item.box.height


def test_what_is_clicked_in_another_frame_is_tracked_through_tf(camera, depth_camera, click, tf):
    depth_camera.calibrate()
    # From the map to the camera: the other way round than above. One square at 2 m, straight ahead, is the map's x = 2.
    message = TransformStamped(header=Header(stamp=to_time(5), frame_id='eye'))
    rotation = message.transform.rotation
    rotation.x, rotation.y, rotation.z, rotation.w = 0.5, -0.5, 0.5, 0.5
    tf[5] = message
    right, down, forward = expected(camera)
    click('map', forward, -right, -down)
    item = wait_for(lambda: tracked_after(camera, 2))
    x = 20 + (camera.step - 1) % 60
    assert item.box.x_offset <= x + 20 <= item.box.x_offset + item.box.width


@pytest.mark.parametrize(
    ('calibrated', 'point', 'words'),
    [
        (False, ('eye', 0.0, 0.0, 1.0), 'no camera_info has arrived'),
        (True, ('eye', 0.0, 0.0, -1.0), 'behind the camera'),
        (True, ('eye', 5.0, 0.0, 1.0), 'outside its 160 x 120 pixels'),
        (True, ('map', 0.0, 0.0, 1.0), "from 'map' to 'eye' it takes tf2_ros"),
        (True, ('eye', float('nan'), 0.0, 1.0), 'outside'),
    ],
)
def test_a_click_that_cannot_be_placed_is_refused_in_words(
    camera, depth_camera, click, warnings, monkeypatch, calibrated, point, words
):
    monkeypatch.setitem(sys.modules, 'tf2_ros', None)
    if calibrated:
        depth_camera.calibrate()
    warnings.clear()

    def refused():
        click(*point)  # warnings are throttled, so it may take another click
        return any('/clicked_point' in text and words in text for text in warnings)

    wait_for(refused)
    camera.shoot()
    assert len(camera.updates[-1].objects) == 1
