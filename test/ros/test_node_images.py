"""The node reads what cameras send: every encoding, padded rows, raw or compressed, reliable or best effort."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from pixelrefer_core.types import NANOSECONDS
from pixelrefer_ros import qos
from pixelrefer_ros.image_messages import to_image
from pixelrefer_ros.msg import NodeStatus, TrackedObjectArray
from pixelrefer_ros.pixelrefer_node import PixelReferNode
from pixelrefer_ros.stamps import to_time

from .conftest import Graph
from .waiting import wait_for

PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
PIXELS = {
    'rgb8': PICTURE,
    'bgr8': PICTURE,
    'mono8': PICTURE[..., 0],
    'rgba8': np.dstack([PICTURE, PICTURE[..., 0]]),
    'bgra8': np.dstack([PICTURE, PICTURE[..., 0]]),
    'mono16': PICTURE[..., 0].astype(np.uint16) << 8,
}


class Bench:
    """A node and a listener to what it tracks."""

    def __init__(self, graph: Graph, **parameters):
        self.graph = graph
        self.side = graph.node('side')
        self.tracked: list[int] = []
        self.status: list[NodeStatus] = []
        self.side.create_subscription(
            TrackedObjectArray,
            'objects',
            lambda m: self.tracked.append(m.header.stamp.nanosec),
            qos.results(),
        )
        self.side.create_subscription(NodeStatus, 'status', self.status.append, qos.latched())
        self.node = graph.add(
            PixelReferNode, model__path='random-nano', model__device='cpu', model__threads=1, **parameters
        )
        self.stamp = 0

    def publisher(self, kind, topic, reliability):
        publisher = self.side.create_publisher(kind, topic, qos.image(reliability, depth=10))
        wait_for(publisher.get_subscription_count, 60)
        return publisher

    def arrives(self, publisher, make):
        """Publish until an image is tracked: a best-effort one may be lost while the two ends meet."""

        def attempt():
            self.stamp += 1
            publisher.publish(make(Header(stamp=to_time(self.stamp))))
            return self.tracked

        self.tracked.clear()
        wait_for(attempt)

    def close(self):
        self.graph.remove(self.node)
        self.graph.remove(self.side)


@pytest.fixture
def bench(graph):
    made = []

    def make(**parameters):
        made.append(Bench(graph, **parameters))
        return made[-1]

    yield make
    for item in made:
        item.close()


def test_every_encoding_and_padded_rows_are_tracked(bench):
    bench = bench()
    publisher = bench.publisher(Image, 'image', 'reliable')
    for encoding, pixels in PIXELS.items():
        bench.arrives(publisher, lambda header, p=pixels, e=encoding: to_image(p, header, e))
    padded = np.zeros((48, 200), np.uint8)
    padded[:, :192] = PICTURE.reshape(48, 192)
    bench.arrives(
        publisher,
        lambda header: Image(
            header=header, height=48, width=64, encoding='rgb8', step=200, data=padded.tobytes()
        ),
    )


@pytest.mark.parametrize(
    ('subscriber', 'publisher'),
    [('best_effort', 'best_effort'), ('best_effort', 'reliable'), ('reliable', 'reliable')],
)
def test_matching_reliabilities_carry_images(bench, subscriber, publisher):
    bench = bench(image__reliability=subscriber)
    bench.arrives(
        bench.publisher(Image, 'image', publisher),
        lambda header: to_image(PICTURE, header, 'rgb8'),
    )


def test_a_publisher_that_does_not_match_is_named_with_the_cure(bench):
    bench = bench(image__reliability='reliable', publish__status_rate_hz=10.0)
    bench.side.create_publisher(Image, 'image', qos.image('best_effort'))
    status = wait_for(lambda: next((m for m in bench.status if 'QoS' in m.reason), None), 60)
    assert 'set image.reliability to best_effort' in status.reason
    assert not status.ready


def test_compressed_images_are_tracked(bench):
    bench = bench(image__transport='compressed')
    jpeg = cv2.imencode('.jpg', PICTURE)[1].tobytes()
    bench.arrives(
        bench.publisher(CompressedImage, 'image/compressed', 'best_effort'),
        lambda header: CompressedImage(header=header, format='jpeg', data=jpeg),
    )


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'mono8', 'jpeg'])
def test_receiving_an_image_of_720p_takes_less_than_a_millisecond(bench, encoding):
    bench = bench()
    wait_for(lambda: bench.node._state == 'active', 60)
    picture = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    jpeg = cv2.imencode('.jpg', picture)[1].tobytes()

    def make(header):
        if encoding == 'jpeg':
            return CompressedImage(header=header, format='jpeg', data=jpeg)
        return to_image(picture[..., 0] if encoding == 'mono8' else picture, header, encoding)

    taken = []
    for second in range(1, 31):
        message = make(Header(stamp=to_time(second * NANOSECONDS)))
        start_s = time.thread_time()  # of this thread alone, so that a busy machine changes nothing
        bench.node._on_image(message)
        taken.append(time.thread_time() - start_s)
    assert np.median(taken) < 1e-3
    assert bench.node._worker.statistics().frames_offered == len(taken)
