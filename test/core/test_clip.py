"""A clip is a folder, a video or a bag; it yields frames in order with the stamps of its source."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from pixelrefer_core.clip import open_clip
from pixelrefer_core.clip_depth import save_camera, save_depth
from pixelrefer_core.errors import InvalidCameraInfoError, InvalidImageError
from pixelrefer_core.types import Intrinsics


def grey(value: int) -> np.ndarray:
    return np.full((48, 64, 3), value, np.uint8)


def test_a_folder_is_read_in_the_order_of_its_numbers_and_stamped_at_its_rate(tmp_path):
    for number in (10, 9, 2):
        cv2.imwrite(str(tmp_path / f'{number}.png'), grey(number * 10))
    frames = list(open_clip(tmp_path, folder_rate_hz=4.0))
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [20, 90, 100]
    assert [frame.stamp_ns for frame in frames] == [0, 250_000_000, 500_000_000]


def test_a_folder_that_keeps_its_images_in_frames_is_found(tmp_path):
    (tmp_path / 'frames').mkdir()
    cv2.imwrite(str(tmp_path / 'frames' / '0.jpg'), grey(50))
    assert len(list(open_clip(tmp_path))) == 1


def test_a_clip_can_be_played_twice(tmp_path):
    cv2.imwrite(str(tmp_path / '0.png'), grey(1))
    clip = open_clip(tmp_path)
    assert len(list(clip)) == len(list(clip)) == 1


def test_a_video_is_read_in_rgb_with_its_own_times(tmp_path):
    file = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*'MJPG'), 20.0, (64, 48))
    blue = grey(0)
    blue[..., 0] = 250
    for _ in range(4):
        writer.write(blue)
    writer.release()
    frames = list(open_clip(file))
    assert [frame.stamp_ns for frame in frames] == [0, 50_000_000, 100_000_000, 150_000_000]
    assert frames[0].image[10, 10, 2] > 200 > frames[0].image[10, 10, 0]


@pytest.mark.parametrize('plugin', ['sqlite3', 'mcap'])
def test_a_bag_yields_raw_images_with_the_stamps_of_their_headers(tmp_path, plugin):
    write_bag(tmp_path / 'bag', plugin, topics=('/camera/image',))
    frames = list(open_clip(tmp_path / 'bag'))
    assert [frame.stamp_ns for frame in frames] == [5_000_000_001, 5_000_000_002]
    assert frames[0].frame_id == 'camera'
    assert frames[0].image[0, 0].tolist() == [3, 2, 1]


def test_a_bag_with_two_image_topics_asks_which(tmp_path):
    write_bag(tmp_path / 'bag', 'mcap', topics=('/left', '/right'))
    with pytest.raises(InvalidImageError, match=r"2 image topics \['/left', '/right'\]"):
        open_clip(tmp_path / 'bag')
    assert len(list(open_clip(tmp_path / 'bag', topic='/right'))) == 2
    with pytest.raises(InvalidImageError, match='no image topic /up'):
        open_clip(tmp_path / 'bag', topic='/up')


def test_what_is_no_clip_is_refused_with_a_reason(tmp_path):
    with pytest.raises(InvalidImageError, match='does not exist'):
        open_clip(tmp_path / 'nothing')
    with pytest.raises(InvalidImageError, match='holds no images'):
        open_clip(tmp_path)
    text = tmp_path / 'clip.txt'
    text.write_text('hello')
    with pytest.raises(InvalidImageError, match='no known kind of clip'):
        open_clip(text)
    broken = tmp_path / 'clip.mp4'
    broken.write_bytes(b'nothing')
    with pytest.raises(InvalidImageError, match='cannot be read as a video'):
        open_clip(broken)


def test_a_broken_image_in_a_folder_is_named(tmp_path):
    (tmp_path / '0.png').write_bytes(b'broken')
    with pytest.raises(InvalidImageError, match=r'0\.png'):
        list(open_clip(tmp_path))


LENS = Intrinsics(width=4, height=4, fx=5.0, fy=6.0, cx=1.5, cy=1.5)


def clip_with_depth(folder):
    """Two pictures; of the second, depth was measured, too."""
    (folder / 'frames').mkdir()
    (folder / 'depth').mkdir()
    for number in range(2):
        cv2.imwrite(str(folder / 'frames' / f'{number}.png'), grey(number))
    save_depth(np.array([[0.5, 70.0, np.nan, np.inf]] * 4, np.float32), folder / 'depth' / '1.png')
    save_camera(LENS, folder)
    return folder


def test_depth_beside_the_images_comes_with_them_when_asked_for(tmp_path):
    first, second = open_clip(clip_with_depth(tmp_path), with_depth=True)
    assert first.depth is None
    assert (second.depth.encoding, second.depth.intrinsics) == ('16UC1', LENS)
    # Millimetres; what is too far, or was not measured, is 0.
    np.testing.assert_array_equal(second.depth.pixels, [[500, 0, 0, 0]] * 4)
    assert [frame.depth for frame in open_clip(tmp_path)] == [None, None]


@pytest.mark.parametrize('text', [None, '{}', '[1]', 'no json', '{"width": 4, "height": 4, "fx": 0}'])
def test_depth_without_a_camera_is_refused(tmp_path, text):
    camera = clip_with_depth(tmp_path) / 'camera.json'
    camera.unlink()
    if text is not None:
        camera.write_text(text)
    with pytest.raises(InvalidCameraInfoError, match='must be an object with the numbers'):
        open_clip(tmp_path, with_depth=True)


def test_a_focal_length_of_zero_is_refused(tmp_path):
    save_camera(replace(LENS, fx=0.0), clip_with_depth(tmp_path))
    with pytest.raises(InvalidCameraInfoError, match='above zero'):
        open_clip(tmp_path, with_depth=True)


def test_depth_in_eight_bits_is_refused(tmp_path):
    cv2.imwrite(str(clip_with_depth(tmp_path) / 'depth' / '0.png'), np.zeros((4, 4), np.uint8))
    with pytest.raises(InvalidImageError, match='16 bits'):
        list(open_clip(tmp_path, with_depth=True))


def write_bag(path, plugin, topics):
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS2_JAZZY)
    image, header, time = (
        types.types[name]
        for name in ('sensor_msgs/msg/Image', 'std_msgs/msg/Header', 'builtin_interfaces/msg/Time')
    )
    with Writer(path, version=9, storage_plugin=StoragePlugin[plugin.upper()]) as writer:
        for topic in topics:
            connection = writer.add_connection(topic, image.__msgtype__, typestore=types)
            for number in (1, 2):
                message = image(
                    header=header(stamp=time(sec=5, nanosec=number), frame_id='camera'), height=1, width=1,
                    encoding='bgr8', is_bigendian=0, step=3, data=np.array([1, 2, 3], np.uint8),
                )  # fmt: skip
                writer.write(connection, number, types.serialize_cdr(message, image.__msgtype__))
