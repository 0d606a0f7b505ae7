"""Plays a clip as if it were a camera: a folder of images, a video file or a rosbag2, with true stamps.

A folder that has depth (:mod:`pixelrefer_core.clip_depth`) becomes a camera with depth.
"""

from __future__ import annotations

import array
import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import cv2
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from pixelrefer_core.clip import open_clip
from pixelrefer_core.errors import PixelReferError
from pixelrefer_core.images import encode_jpeg
from pixelrefer_core.settings import CameraSettings
from pixelrefer_core.types import NANOSECONDS, Frame
from pixelrefer_ros import qos
from pixelrefer_ros.image_messages import to_camera_info, to_image
from pixelrefer_ros.log_bridge import bridge_logging
from pixelrefer_ros.parameters import NodeParameters
from pixelrefer_ros.spin import run
from pixelrefer_ros.stamps import to_ns, to_time

log = logging.getLogger(__name__)
# In lockstep, nobody has said for so long that an image is done: the next one comes all the same.
LOCKSTEP_S = 20.0
_FROM_RGB = {'bgr8': cv2.COLOR_RGB2BGR, 'mono8': cv2.COLOR_RGB2GRAY}


class CameraNode(Node):
    """Publishes ``image`` and, if asked, ``image/compressed`` at the pace of a clip or at a rate of its own.

    ``depth/image`` and ``camera_info`` of the same stamp go before each image of a clip that has depth.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('camera_node', **kwargs)
        bridge_logging(self.get_logger())
        self.settings = NodeParameters(self, CameraSettings()).current
        self._clip = open_clip(
            self.settings.source,
            folder_rate_hz=self.settings.folder_rate_hz,
            topic=self.settings.topic,
            with_depth=self.settings.depth,
        )
        # A folder or a video counts from zero, but zero is no stamp in ROS.
        first = next(iter(self._clip))
        self._offset_ns = NANOSECONDS if first.stamp_ns < NANOSECONDS else 0
        profile = qos.image(self.settings.reliability, depth=10)
        self._raw = self.create_publisher(Image, 'image', profile)
        self._jpeg = None
        if self.settings.compressed:
            self._jpeg = self.create_publisher(CompressedImage, 'image/compressed', profile)
        self._depth = self._camera_info = None
        if first.depth is not None:
            self._depth = self.create_publisher(Image, 'depth/image', profile)
            self._camera_info = self.create_publisher(CameraInfo, 'camera_info', profile)
        self._stop = threading.Event()
        self._done = threading.Condition()
        self._done_ns = 0
        if self.settings.lockstep:
            self.create_subscription(Header, 'image_done', self._on_done, qos.results())
        # Frames are paced by a thread, since the gaps between them differ; publishing is thread-safe.
        self._player = threading.Thread(target=self._play, name='camera', daemon=True)
        self._player.start()

    def close(self) -> None:
        """Stop playing."""
        self._stop.set()
        with self._done:
            self._done.notify_all()
        self._player.join(5.0)

    def _play(self) -> None:
        try:
            self._wait_for_subscribers()
            count = 0
            for frame in self._paced(self._frames()):
                header = self._publish(frame)
                count += 1
                if self.settings.lockstep:
                    self._wait_until_done(to_ns(header.stamp))
            if not self._stop.is_set():
                log.info('end of %s after %d frames', self.settings.source, count)
        except PixelReferError as error:
            log.error('%s', error)
        except Exception:
            log.exception('the camera failed')

    def _wait_for_subscribers(self) -> None:
        while self._listeners() < self.settings.wait_for_subscribers and not self._stop.wait(0.05):
            pass

    def _listeners(self) -> int:
        jpeg = self._jpeg.get_subscription_count() if self._jpeg else 0
        return int(self._raw.get_subscription_count()) + jpeg

    def _frames(self) -> Iterator[Frame]:
        while True:
            yield from self._clip
            if not self.settings.loop:
                return

    def _paced(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Yield each frame when it is due. After a pause it goes on from there: no burst catches up."""
        due_s, last_ns = time.monotonic(), None
        for frame in frames:
            if last_ns is not None:
                due_s = max(due_s + self._gap_s(last_ns, frame.stamp_ns), time.monotonic() - 1.0)
            last_ns = frame.stamp_ns
            if self._stop.wait(max(0.0, due_s - time.monotonic())):
                return
            yield frame

    def _gap_s(self, last_ns: int, stamp_ns: int) -> float:
        if self.settings.rate_hz:
            return 1.0 / self.settings.rate_hz
        gap_s = (stamp_ns - last_ns) / NANOSECONDS
        # The step back at the start of a new round has no length of its own.
        return gap_s if gap_s > 0 else 1.0 / self.settings.folder_rate_hz

    def _on_done(self, header: Header) -> None:
        with self._done:
            self._done_ns = max(self._done_ns, to_ns(header.stamp))
            self._done.notify_all()

    def _wait_until_done(self, stamp_ns: int) -> None:
        with self._done:
            done = self._done.wait_for(lambda: self._done_ns >= stamp_ns or self._stop.is_set(), LOCKSTEP_S)
        if not done:
            log.warning('no image_done for %g s: the next image follows', LOCKSTEP_S)

    def _publish(self, frame: Frame) -> Header:
        stamp = to_time(self._offset_ns + frame.stamp_ns)
        if self.settings.stamps == 'now':
            stamp = self.get_clock().now().to_msg()
        header = Header(stamp=stamp, frame_id=frame.frame_id or self.settings.frame_id)
        if self._depth is not None and self._camera_info is not None and frame.depth is not None:
            self._camera_info.publish(to_camera_info(frame.depth.intrinsics, header))
            self._depth.publish(to_image(frame.depth.pixels, header, frame.depth.encoding))
        encoding = self.settings.encoding
        pixels = frame.image if encoding == 'rgb8' else cv2.cvtColor(frame.image, _FROM_RGB[encoding])
        self._raw.publish(to_image(pixels, header, encoding))
        if self._jpeg is not None:
            data = array.array('B', encode_jpeg(frame.image, self.settings.jpeg_quality))
            self._jpeg.publish(CompressedImage(header=header, format='rgb8; jpeg compressed bgr8', data=data))
        return header


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    return run(CameraNode, args, threads=1)


if __name__ == '__main__':
    sys.exit(main())
