"""Starts the nodes as a user does: as processes of their own, on a domain of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

try:
    import rclpy  # noqa: F401
except ImportError:
    collect_ignore_glob = ['test_*.py']
    print('test/e2e is skipped: rclpy is not installed (scripts/setup brings it)')
else:
    from pixelrefer_ros.node_process import STOP_S, NodeProcess, parameter_arguments

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get('PIXELREFER_TEST_DATA', ROOT.parent / 'shared' / 'data'))
DEMO_CLIP = ROOT / 'config' / 'demo_clip'


class Processes:
    """Node processes with their logs; each must end with status 0 when it is interrupted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, NodeProcess] = {}

    def start(self, name: str, *, program: Path | None = None, **parameters: object) -> None:
        """Start a node, or a ``program`` that is one; '.' in a parameter's name is written as '__'."""
        assert name not in self._running, f'{name} is running already'
        settings = {key.replace('__', '.'): value for key, value in parameters.items()}
        log = self.folder / f'{name}.log'
        log.unlink(missing_ok=True)
        self._running[name] = NodeProcess(name, log, parameter_arguments(settings), program=program)

    def stop(self, name: str) -> int:
        """Interrupt a node and return its exit status."""
        status = self._running.pop(name).stop()
        assert status != -signal.SIGKILL, f'{name} did not stop within {STOP_S:g} s\n{self.log(name)}'
        return status

    def crash(self, name: str) -> None:
        """Kill a node; it gets no word in."""
        self._running.pop(name).crash()

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def log(self, name: str) -> str:
        return (self.folder / f'{name}.log').read_text()

    def kill(self) -> None:
        for process in self._running.values():
            process.crash()


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
