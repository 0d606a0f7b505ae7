"""The overlay draws what belongs together, and costs nothing while nobody looks."""

from __future__ import annotations

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from pixelrefer_core.types import Frame, ObjectState, TrackedObject
from pixelrefer_ros import conversions, qos
from pixelrefer_ros.image_messages import to_frame, to_image
from pixelrefer_ros.msg import ObjectAnswer, TrackedObjectArray
from pixelrefer_ros.overlay_node import OverlayNode
from pixelrefer_ros.stamps import to_time

from .waiting import wait_for

HEIGHT, WIDTH = 120, 160


class Scene:
    def __init__(self, graph):
        self.node = graph.node('scene')
        self.overlay = graph.add(OverlayNode)
        self.image = self.node.create_publisher(Image, 'image', qos.image('reliable'))
        self.labels = self.node.create_publisher(Image, 'label_image', qos.results())
        self.objects = self.node.create_publisher(TrackedObjectArray, 'objects', qos.results())
        self.answers = self.node.create_publisher(ObjectAnswer, 'answers', qos.latched(depth=10))
        self.seen = []

    def watch(self):
        self.node.create_subscription(Image, 'annotated_image', self.seen.append, qos.results())
        wait_for(lambda: all(p.get_subscription_count() for p in (self.image, self.labels, self.objects)))

    def shoot(self, stamp_ns, *, parts=('image', 'labels', 'objects')):
        mask = np.zeros((HEIGHT, WIDTH), np.bool_)
        mask[50:90, 60:100] = True
        item = TrackedObject('cup', '', ObjectState.TRACKED, 1.0, mask, (60, 50, 100, 90), 1600, 1, 1)
        frame = Frame(np.full((HEIGHT, WIDTH, 3), 128, np.uint8), stamp_ns, 'eye')
        header = Header(stamp=to_time(stamp_ns), frame_id='eye')
        messages = {
            'image': (self.image, to_image(frame.image, header, 'rgb8')),
            'labels': (self.labels, conversions.to_label_image(frame, [item])),
            'objects': (self.objects, conversions.to_tracked_objects(frame, [item])),
        }
        for part in parts:
            publisher, message = messages[part]
            publisher.publish(message)


@pytest.fixture(scope='module')
def scene(graph):
    return Scene(graph)


def test_nothing_is_subscribed_until_somebody_looks(scene):
    assert not scene.overlay._inputs
    scene.watch()
    wait_for(lambda: scene.overlay._inputs)


def test_a_mask_is_drawn_where_it_belongs_with_the_stamp_of_its_image(scene):
    scene.shoot(7)
    message = wait_for(lambda: next((m for m in scene.seen if m.header.stamp.nanosec == 7), None))
    picture = to_frame(message).image
    assert message.header.frame_id == 'eye'
    inside = picture[65:75, 75:85].reshape(-1, 3).mean(axis=0)
    assert np.abs(inside - 128).max() > 20
    np.testing.assert_array_equal(picture[115, 5], [128, 128, 128])


def test_parts_of_different_images_are_never_mixed(scene):
    scene.shoot(20, parts=('image', 'labels'))
    scene.shoot(21, parts=('objects',))
    scene.shoot(22)
    wait_for(lambda: scene.seen[-1].header.stamp.nanosec == 22)
    assert not {20, 21} & {message.header.stamp.nanosec for message in scene.seen}


def test_the_newest_answer_is_shown_on_the_image(scene):
    scene.shoot(30)
    before = wait_for(lambda: next((m for m in scene.seen if m.header.stamp.nanosec == 30), None))
    scene.answers.publish(ObjectAnswer(question='What is it?', text='A cup.'))
    wait_for(lambda: scene.overlay._answer is not None)
    scene.shoot(31)
    after = wait_for(lambda: next((m for m in scene.seen if m.header.stamp.nanosec == 31), None))
    assert bytes(after.data) != bytes(before.data)
