"""Two nodes in two namespaces, each with a camera of its own: they work side by side and share nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from pixelrefer_core.errors import NotReadyError, UnknownObjectError
from pixelrefer_ros import qos
from pixelrefer_ros.client import PixelReferClient
from pixelrefer_ros.image_messages import to_image
from pixelrefer_ros.msg import TrackedObjectArray
from pixelrefer_ros.pixelrefer_node import PixelReferNode
from pixelrefer_ros.stamps import to_time

from .waiting import wait_for

SIDES = {'left': (48, 64), 'right': (60, 80)}
WAIT_S = 120.0


class Side:
    """One camera with its node and its client, in a namespace of their own."""

    def __init__(self, graph, name: str, size: tuple[int, int]) -> None:
        namespace = f'{graph.namespace}/{name}'
        self.node = graph.add(
            lambda **given: PixelReferNode(**given | {'namespace': namespace}),
            generation__max_new_tokens=2,
            image__reliability='reliable',
            image__timeout_s=300.0,
            model__device='cpu',
            model__path='random-nano',
            model__threads=1,
        )
        ends = graph.node(f'{name}_ends')
        self.robot = PixelReferClient(node=graph.node(f'{name}_robot'), namespace=namespace, timeout_s=WAIT_S)
        self.camera = ends.create_publisher(Image, f'{namespace}/image', qos.image('reliable'))
        self.updates: list[TrackedObjectArray] = []
        ends.create_subscription(
            TrackedObjectArray, f'{namespace}/objects', self.updates.append, qos.results()
        )
        self._picture = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
        self._seconds = 0

    def shoot(self) -> TrackedObjectArray:
        """Publish an image, and wait for its objects."""
        wait_for(self.camera.get_subscription_count, WAIT_S)
        self._seconds += 1
        header = Header(stamp=to_time(self._seconds * 10**9), frame_id='eye')
        self.camera.publish(to_image(self._picture, header, 'rgb8'))
        return wait_for(lambda: next((m for m in self.updates if m.header == header), None), WAIT_S)


@pytest.fixture(scope='module')
def sides(graph):
    sides = {name: Side(graph, name, size) for name, size in SIDES.items()}
    for side in sides.values():
        side.shoot()
    return sides


def test_each_node_tracks_the_images_of_its_own_camera(sides):
    for name, side in sides.items():
        message = side.shoot()
        assert (message.image_height, message.image_width) == SIDES[name]


def test_an_object_of_one_is_unknown_to_the_other_and_each_answers_about_its_own(sides):
    left, right = sides['left'].robot, sides['right'].robot
    left.add_object('cup', box=(5, 5, 30, 30))
    right.add_object('plate', box=(5, 5, 30, 30))
    assert [item.object_id for item in sides['left'].shoot().objects] == ['cup']
    assert [item.object_id for item in sides['right'].shoot().objects] == ['plate']
    assert left.ask(['cup'], 'What is <object1>?', timeout_s=WAIT_S).object_ids == ['cup']
    assert right.stream(['plate'], 'What is <object1>?', timeout_s=WAIT_S).wait()[0].object_ids == ['plate']
    with pytest.raises(UnknownObjectError):
        right.describe('cup')


def test_one_that_is_paused_leaves_the_other_at_work(sides):
    assert sides['left'].node.trigger_deactivate()
    with pytest.raises(NotReadyError):
        sides['left'].robot.get_objects()
    assert sides['right'].shoot().objects
    assert sides['left'].node.trigger_activate()
    sides['left'].shoot()
