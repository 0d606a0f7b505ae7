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
        """Say it: at every step on a terminal, else now and then. ``total`` 0 = nobody knows."""
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        if not terminal and now - self._said < _QUIET_S:
            return
        self._said = now
        spent_s = now - self._start
        rest = f'of {total}, {spent_s / done * (total - done):.0f} s left' if total else f'in {spent_s:.0f} s'
        start, end = ('\r', '\n' if done == total else ' ') if terminal else ('', '\n')
        print(f'{start}{self._word} {done} {rest}', end=end, file=sys.stderr, flush=True)
