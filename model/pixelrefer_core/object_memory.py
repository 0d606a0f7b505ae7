"""The object tokens of the recent past, a bounded ring per object.

Tokens are made while tracking, never at question time: for PixelRefer-Lite they depend on the frame and the mask
alone, so this is exact and a question costs prefill and decoding only. All objects are sampled on the same frames,
as in the training data; these share the encoder's view of the whole frame, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median

from .errors import ObjectNeverSeenError, WindowEmptyError
from .settings import WindowSettings
from .types import NANOSECONDS, Frame, ObjectTokens, ObjectView, TimeWindow, TrackedObject

# So many gaps between frames say how fast the camera is.
_GAPS = 8

Encode = Callable[[Sequence[ObjectView]], Sequence[ObjectTokens]]


class ObjectMemory:
    """Ring buffers of :class:`ObjectTokens`, keyed by object id and ordered by stamp."""

    def __init__(self, settings: WindowSettings, encode: Encode) -> None:
        self.settings = settings
        self._encode = encode
        self._rings: dict[str, deque[ObjectTokens]] = {}
        # Of the newest frames, and of the last one on which all objects were due.
        self._stamps_ns: deque[int] = deque(maxlen=_GAPS + 1)
        self._sampled_ns = 0

    def observe(self, frame: Frame, objects: Sequence[TrackedObject]) -> None:
        """Make tokens, in one batch, of the objects that are visible on ``frame``, if it is due for a sample.

        An object of which there are no tokens yet does not wait for that. The same frame may come again with
        other objects.
        """
        sampled = self._is_due(frame.stamp_ns)
        due = [
            item
            for item in objects
            if item.mask_area >= self.settings.minimum_area_px and self._wants(item.object_id, frame, sampled)
        ]
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

    def newest_ns(self, object_id: str) -> int:
        """Stamp of the newest object-frame that is held of an object; -1 when there is none."""
        ring = self._rings.get(object_id)
        return ring[-1].stamp_ns if ring else -1

    def forget(self, object_id: str) -> None:
        """Drop everything known of one object."""
        self._rings.pop(object_id, None)

    def clear(self) -> None:
        """Drop everything."""
        self._rings.clear()
        self._stamps_ns.clear()

    def _wants(self, object_id: str, frame: Frame, sampled: bool) -> bool:
        ring = self._rings.get(object_id)
        return not ring or (sampled and ring[-1].stamp_ns < frame.stamp_ns)

    def _is_due(self, stamp_ns: int) -> bool:
        """Tell whether this frame is the one nearest to a period after the last sample, and note it."""
        stamps_ns = self._stamps_ns
        if not stamps_ns:
            self._sampled_ns = stamp_ns
        if not stamps_ns or stamp_ns > stamps_ns[-1]:
            stamps_ns.append(stamp_ns)
            # Stamps jitter: half a gap too early is better than the next frame, more than half a gap too late.
            gaps_ns = [later - earlier for earlier, later in pairwise(stamps_ns)]
            slack_ns = median(gaps_ns) / 2 if gaps_ns else 0.0
            if stamp_ns - self._sampled_ns + slack_ns >= NANOSECONDS / self.settings.sample_rate_hz:
                self._sampled_ns = stamp_ns
        return self._sampled_ns == stamp_ns

    def _evict(self, object_id: str, now_ns: int) -> None:
        ring = self._rings.get(object_id, deque())
        horizon_ns = now_ns - round(self.settings.duration_s * NANOSECONDS)
        # The last view stays: what has left the scene can still be asked about.
        while len(ring) > 1 and (len(ring) > self.settings.max_frames or ring[0].stamp_ns < horizon_ns):
            ring.popleft()
