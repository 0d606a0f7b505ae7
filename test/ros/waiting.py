"""Waits for a condition, not for seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], timeout_s: float = 60.0) -> object:
    """Return the first true value of a condition; fail after ``timeout_s``."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if value := condition():
            return value
        threading.Event().wait(0.01)
    raise AssertionError(f'not within {timeout_s:g} s: {condition}')
