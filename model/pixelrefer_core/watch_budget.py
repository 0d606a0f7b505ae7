"""How much of the device's time checking watches may take, so that tracking keeps the camera's pace. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .settings import WatchSettings

# Watches go on, slowly, also where tracking alone is too much for the device.
LEAST_SHARE = 0.02
# How fast the estimate of a check's cost follows what it costs now.
_FOLLOW = 0.3


@dataclass
class WatchBudget:
    """Says when the next batch of checks may begin, and how large it may be. Times in seconds of any steady clock."""

    settings: WatchSettings
    _next_s: float = 0.0
    _each_s: float = 0.0
    _last: int = 0
    _period_s: float = float('inf')
    _busy_s: float = 0.0

    def adapt(self, *, period_s: float, busy_s: float) -> None:
        """Note how often images come and how long the device works on each of them."""
        self._period_s, self._busy_s = period_s, busy_s

    def wait_s(self, now_s: float) -> float:
        """How long until the next batch may begin; 0 = at once."""
        return max(0.0, self._next_s - now_s)

    def size(self) -> int:
        """How many checks the next batch may hold: as many as will fit into a turn, at least one.

        A turn is no longer than the device is free between two images, so that none of these has to wait for two.
        """
        if not self._each_s:
            return 1
        turn_s = min(self.settings.turn_s, self._period_s - self._busy_s)
        # What a small batch cost says little about a large one.
        most = min(self.settings.batch, 2 * self._last)
        return max(1, min(most, int(turn_s / self._each_s)))

    def spent(self, start_s: float, seconds: float, count: int) -> None:
        """Note that a batch of ``count`` checks began at ``start_s`` and took so long."""
        each_s = seconds / count
        self._each_s = self._each_s + _FOLLOW * (each_s - self._each_s) if self._each_s else each_s
        self._last = count
        self._next_s = start_s + seconds / self._share()

    def _share(self) -> float:
        free = 1.0 - self._busy_s / self._period_s
        return max(LEAST_SHARE, min(self.settings.share, free))
