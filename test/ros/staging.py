"""A camera that shoots when it is told to, and a client that waits for every response."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from pixelrefer_core.engine import Engine
from pixelrefer_core.settings import Settings
from pixelrefer_core.tracker import create_tracker
from pixelrefer_core.types import NANOSECONDS
from pixelrefer_ros import conversions, pixelrefer_node, qos
from pixelrefer_ros.msg import TrackedObjectArray

from .conftest import wait_for

HEIGHT, WIDTH = 120, 160
START_NS = 100 * NANOSECONDS


def scene(step: int) -> np.ndarray:
    """A bright textured square that moves one pixel a step over a textured ground."""
    noise = np.random.default_rng(0).integers(0, 90, (HEIGHT, WIDTH, 3), np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 2)
    patch = np.random.default_rng(1).integers(120, 250, (40, 40, 3), np.uint8)
    x = 20 + step
    image[40:80, x : x + 40] = cv2.GaussianBlur(patch, (0, 0), 1.5)
    return image


class Camera:
    """Publishes the scene frame by frame, each 0.1 s of camera time after the last."""

    def __init__(self, graph):
        node = graph.node('camera')
        self.publisher = node.create_publisher(Image, 'image', qos.image('reliable'))
        self.updates: list[TrackedObjectArray] = []
        node.create_subscription(TrackedObjectArray, 'objects', self.updates.append, qos.results())
        self.step = 0

    def post(self) -> Header:
        """Publish the next frame; return its header."""
        header = Header(stamp=conversions.to_time(START_NS + self.step * NANOSECONDS // 10), frame_id='eye')
        self.publisher.publish(conversions.to_image(scene(self.step % 60), header, 'rgb8'))
        self.step += 1
        return header

    def shoot(self, frames: int = 1) -> Header:
        """Publish so many frames, each after the node has tracked the one before; return the last header."""
        wait_for(self.publisher.get_subscription_count)
        for _ in range(frames):
            header = self.post()
            wait_for(lambda header=header: self.updates and self.updates[-1].header == header)
        return header


@contextmanager
def engines_with(model) -> Iterator[None]:
    """Nodes that are configured meanwhile get this model; everything else of their engines is real."""

    def build(settings: Settings) -> Engine:
        return Engine(settings, tracker=create_tracker(settings.tracker), model=model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixelrefer_node, 'build_engine', build)
        yield


class Caller:
    """Calls services of the node and waits for the response, whatever its code."""

    def __init__(self, graph):
        self.node = graph.node('caller')

    def __call__(self, kind, name, **fields):
        client = self.node.create_client(kind, name)
        assert client.wait_for_service(20.0), name
        done = threading.Event()
        future = client.call_async(kind.Request(**fields))
        future.add_done_callback(lambda _: done.set())
        assert done.wait(60.0), name
        self.node.destroy_client(client)
        return future.result()
