"""Brings together messages of several topics that carry the same stamp."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from pixelrefer_ros.stamps import to_ns


class StampJoin:
    """Calls ``on_complete(**parts)`` once every named part of a stamp has arrived; thread-safe.

    At most ``limit`` incomplete stamps wait; then the oldest is dropped.
    """

    def __init__(self, parts: Sequence[str], on_complete: Callable[..., None], *, limit: int) -> None:
        self._parts = frozenset(parts)
        self._on_complete = on_complete
        self._limit = limit
        self._waiting: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, part: str, message: Any) -> None:
        """Take a message; ``part`` says which it is."""
        stamp_ns = to_ns(message.header.stamp)
        with self._lock:
            found = self._waiting.setdefault(stamp_ns, {})
            found[part] = message
            complete = found.keys() == self._parts
            if complete:
                del self._waiting[stamp_ns]
            while len(self._waiting) > self._limit:
                self._waiting.popitem(last=False)
        if complete:
            self._on_complete(**found)

    def clear(self) -> None:
        """Drop what waits."""
        with self._lock:
            self._waiting.clear()
