"""The camera node plays what it was given: the right pixels, in order, at the right pace, with true stamps."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from pixelrefer_core.clip_depth import save_camera
from pixelrefer_core.errors import InvalidImageError
from pixelrefer_core.types import Intrinsics
from pixelrefer_ros import qos
from pixelrefer_ros.camera_node import CameraNode
from pixelrefer_ros.image_messages import to_depth, to_frame, to_intrinsics
from pixelrefer_ros.stamps import to_ns

from .waiting import wait_for

LENS = Intrinsics(32, 24, 40.0, 41.0, 15.5, 11.5)


@pytest.fixture
def clip(tmp_path):
    for number in range(5):
        cv2.imwrite(str(tmp_path / f'{number}.png'), np.full((24, 32, 3), 40 * number, np.uint8))
    return str(tmp_path)


@pytest.fixture
def play(graph):
    """Play a clip to a listener and return the list that fills with its messages."""
    started = []

    def start(kind=Image, topic='image', reliability='reliable', **parameters):
        seen = []
        listener = graph.node('listener')
        listener.create_subscription(
            kind, topic, lambda m: seen.append((time.monotonic(), m)), qos.image(reliability, depth=10)
        )
        camera = graph.add(CameraNode, wait_for_subscribers=1, **parameters)
        started.extend([listener, camera])
        return seen

    yield start
    for node in started:
        graph.remove(node)


def brightness(message: Image) -> int:
    return int(to_frame(message).image[0, 0, 0])


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'mono8'])
def test_a_folder_is_played_once_in_order(play, clip, encoding):
    seen = play(source=clip, loop=False, rate_hz=50.0, encoding=encoding)
    wait_for(lambda: len(seen) == 5)
    assert [brightness(message) for _, message in seen] == [0, 40, 80, 120, 160]
    assert {message.encoding for _, message in seen} == {encoding}
    assert {message.header.frame_id for _, message in seen} == {'camera_optical_frame'}


def test_a_loop_goes_on_and_its_stamps_never_go_back(play, clip):
    seen = play(source=clip, rate_hz=100.0)
    wait_for(lambda: len(seen) > 12)
    stamps = [to_ns(message.header.stamp) for _, message in seen]
    assert stamps == sorted(set(stamps))


def test_stamps_of_the_source_are_kept(play, clip):
    seen = play(source=clip, loop=False, rate_hz=50.0, folder_rate_hz=4.0, stamps='source')
    wait_for(lambda: len(seen) == 5)
    assert [to_ns(message.header.stamp) for _, message in seen] == [10**9 + k * 250_000_000 for k in range(5)]


def test_the_pace_is_that_of_the_source(play, clip):
    seen = play(source=clip, folder_rate_hz=10.0)
    wait_for(lambda: len(seen) > 20)
    # A machine that stands still for a moment makes an image late, and the next ones early.
    assert np.median(np.diff([heard_s for heard_s, _ in seen])) == pytest.approx(0.1, abs=0.03)


def test_jpeg_is_published_beside_the_raw_images_when_asked(play, clip):
    seen = play(CompressedImage, 'image/compressed', source=clip, loop=False, rate_hz=20.0, compressed=True)
    wait_for(lambda: len(seen) == 5)
    assert to_frame(seen[4][1]).image[5, 5, 0] == pytest.approx(160, abs=3)


def test_a_source_that_is_no_clip_stops_the_node_with_the_reason(graph):
    with pytest.raises(InvalidImageError, match='/no/such/clip does not exist'):
        graph.add(CameraNode, source='/no/such/clip')


@pytest.fixture
def clip_with_depth(clip):
    (Path(clip) / 'depth').mkdir()
    for number in range(4):  # of the last picture there is none
        depth = np.full((24, 32), 1000 + number, np.uint16)
        cv2.imwrite(f'{clip}/depth/{number}.png', depth)
    save_camera(LENS, Path(clip))
    return clip


def test_a_clip_with_depth_is_a_camera_with_depth(play, graph, clip_with_depth):
    listener = graph.node('depth_listener')
    depths, infos = [], []
    profile = qos.image('reliable', depth=10)
    listener.create_subscription(Image, 'depth/image', depths.append, profile)
    listener.create_subscription(CameraInfo, 'camera_info', infos.append, profile)
    seen = play(source=clip_with_depth, rate_hz=20.0)
    wait_for(lambda: len(depths) > 6 and len(seen) > 8)
    brightness_of = {to_ns(message.header.stamp): brightness(message) for _, message in seen}
    numbers = {to_ns(m.header.stamp): int(to_depth(m, LENS).pixels[0, 0]) for m in depths}
    both = brightness_of.keys() & numbers.keys()
    assert len(both) >= 4
    assert all(numbers[stamp_ns] == 1000 + brightness_of[stamp_ns] // 40 for stamp_ns in both)
    assert 160 not in {brightness_of[stamp_ns] for stamp_ns in both}
    assert {message.encoding for message in depths} == {'16UC1'}
    assert infos[0].header.frame_id == depths[0].header.frame_id == 'camera_optical_frame'
    assert to_intrinsics(infos[0]) == LENS
    graph.remove(listener)


def test_depth_is_left_out_when_it_is_not_wanted(play, graph, clip_with_depth):
    seen = play(source=clip_with_depth, loop=False, rate_hz=50.0, depth=False)
    wait_for(lambda: len(seen) == 5)
    assert not graph.node('looker').count_publishers('depth/image')


def test_in_lockstep_each_image_waits_until_the_one_before_is_done(play, graph, clip):
    seen = play(source=clip, loop=False, rate_hz=100.0, stamps='source', lockstep=True)
    conductor = graph.node('conductor')
    done = conductor.create_publisher(Header, 'image_done', qos.results())
    wait_for(lambda: done.get_subscription_count() == 1)
    for number in range(5):
        wait_for(lambda count=number + 1: len(seen) == count)
        # An old stamp does not count; the camera would have sent the next image 10 ms after it.
        done.publish(Header())
        wait_for(lambda: time.monotonic() > seen[-1][0] + 0.05)
        assert len(seen) == number + 1
        done.publish(seen[-1][1].header)
    graph.remove(conductor)
