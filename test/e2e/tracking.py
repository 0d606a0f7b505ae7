"""Tracks one object of a clip over ROS, camera and node being other processes, and scores the masks."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from sensor_msgs.msg import Image

from pixelrefer_core.clip_objects import read_mask
from pixelrefer_core.segmentation_metrics import score_sequence
from pixelrefer_core.types import NANOSECONDS
from pixelrefer_ros import conversions, qos
from pixelrefer_ros.client import PixelReferClient, make_prompt
from pixelrefer_ros.msg import ObjectAnswer, TrackedObjectArray
from pixelrefer_ros.srv import AddObjects
from pixelrefer_ros.stamp_join import StampJoin

RATE_HZ = 10.0
START_S = 1.0


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
    import cv2

    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return make_prompt('target', points=[(x, y)])


def track_clip(processes, clip: Path, truth: Path, kind: str, *, play_hz: float) -> Outcome:
    """Play a clip once at ``play_hz``, prompt its first mask on the first image, score what is published."""
    masks = [read_mask(file) for file in sorted(truth.glob('*.png'))]
    found: dict[int, np.ndarray] = {}
    news = threading.Condition()
    first: list[Image] = []

    def on_image(message: Image) -> None:
        if not first:
            first.append(message)
            with news:
                news.notify_all()

    def on_tracked(labels: Image, objects: TrackedObjectArray) -> None:
        number = round((conversions.to_ns(labels.header.stamp) / NANOSECONDS - START_S) * RATE_HZ)
        (item,) = objects.objects or [None]
        if item is not None:
            with news:
                found[number] = conversions.from_label_image(labels) == item.label_value
                news.notify_all()

    processes.start('pixelrefer_node', generation__max_new_tokens=8, model__threads=1)
    with PixelReferClient() as robot:
        join = StampJoin(('labels', 'objects'), on_tracked, limit=100)
        robot.node.create_subscription(Image, 'image', on_image, qos.image('reliable'))
        robot.node.create_subscription(Image, 'label_image', partial(join.put, 'labels'), qos.results())
        robot.node.create_subscription(
            TrackedObjectArray, 'objects', partial(join.put, 'objects'), qos.results()
        )
        processes.start(
            'camera_node', source=clip, loop=False, stamps='source', folder_rate_hz=RATE_HZ, rate_hz=play_hz,
            wait_for_subscribers=2,
        )  # fmt: skip
        with news:
            assert news.wait_for(lambda: first, 60), processes.log('pixelrefer_node')
        request = AddObjects.Request(header=first[0].header, prompts=[prompt_of(kind, masks[0])])
        robot.call('add_objects', request)
        with news:
            assert news.wait_for(lambda: len(masks) - 1 in found, 60), processes.log('pixelrefer_node')
        answer = robot.describe('target')
    statuses = [processes.stop(name) for name in ('camera_node', 'pixelrefer_node')]
    assert statuses == [0, 0], processes.log('pixelrefer_node')
    numbers = sorted(found)
    score = score_sequence([masks[k] for k in numbers], [found[k] for k in numbers])
    return Outcome(score.region, score.boundary, len(numbers), answer)
