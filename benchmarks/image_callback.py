"""What does an image cost the thread that receives it, at 1280 x 720, while the device thread tracks?

The callback of the node is called as the executor does. Run it with the workspace sourced (scripts/env.sh).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from pixelrefer_core.cli.rows import print_rows
from pixelrefer_core.measuring import load_average
from pixelrefer_core.types import Prompt
from pixelrefer_ros.image_messages import to_image
from pixelrefer_ros.pixelrefer_node import PixelReferNode

HEIGHT, WIDTH = 720, 1280
CHANNELS = {'rgb8': 3, 'bgr8': 3, 'bgra8': 4, 'mono8': 1}


def messages() -> dict[str, Any]:
    """One image of noise in each encoding, and as JPEG."""
    made: dict[str, Any] = {}
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    for encoding, channels in CHANNELS.items():
        pixels = noise[..., :channels] if channels > 1 else noise[..., 0]
        made[encoding] = to_image(pixels, Header(), encoding)
    jpeg = cv2.imencode('.jpg', cv2.GaussianBlur(noise[..., :3], (0, 0), 3))[1]
    made['jpeg'] = CompressedImage(format='jpeg', data=jpeg.tobytes())
    return made


def times_ms(node: PixelReferNode, message: Any, images: int, rate_hz: float, first: int) -> np.ndarray:
    """Milliseconds (N, 2) of wall clock and of this thread's CPU, for so many images at a camera's pace."""
    taken = []
    for index in range(images):
        message.header.stamp = _stamp((first + index) / rate_hz)
        wall_s, cpu_s = time.perf_counter(), time.thread_time()
        node._on_image(message)
        taken.append((time.perf_counter() - wall_s, time.thread_time() - cpu_s))
        time.sleep(1 / rate_hz)
    return np.array(taken) * 1e3


def _stamp(seconds: float) -> Time:
    return Time(sec=1 + int(seconds), nanosec=int(seconds % 1 * 1e9))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every encoding and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=150, help='of each encoding')
    parser.add_argument('--rate', type=float, default=30.0, help='images per second')
    options = parser.parse_args(arguments)
    rclpy.init(args=[])
    node = PixelReferNode(
        parameter_overrides=[Parameter(name, value=value) for name, value in _parameters().items()]
    )
    node.trigger_configure()
    node.trigger_activate()
    try:
        rows = [
            _row(node, name, message, index, options)
            for index, (name, message) in enumerate(messages().items())
        ]
    finally:
        node.close()
        node.destroy_node()
        rclpy.shutdown()
    print_rows(rows)
    print(f'load average {load_average()}')
    return 0


def _parameters() -> dict[str, Any]:
    return {'autostart': False, 'model.device': 'cpu', 'model.threads': 1}


def _row(
    node: PixelReferNode, name: str, message: Any, index: int, options: argparse.Namespace
) -> dict[str, Any]:
    first = (index + 1) * (options.images + 1)
    message.header.stamp = _stamp((first - 1) / options.rate)
    node._on_image(message)
    _track_one(node)
    before = node._worker.statistics()
    taken = times_ms(node, message, options.images, options.rate, first)
    after = node._worker.statistics()
    wall, cpu = taken.T
    return {
        'encoding': name,
        'p50 ms': round(float(np.median(wall)), 3),
        'p95 ms': round(float(np.quantile(wall, 0.95)), 3),
        'cpu p50 ms': round(float(np.median(cpu)), 3),
        'tracked': after.frames_tracked - before.frames_tracked,
        'dropped': after.frames_dropped - before.frames_dropped,
    }


def _track_one(node: PixelReferNode) -> None:
    """Give the device thread something to do: one object."""
    prompt = Prompt('thing', box_xyxy=(400, 200, 700, 500))
    add = node._worker.call(
        lambda engine: engine.add_objects([prompt], replace_existing=True), patience_s=20.0
    )
    add.result(30.0)


if __name__ == '__main__':
    raise SystemExit(main())
