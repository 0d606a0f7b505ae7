"""The newest frames of the stream, held so that a prompt may refer to one of them by its stamp."""

from __future__ import annotations

from collections import deque

from .errors import NoImageError, StaleImageError
from .settings import WindowSettings
from .types import NANOSECONDS, Frame

# A prompt belongs to the frame nearest to its stamp, if that is no farther than this.
STAMP_TOLERANCE_NS = NANOSECONDS // 10


class RecentFrames:
    """A ring of frames of one size, bounded in number and in bytes."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def newest(self) -> Frame:
        """The newest frame. Raises :class:`NoImageError` before the first."""
        if not self._frames:
            raise NoImageError('no image has arrived yet: check the image topic and its QoS')
        return self._frames[-1]

    def append(self, frame: Frame, settings: WindowSettings) -> None:
        """Add the newest frame and drop what no longer fits."""
        self._frames.append(frame)
        room = max(1, min(settings.recent_frames, settings.recent_mb * 1_000_000 // frame.image.nbytes))
        while len(self._frames) > room:
            self._frames.popleft()

    def since(self, stamp_ns: int) -> list[Frame]:
        """Return the frame of that stamp (0 = the newest) and all that followed it, oldest first.

        Raises :class:`NoImageError` or :class:`StaleImageError`.
        """
        newest, frames = self.newest, list(self._frames)
        if not stamp_ns:
            return [newest]
        nearest = min(range(len(frames)), key=lambda index: abs(frames[index].stamp_ns - stamp_ns))
        if abs(frames[nearest].stamp_ns - stamp_ns) > STAMP_TOLERANCE_NS:
            oldest_s, newest_s = frames[0].stamp_ns / NANOSECONDS, newest.stamp_ns / NANOSECONDS
            raise StaleImageError(
                f'no image of {stamp_ns / NANOSECONDS:.3f} s is held, only {oldest_s:.3f} s to {newest_s:.3f} s; '
                'use stamp 0 for the newest'
            )
        return frames[nearest:]

    def clear(self) -> None:
        """Drop all frames."""
        self._frames.clear()
