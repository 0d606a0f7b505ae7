"""The object tokens of the recent past, a bounded ring per object.

Tokens are made while tracking, never at question time: for PixelRefer-Lite they depend on the frame and the mask
alone, so this is exact and a question costs prefill and decoding only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from .errors import ObjectNeverSeenError, WindowEmptyError
from .settings import WindowSettings
from .types import NANOSECONDS, Frame, ObjectTokens, ObjectView, TimeWindow, TrackedObject

Encode = Callable[[Sequence[ObjectView]], Sequence[ObjectTokens]]


class ObjectMemory:
    """Ring buffers of :class:`ObjectTokens`, keyed by object id and ordered by stamp."""

    def __init__(self, settings: WindowSettings, encode: Encode) -> None:
        self.settings = settings
        self._encode = encode
        self._rings: dict[str, deque[ObjectTokens]] = {}

    def observe(self, frame: Frame, objects: Sequence[TrackedObject]) -> None:
        """Make tokens, in one batch, of the objects that are visible on ``frame`` and due for a sample."""
        due = [item for item in objects if self._is_due(item, frame.stamp_ns)]
        if due:
            made = self._encode([ObjectView(frame, item.mask) for item in due])
            for item, tokens in zip(due, made, strict=True):
                self._rings.setdefault(item.object_id, deque()).append(tokens)
        for item in objects:
            self._evict(item.object_id, frame.stamp_ns)

    def select(self, object_id: str, window: TimeWindow) -> tuple[ObjectTokens, ...]:
        """Return the object-frames inside a window, oldest first, spread evenly when there are too many.

        Raises :class:`ObjectNeverSeenError` or :class:`WindowEmptyError`.
        """
        ring = self._rings.get(object_id)
        if not ring:
            raise ObjectNeverSeenError(
                f'{object_id} was never visible with {self.settings.minimum_area_px} pixels or more: prompt it anew'
            )
        inside = [
            tokens
            for tokens in ring
            if (window.start_ns is None or tokens.stamp_ns >= window.start_ns)
            and (window.end_ns is None or tokens.stamp_ns <= window.end_ns)
        ]
        if not inside:
            first, last = ring[0].stamp_ns / NANOSECONDS, ring[-1].stamp_ns / NANOSECONDS
            raise WindowEmptyError(
                f'{object_id} has no frame in the window; it is held from {first:.3f} s to {last:.3f} s'
            )
        limit = min(window.max_frames or self.settings.max_frames, len(inside))
        # Always with the newest; the oldest too when there is more than one.
        last = len(inside) - 1
        chosen = [last] if limit == 1 else [round(k * last / (limit - 1)) for k in range(limit)]
        return tuple(inside[index] for index in chosen)

    def count(self, object_id: str) -> int:
        """Object-frames that a question about this object would rest on."""
        return len(self._rings.get(object_id, ()))

    def forget(self, object_id: str) -> None:
        """Drop everything known of one object."""
        self._rings.pop(object_id, None)

    def clear(self) -> None:
        """Drop everything."""
        self._rings.clear()

    def _is_due(self, item: TrackedObject, stamp_ns: int) -> bool:
        if item.mask_area < self.settings.minimum_area_px:
            return False
        ring = self._rings.get(item.object_id)
        # Half a millisecond of slack: a 10 Hz camera must meet a 1 Hz sample rate on every tenth frame.
        period_ns = NANOSECONDS / self.settings.sample_rate_hz - 500_000
        return not ring or stamp_ns - ring[-1].stamp_ns >= period_ns

    def _evict(self, object_id: str, now_ns: int) -> None:
        ring = self._rings.get(object_id, deque())
        horizon_ns = now_ns - round(self.settings.duration_s * NANOSECONDS)
        # The last view stays: what has left the scene can still be asked about.
        while len(ring) > 1 and (len(ring) > self.settings.max_frames or ring[0].stamp_ns < horizon_ns):
            ring.popleft()
