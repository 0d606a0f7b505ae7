"""One thread that owns a detector. Images wait in a slot of one, the newest wins; it looks at a bounded rate."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from .detector import Detector
from .errors import PixelReferError
from .types import Detection, Frame

log = logging.getLogger(__name__)

# An image or a detector that is at fault again and again is said so this often.
WARN_EVERY_S = 5.0


@dataclass(frozen=True)
class Search:
    """What to look for. ``words``: none = images are let go unseen. ``rate_hz``: most images a second."""

    words: tuple[str, ...]
    threshold: float
    rate_hz: float


@dataclass(frozen=True)
class DetectorStatistics:
    """Images offered, looked at, replaced by a newer one, and failed; ``latency_s``: of the last look.

    ``frame_age_s``: since the last image was offered, infinite before the first.
    """

    frames_offered: int = 0
    frames_seen: int = 0
    frames_dropped: int = 0
    failures: int = 0
    latency_s: float = 0.0
    frame_age_s: float = math.inf


class DetectorWorker:
    """Runs a detector on a thread of its own.

    ``build`` is called on that thread. ``search``: asked before each look. ``on_detections``: gets each image with what
    was seen, nothing included, on the worker's thread.
    """

    def __init__(
        self,
        build: Callable[[], Detector],
        *,
        search: Callable[[], Search],
        on_detections: Callable[[Frame, list[Detection]], None],
    ) -> None:
        self._build = build
        self._search = search
        self._on_detections = on_detections
        self._wake = threading.Condition()
        self._make_frame: Callable[[], Frame] | None = None
        self._stopping = False
        self._looked_s = self._warned_s = self._offered_s = -math.inf
        self._offered = self._seen = self._dropped = self._failed = 0
        self._latency_s = 0.0
        self._ready: Future[Detector] = Future()
        self._thread = threading.Thread(target=self._run, name='detector', daemon=True)

    def start(self) -> Future[Detector]:
        """Start the thread; the future ends with the detector once it is built, or with the reason why not."""
        self._thread.start()
        return self._ready

    def stop(self, timeout_s: float = 10.0) -> bool:
        """End the thread. False when it did not end within ``timeout_s``."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def offer(self, make_frame: Callable[[], Frame]) -> None:
        """Leave an image; it replaces one that still waits, which is then never decoded. Returns at once."""
        with self._wake:
            self._offered += 1
            self._offered_s = time.monotonic()
            self._dropped += self._make_frame is not None
            self._make_frame = make_frame
            self._wake.notify()

    def drop_frame(self) -> None:
        """Take back an image that still waits."""
        with self._wake:
            self._make_frame = None

    def renew(self) -> None:
        """Ask for the search again: it has changed, and may be due earlier."""
        with self._wake:
            self._wake.notify()

    def statistics(self) -> DetectorStatistics:
        """Counters up to now."""
        with self._wake:
            return DetectorStatistics(
                frames_offered=self._offered,
                frames_seen=self._seen,
                frames_dropped=self._dropped,
                failures=self._failed,
                latency_s=self._latency_s,
                frame_age_s=time.monotonic() - self._offered_s,
            )

    def _run(self) -> None:
        try:
            detector = self._build()
        except Exception as error:
            # Whoever waits for the detector decides what this failure means.
            self._ready.set_exception(error)
            return
        self._ready.set_result(detector)
        while (work := self._next()) is not None:
            self._look(detector, *work)

    def _next(self) -> tuple[Callable[[], Frame], Search] | None:
        """Wait until there is an image and it is time to look; None when the thread shall end."""
        with self._wake:
            while not self._stopping:
                search = self._search()
                wait_s = self._looked_s + 1 / search.rate_hz - time.monotonic()
                if not search.words:
                    self._make_frame = None
                if self._make_frame is not None and wait_s <= 0:
                    make_frame, self._make_frame = self._make_frame, None
                    return make_frame, search
                self._wake.wait(wait_s if self._make_frame is not None else None)
            return None

    def _look(self, detector: Detector, make_frame: Callable[[], Frame], search: Search) -> None:
        self._looked_s = time.monotonic()
        try:
            frame = make_frame()
            found = detector.detect(frame, search.words, threshold=search.threshold)
            with self._wake:
                self._seen += 1
                self._latency_s = time.monotonic() - self._looked_s
            self._on_detections(frame, found)
        except PixelReferError as error:
            self._fail(f'image skipped: {error}')
        except Exception:
            self._fail('')
            log.exception('an image failed; the detector goes on with the next one')

    def _fail(self, text: str) -> None:
        with self._wake:
            self._failed += 1
        if text and self._looked_s - self._warned_s >= WARN_EVERY_S:
            self._warned_s = self._looked_s
            log.warning('%s', text)
