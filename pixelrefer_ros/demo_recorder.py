"""What the demo's operator sees of the node's work: images with their masks, and the pace of the clip."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any, NamedTuple

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from pixelrefer_core.errors import NoImageError, NotReadyError
from pixelrefer_core.types import NANOSECONDS, ImageArray, TrackedObject
from pixelrefer_ros import conversions, qos
from pixelrefer_ros.client import PixelReferClient
from pixelrefer_ros.diagnostics import CONFIGURE_FAILED
from pixelrefer_ros.image_messages import from_label_image, to_frame
from pixelrefer_ros.msg import TrackedObjectArray
from pixelrefer_ros.stamp_join import StampJoin
from pixelrefer_ros.stamps import to_ns

# The answers rest on few images; a long clip must not fill the memory.
_MOST_VIEWS = 400


class View(NamedTuple):
    """An image and what the node tracked on it. ``second``: of the clip."""

    second: float
    image: ImageArray
    objects: list[TrackedObject]


class Recorder:
    """Keeps what the node published about each image, and lets a camera in lockstep go on after each."""

    def __init__(self, client: PixelReferClient) -> None:
        self._client = client
        self._first: Image | None = None
        self._start_ns = 0
        self.views: list[View] = []
        self._pointed = False
        self._news = threading.Condition()
        self._done = client.node.create_publisher(Header, 'image_done', qos.results())
        self._join = StampJoin(('image', 'labels', 'objects'), self._on_view, limit=100)
        for kind, topic, part, profile in (
            (Image, 'image', 'image', qos.image('reliable')),
            (Image, 'label_image', 'labels', qos.results()),
            (TrackedObjectArray, 'objects', 'objects', qos.results()),
        ):
            client.node.create_subscription(kind, topic, partial(self._put, part), profile)

    def wait_for_first(self, timeout_s: float) -> Image:
        """Block until the camera's first image, which waits for the node.

        Raises :class:`NotReadyError` when the node cannot start, else :class:`NoImageError`.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._news:
            while self._first is None and time.monotonic() < deadline_s:
                self._news.wait(0.5)
                reason = self._client.status.reason
                if reason.startswith(CONFIGURE_FAILED):
                    raise NotReadyError(reason)
            if self._first is None:
                raise NoImageError(f'no image within {timeout_s:g} s: is the camera running?')
            return self._first

    def go_on(self) -> None:
        """Let the clip go on: on its first image, which waits for this, the objects were pointed at."""
        assert self._first is not None
        with self._news:
            self._pointed = True
        self._done.publish(self._first.header)

    def wait_until(self, clip_s: float, patience_s: float) -> None:
        """Block until objects of that second of the clip were published, or nothing has come for a while."""
        with self._news:
            while self.now_s < clip_s:
                if not self._news.wait(patience_s):
                    return

    @property
    def now_s(self) -> float:
        """Second of the clip that was published last."""
        return self.views[-1].second if self.views else -1.0

    def seconds(self, stamp_ns: int) -> float:
        """Seconds from the first image to a stamp."""
        return (stamp_ns - self._start_ns) / NANOSECONDS

    def _put(self, part: str, message: Any) -> None:
        if part == 'image' and self._first is None:
            with self._news:
                self._first = message
                self._start_ns = to_ns(message.header.stamp)
                self._news.notify_all()
        self._join.put(part, message)

    def _on_view(self, image: Image, labels: Image, objects: TrackedObjectArray) -> None:
        found = conversions.from_tracked_objects(objects, from_label_image(labels))
        second = self.seconds(to_ns(image.header.stamp))
        with self._news:
            if len(self.views) >= _MOST_VIEWS:
                del self.views[1::2]
            self.views.append(View(second, to_frame(image).image, found))
            go_on = self._pointed
            self._news.notify_all()
        if go_on:
            self._done.publish(image.header)
