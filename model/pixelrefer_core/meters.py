"""Counters and rates of the device thread."""

from __future__ import annotations

import time
from collections import Counter, deque

from .errors import ErrorCode
from .types import WorkerStatistics

# Rates and latencies are means over this many frames.
RECENT = 30


class RateMeter:
    """Rate of events over the last :data:`RECENT` of them, Hz of the monotonic clock."""

    def __init__(self) -> None:
        self._times_s: deque[float] = deque(maxlen=RECENT)

    def tick(self) -> None:
        """Count one event now."""
        self._times_s.append(time.monotonic())

    @property
    def age_s(self) -> float:
        """Seconds since the last event; infinite before the first."""
        return time.monotonic() - self._times_s[-1] if self._times_s else float('inf')

    @property
    def rate_hz(self) -> float:
        """Events per second; it falls when they stop coming."""
        if len(self._times_s) < 2:
            return 0.0
        mean_s = (self._times_s[-1] - self._times_s[0]) / (len(self._times_s) - 1)
        # A stream that stopped: the silence counts once it is longer than a usual gap.
        return 1.0 / max(mean_s, self.age_s if self.age_s > 2 * mean_s else 0.0, 1e-6)


class WorkerMeter:
    """What the worker has done so far."""

    def __init__(self) -> None:
        self._frames = RateMeter()
        self._tracks = RateMeter()
        self._latency_s: deque[float] = deque(maxlen=RECENT)
        self._offered = self._tracked = self._dropped = self._answers = 0
        self._failures: Counter[int] = Counter()

    def offered(self, *, dropped: bool) -> None:
        """Count a frame that arrived, and the one that it replaced."""
        self._frames.tick()
        self._offered += 1
        self._dropped += dropped

    def tracked(self, seconds: float) -> None:
        """Count a tracked frame that took so many seconds."""
        self._tracks.tick()
        self._tracked += 1
        self._latency_s.append(seconds)

    @property
    def period_s(self) -> float:
        """Seconds from one image to the next; infinite while none come."""
        rate_hz = self._frames.rate_hz
        return 1.0 / rate_hz if rate_hz else float('inf')

    @property
    def latency_s(self) -> float:
        """Seconds that an image takes the device, mean of the recent ones; 0 before the first."""
        return sum(self._latency_s) / len(self._latency_s) if self._latency_s else 0.0

    def answered(self) -> None:
        """Count an answer."""
        self._answers += 1

    def failed(self, code: ErrorCode = ErrorCode.UNKNOWN) -> None:
        """Count a failure of a frame or a request."""
        self._failures[int(code)] += 1

    def read(self, *, queued: int) -> WorkerStatistics:
        """Freeze the counters; ``queued``: questions waiting now."""
        return WorkerStatistics(
            frames_offered=self._offered,
            frames_tracked=self._tracked,
            frames_dropped=self._dropped,
            frame_rate_hz=self._frames.rate_hz,
            frame_age_s=self._frames.age_s,
            track_rate_hz=self._tracks.rate_hz,
            track_latency_s=self.latency_s,
            queued_queries=queued,
            answers=self._answers,
            failures=sum(self._failures.values()),
            failures_by_code=dict(self._failures),
        )


def device_memory_bytes(device: str) -> int:
    """Bytes that this process holds on an accelerator; 0 on a CPU."""
    if not device.startswith('cuda'):
        return 0
    import torch

    return torch.cuda.memory_allocated(device)
