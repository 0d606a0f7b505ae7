"""Heaps as glibc counts them, and memory as /proc tells it, in processes of their own."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='needs glibc and /proc')
# Eight threads, all alive, that have each asked for memory; then what glibc says of each heap.
THREADS = """
import ctypes, threading
from pixelrefer_ros.free_memory import share_heaps
print(share_heaps(), flush=True)
together = threading.Barrier(9)
def work():
    held = bytearray(100_000)
    together.wait()
    together.wait()
for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
together.wait()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b'w'))
libc.malloc_info(0, out)
libc.fflush(out)
together.wait()
"""
# Blocks below the size that glibc maps apart, every second of them freed: no heap can shrink, half of it is free.
BLOCKS = """
from pathlib import Path
from pixelrefer_ros.free_memory import give_back_memory
def used_mb():
    return int(Path('/proc/self/statm').read_text().split()[1]) * 4096 / 1e6
held = [bytearray(b'x' * 50_000) for _ in range(2000)]
del held[::2]
before_mb = used_mb()
print(give_back_memory(), before_mb - used_mb())
"""


def run(program: str, **environment: str) -> str:
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ('MALLOC_ARENA_MAX', 'GLIBC_TUNABLES')
    }
    done = subprocess.run(
        [sys.executable, '-c', program],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ('environment', 'done', 'heaps'),
    [
        ({}, 'True', 1),
        ({'MALLOC_ARENA_MAX': '3'}, 'False', 3),
        ({'GLIBC_TUNABLES': 'glibc.malloc.arena_max=3'}, 'False', 3),
    ],
)
def test_threads_share_one_heap_unless_the_user_says_how_many(environment, done, heaps):
    said = run(THREADS, **environment)
    assert said.split('\n')[0] == done
    assert said.count('<heap nr') == heaps


def test_what_was_freed_between_what_lives_is_given_back():
    given, freed_mb = run(BLOCKS).split()
    assert given == 'True'
    # Of the 50 MB, all but the ends of pages.
    assert float(freed_mb) > 35
