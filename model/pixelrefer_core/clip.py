"""Recorded pictures as a stream of frames: a folder of images, a video file, or a ROS 2 bag."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2

from .clip_depth import ClipDepth, open_depth
from .errors import InvalidImageError
from .images import decode_compressed, to_rgb, view_pixels
from .types import NANOSECONDS, Frame

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm')
BAG_SUFFIXES = ('.mcap', '.db3')
_BAG_TYPES = {'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'}


class Clip(Protocol):
    """A source that can be played any number of times from the start."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order, stamped with the time of the source."""
        ...


def open_clip(
    path: str | Path, *, folder_rate_hz: float = 10.0, topic: str = '', with_depth: bool = False
) -> Clip:
    """Open a folder of images, a video file, or a rosbag2 (its folder, or the .mcap / .db3 file).

    ``folder_rate_hz`` stamps the images of a folder, which carry no time: image k at k / rate seconds.
    ``topic`` chooses among several image topics of a bag. ``with_depth``: the frames of a folder carry the depth that
    lies beside them, if any does (:mod:`.clip_depth`). Raises :class:`InvalidImageError` when the path holds no
    pictures, and what :func:`open_depth` raises.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InvalidImageError(f'{path} does not exist; give a folder of images, a video file or a bag')
    if path.is_dir():
        if (path / 'metadata.yaml').exists() or any(path.glob('*.mcap')):
            return BagClip(path, topic)
        frames = path / 'frames'
        depth = open_depth(path) if with_depth else None
        return FolderClip(frames if frames.is_dir() else path, folder_rate_hz, depth)
    if path.suffix.lower() in BAG_SUFFIXES:
        return BagClip(path, topic)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return VideoClip(path)
    known = ', '.join(VIDEO_SUFFIXES + BAG_SUFFIXES)
    raise InvalidImageError(f'{path.name} is no known kind of clip; use a folder of images, or {known}')


@dataclass(frozen=True)
class FolderClip:
    """Images of one folder in the order of the numbers in their names."""

    folder: Path
    rate_hz: float
    depth: ClipDepth | None = None

    def __post_init__(self) -> None:
        if not self.files():
            raise InvalidImageError(f'{self.folder} holds no images ({", ".join(IMAGE_SUFFIXES)})')

    def files(self) -> list[Path]:
        """The image files, frame 2 before frame 10."""
        files = [file for file in self.folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
        return sorted(
            files,
            key=lambda file: [
                int(part) if part.isdigit() else part for part in re.split(r'(\d+)', file.name)
            ],
        )

    def __iter__(self) -> Iterator[Frame]:
        for index, file in enumerate(self.files()):
            try:
                image = decode_compressed(file.read_bytes())
            except InvalidImageError as error:
                raise InvalidImageError(f'{file}: {error}') from error
            depth = self.depth.of(file) if self.depth else None
            yield Frame(image, round(index * NANOSECONDS / self.rate_hz), depth=depth)


@dataclass(frozen=True)
class VideoClip:
    """A video file, stamped with the presentation times in it."""

    file: Path

    def __post_init__(self) -> None:
        if next(iter(self), None) is None:
            raise InvalidImageError(f'{self.file} cannot be read as a video')

    def __iter__(self) -> Iterator[Frame]:
        capture = cv2.VideoCapture(str(self.file))
        try:
            while True:
                ok, image = capture.read()
                if not ok:
                    return
                stamp_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
                yield Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), stamp_ns)  # type: ignore[arg-type]
        finally:
            capture.release()


@dataclass(frozen=True)
class BagClip:
    """Images of one topic of a rosbag2 (sqlite3 or mcap), stamped with their headers."""

    path: Path
    topic: str

    def __post_init__(self) -> None:
        with self._reader() as reader:
            self._connections(reader)

    def __iter__(self) -> Iterator[Frame]:
        with self._reader() as reader:
            for connection, _, data in reader.messages(connections=self._connections(reader)):
                yield _bag_frame(reader.deserialize(data, connection.msgtype))

    def _reader(self) -> Any:
        # Imported here: only bags need the package.
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore

        return AnyReader([self.path], default_typestore=get_typestore(Stores.ROS2_JAZZY))

    def _connections(self, reader: Any) -> list[Any]:
        images = [connection for connection in reader.connections if connection.msgtype in _BAG_TYPES]
        topics = sorted({connection.topic for connection in images})
        if self.topic and self.topic not in topics:
            raise InvalidImageError(f'{self.path} has no image topic {self.topic}; it has {topics or "none"}')
        if not self.topic and len(topics) != 1:
            raise InvalidImageError(f'{self.path} has {len(topics)} image topics {topics}: name one')
        return [connection for connection in images if connection.topic == (self.topic or topics[0])]


def _bag_frame(message: Any) -> Frame:
    header = message.header
    if 'Compressed' in type(message).__name__:
        image = decode_compressed(message.data)
    else:
        pixels = view_pixels(
            message.data,
            height=message.height,
            width=message.width,
            encoding=message.encoding,
            step=message.step,
            is_bigendian=bool(message.is_bigendian),
        )
        image = to_rgb(pixels, message.encoding)
    return Frame(image, header.stamp.sec * NANOSECONDS + header.stamp.nanosec, header.frame_id)
