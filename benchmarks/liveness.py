"""Does tracking keep the camera's pace while an answer is written, and how fast does an answer begin and stop?

The node runs as a process of its own; this one is camera and client. Source scripts/env.sh before.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from pixelrefer_core.cli.rows import print_rows
from pixelrefer_core.clip import open_clip
from pixelrefer_core.measuring import load_average
from pixelrefer_ros import qos
from pixelrefer_ros.client import PixelReferClient
from pixelrefer_ros.image_messages import to_image
from pixelrefer_ros.msg import GenerationOptions, TrackedObjectArray

CLIP = Path(__file__).resolve().parents[1] / 'config' / 'demo_clip'
BALL = (98, 113, 38, 38)
LONG = GenerationOptions(max_new_tokens=2000)


class Camera:
    """Publishes images at a steady rate and notes when their objects come back."""

    def __init__(self, robot: PixelReferClient, rate_hz: float) -> None:
        self.node, self.rate_hz = robot.node, rate_hz
        self.images = [frame.image for frame in open_clip(CLIP)]
        self.sent: dict[tuple[int, int], float] = {}
        self.late_s: list[float] = []
        self.publisher = self.node.create_publisher(Image, 'image', qos.image('reliable'))
        self.node.create_subscription(TrackedObjectArray, 'objects', self._on_objects, qos.results())
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop publishing."""
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        due_s = time.monotonic()
        while True:
            image = self.images[len(self.sent) % len(self.images)]
            stamp = self.node.get_clock().now().to_msg()
            self.sent[stamp.sec, stamp.nanosec] = time.monotonic()
            self.publisher.publish(to_image(image, Header(stamp=stamp), 'rgb8'))
            due_s = max(due_s + 1 / self.rate_hz, time.monotonic() - 1.0)
            if self._ends.wait(max(0.0, due_s - time.monotonic())):
                return

    def _on_objects(self, message: TrackedObjectArray) -> None:
        sent_s = self.sent.get((message.header.stamp.sec, message.header.stamp.nanosec))
        if sent_s is not None:
            self.late_s.append(time.monotonic() - sent_s)


@contextmanager
def running_node() -> Iterator[None]:
    """A node with random weights, ended afterwards."""
    command = [
        sys.executable,
        '-m',
        'pixelrefer_ros.pixelrefer_node',
        '--ros-args',
        '-p',
        'model.device:=cpu',
    ]
    process = subprocess.Popen([*command, '-p', 'model.threads:=1'], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def phase(name: str, camera: Camera, seconds: float, busy: Callable[[float], None]) -> dict[str, Any]:
    """Let ``busy`` do its work for so long; return what became of the images meanwhile."""
    sent, camera.late_s = len(camera.sent), []
    busy(time.monotonic() + seconds)
    late_ms = np.array(camera.late_s) * 1e3
    return {
        'phase': name,
        'sent': len(camera.sent) - sent,
        'tracked': len(late_ms),
        'image to track p50 ms': round(float(np.median(late_ms)), 1),
        'p95 ms': round(float(np.quantile(late_ms, 0.95)), 1),
    }


def write_until(robot: PixelReferClient, first_s: list[float], stop_s: list[float], ends_s: float) -> None:
    """Keep the node writing; note how long each answer takes to begin and, cancelled, to stop."""
    while time.monotonic() < ends_s:
        asked_s = time.monotonic()
        stream = robot.stream(['thing'], 'What happens?', options=LONG, timeout_s=600.0)
        pieces = iter(stream)
        next(pieces)
        first_s.append(time.monotonic() - asked_s)
        for _ in pieces:
            if time.monotonic() > min(asked_s + 1.0, ends_s):
                break
        cancelled_s = time.monotonic()
        stream.cancel()
        stream.wait()
        stop_s.append(time.monotonic() - cancelled_s)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both phases in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=8.0, help='of each phase')
    parser.add_argument('--turns', type=int, default=2, help='of both phases')
    parser.add_argument('--rate', type=float, default=10.0, help='images per second')
    options = parser.parse_args(arguments)
    first_s: list[float] = []
    stop_s: list[float] = []
    rows = []
    with running_node(), PixelReferClient(timeout_s=60.0) as robot:
        camera = Camera(robot, options.rate)
        robot.wait_until_ready()
        robot.add_object('thing', box=BALL)
        for _ in range(options.turns):
            rows.append(
                phase('silent', camera, options.seconds, lambda end: time.sleep(end - time.monotonic()))
            )
            rows.append(
                phase(
                    'writing', camera, options.seconds, lambda end: write_until(robot, first_s, stop_s, end)
                )
            )
        camera.close()
    print_rows(rows)
    for name, taken in (('question to first text', first_s), ('cancel to result', stop_s)):
        p50, p95 = np.quantile(taken, [0.5, 0.95]) * 1e3
        print(f'{name}: p50 {p50:.0f} ms, p95 {p95:.0f} ms over {len(taken)}')
    print(f'load average {load_average()}')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
