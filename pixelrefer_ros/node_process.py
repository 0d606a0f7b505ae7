"""A node as a process of its own, as a user starts it, with a log."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_S = 20.0


def parameter_arguments(values: Mapping[str, object]) -> list[str]:
    """What sets these parameters on the command line of a node."""
    return [
        part
        for name, value in values.items()
        for part in ('-p', f'{name}:={str(value).lower() if isinstance(value, bool) else value}')
    ]


class NodeProcess:
    """Runs from the moment it is made. What it says is appended to ``log``.

    ``name``: a node of this package. ``arguments``: behind ``--ros-args``. ``program``: one that is a node, instead of
    the package's own. ``environment``: all of it; None = as here. ``folder``: to run in; ``-m`` puts it on the path.
    """

    def __init__(
        self,
        name: str,
        log: Path,
        arguments: Sequence[str] = (),
        *,
        program: Path | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        what = [str(program)] if program else ['-m', f'pixelrefer_ros.{name}']
        command = [sys.executable, *what, '--ros-args', *arguments]
        with log.open('ab') as sink:
            self._process = subprocess.Popen(
                command, stdout=sink, stderr=subprocess.STDOUT, env=environment, cwd=folder
            )

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def stop(self, timeout_s: float = STOP_S) -> int:
        """Interrupt it, as Ctrl-C does, and return its exit status: -9 when it had to be killed after ``timeout_s``."""
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return self.crash()

    def crash(self) -> int:
        """Kill it; it gets no word in. Returns its exit status."""
        self._process.kill()
        return self._process.wait()
