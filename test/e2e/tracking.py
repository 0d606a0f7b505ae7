"""Tracks objects of clips over ROS, camera and node being other processes, and scores the masks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from sensor_msgs.msg import Image

from pixelrefer_core.clip_objects import read_mask
from pixelrefer_core.segmentation_metrics import score_sequence
from pixelrefer_core.types import NANOSECONDS
from pixelrefer_ros import qos
from pixelrefer_ros.client import PixelReferClient, make_prompt
from pixelrefer_ros.image_messages import from_label_image
from pixelrefer_ros.msg import ObjectAnswer, ObjectPrompt, TrackedObjectArray
from pixelrefer_ros.srv import AddObjects
from pixelrefer_ros.stamp_join import StampJoin
from pixelrefer_ros.stamps import to_ns

from .conftest import Processes

RATE_HZ = 10.0
START_S = 1.0
# Loading the libraries of the node takes most of it on a busy machine.
WAIT_S = 100


@dataclass(frozen=True)
class Outcome:
    """``region`` J and ``boundary`` F, means over the frames tracked; ``answer``: of a description at the end."""

    region: float
    boundary: float
    frames: int
    answer: ObjectAnswer


def prompt_of(kind: str, mask: np.ndarray):
    """Point at a mask by itself, by its box, or by its innermost pixel."""
    if kind == 'mask':
        return make_prompt('target', mask=mask)
    if kind == 'box':
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        size = (columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
        return make_prompt('target', box=(columns[0], rows[0], *size))
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return make_prompt('target', points=[(x, y)])


class Session:
    """One running node; clip after clip is played to it."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._news = threading.Condition()
        self._first: Image | None = None
        self._found: dict[int, np.ndarray] = {}
        self._join = StampJoin(('labels', 'objects'), self._on_tracked, limit=100)
        processes.start(
            'pixelrefer_node', model__path='random-nano', generation__max_new_tokens=8, model__threads=1
        )
        self.robot = PixelReferClient()
        for kind, topic, callback, profile in (
            (Image, 'image', self._on_image, qos.image('reliable')),
            (Image, 'label_image', partial(self._join.put, 'labels'), qos.results()),
            (TrackedObjectArray, 'objects', partial(self._join.put, 'objects'), qos.results()),
        ):
            self.robot.node.create_subscription(kind, topic, callback, profile)

    def close(self) -> None:
        """End the node, which must end well."""
        self.robot.close()
        assert self._processes.stop('pixelrefer_node') == 0, self._processes.log('pixelrefer_node')

    def track(self, clip: Path, truth: Path, kind: str, *, play_hz: float) -> Outcome:
        """Play a clip once at ``play_hz``, prompt its first mask on the first image, score what is published."""
        masks = [read_mask(file) for file in sorted(truth.glob('*.png'))]
        with self._news:
            self._first = None
            self._found.clear()
        self._processes.start(
            'camera_node', source=clip, loop=False, stamps='source', folder_rate_hz=RATE_HZ, rate_hz=play_hz,
            wait_for_subscribers=2,
        )  # fmt: skip
        try:
            answer = self._prompt_and_watch(prompt_of(kind, masks[0]), last=len(masks) - 1)
        finally:
            # A camera that went on would play into the next clip.
            status = self._processes.stop('camera_node')
        assert status == 0, self._processes.log('camera_node')
        # The next clip starts at the same stamps.
        self.robot.reset()
        numbers = sorted(self._found)
        score = score_sequence([masks[k] for k in numbers], [self._found[k] for k in numbers])
        return Outcome(score.region, score.boundary, len(numbers), answer)

    def _prompt_and_watch(self, prompt: ObjectPrompt, *, last: int) -> ObjectAnswer:
        self._wait(lambda: self._first)
        self.robot.call('add_objects', AddObjects.Request(header=self._first.header, prompts=[prompt]))
        self._wait(lambda: last in self._found)
        return self.robot.describe('target')

    def _wait(self, condition: Callable[[], object]) -> None:
        with self._news:
            assert self._news.wait_for(condition, WAIT_S), self._processes.log('pixelrefer_node')

    def _on_image(self, message: Image) -> None:
        with self._news:
            self._first = self._first or message
            self._news.notify_all()

    def _on_tracked(self, labels: Image, objects: TrackedObjectArray) -> None:
        number = round((to_ns(labels.header.stamp) / NANOSECONDS - START_S) * RATE_HZ)
        with self._news:
            for item in objects.objects:
                self._found[number] = from_label_image(labels) == item.label_value
            self._news.notify_all()
