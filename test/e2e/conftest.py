"""Starts the nodes as a user does: as processes of their own, on a domain of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

try:
    import rclpy  # noqa: F401
except ImportError:
    collect_ignore_glob = ['test_*.py']
    print('test/e2e is skipped: rclpy is not installed (scripts/setup brings it)')

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get('PIXELREFER_TEST_DATA', ROOT.parent / 'shared' / 'data'))
DEMO_CLIP = ROOT / 'config' / 'demo_clip'
STOP_S = 20


class Processes:
    """Node processes with their logs; each must end with status 0 when it is interrupted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, **parameters: object) -> None:
        """Start a node; '.' in a parameter's name is written as '__'."""
        assert name not in self._running, f'{name} is running already'
        settings = [
            part
            for key, value in parameters.items()
            for part in (
                '-p',
                f'{key.replace("__", ".")}:={str(value).lower() if isinstance(value, bool) else value}',
            )
        ]
        command = [sys.executable, '-m', f'pixelrefer_ros.{name}', '--ros-args', *settings]
        log = (self.folder / f'{name}.log').open('wb')
        self._running[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def stop(self, name: str) -> int:
        """Interrupt a node and return its exit status."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGINT)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f'{name} did not stop within {STOP_S} s\n{self.log(name)}') from None

    def log(self, name: str) -> str:
        return (self.folder / f'{name}.log').read_text()

    def kill(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


@pytest.fixture
def processes(tmp_path) -> Iterator[Processes]:
    running = Processes(tmp_path)
    yield running
    running.kill()


@pytest.fixture(scope='module')
def session(tmp_path_factory):
    """A node, and a client that plays clips to it."""
    from .tracking import Session

    running = Processes(tmp_path_factory.mktemp('session'))
    try:
        session = Session(running)
        yield session
        session.close()
    finally:
        running.kill()


@pytest.fixture(scope='session')
def real_clips() -> Path:
    if not (DATA / 'davis').is_dir():
        pytest.skip(f'no real clips at {DATA}: set PIXELREFER_TEST_DATA to a folder with davis/ in it')
    return DATA
