"""Memory that one thread has freed serves the next, and what serves nobody goes back to the system.

glibc gives threads heaps of their own, up to eight for each core, and keeps in each what was freed. A node has some
twenty threads: an image is received by any one of the executor's, used on the device thread, freed by whoever is last.
So each heap grows to the most that was ever asked of it, tens of megabytes that nobody uses, little by little, long
after the node has all it needs.
"""

from __future__ import annotations

import ctypes
import os

# Of <malloc.h>.
M_ARENA_MAX = -8
# Seldom: what is taken again at once costs a page fault for every 4 KiB.
GIVE_BACK_EVERY_S = 30.0


def share_heaps() -> bool:
    """Let threads that start from now on share the heaps that there are. Whether that was done.

    These are the first thread's, and those of what was started before: two of the middleware, by ``import rclpy``.
    Nothing is done where the environment says how many there shall be, or without glibc.
    """
    if 'MALLOC_ARENA_MAX' in os.environ or 'glibc.malloc.arena_max' in os.environ.get('GLIBC_TUNABLES', ''):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    return mallopt is not None and mallopt(M_ARENA_MAX, 1) == 1


def give_back_memory() -> bool:
    """Return the free pages of all heaps to the system; whether there were any. Without glibc, nothing."""
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    return trim is not None and trim(ctypes.c_size_t(0)) == 1
