"""How far a long run is, on standard error."""

from __future__ import annotations

import sys
import time

# Seconds between lines of progress where there is no terminal to write over.
_QUIET_S = 30.0


class Progress:
    """Says how much is done and how long the rest will take."""

    def __init__(self, word: str) -> None:
        self._word, self._start, self._said = word, time.monotonic(), time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Say it: at every step on a terminal, else now and then."""
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        if not terminal and now - self._said < _QUIET_S:
            return
        self._said = now
        left_s = (now - self._start) / done * (total - done)
        end = '\n' if not terminal or done == total else ''
        start = '\r' if terminal else ''
        print(
            f'{start}{self._word} {done} of {total}, {left_s:.0f} s left ',
            end=end,
            file=sys.stderr,
            flush=True,
        )
