"""Real processes to break: a node, a camera, a client, their logs, their memory and their time on the processor."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from pixelrefer_core.errors import PixelReferError
from pixelrefer_ros.client import PixelReferClient, make_prompt
from pixelrefer_ros.node_process import NodeProcess, parameter_arguments

Found = TypeVar('Found')
# Starting a process takes most of it on a busy machine.
PATIENCE_S = 240.0
# Inside every clip that is played here.
OBJECT, BOX = 'thing', (40, 40, 60, 60)
_TICKS = os.sysconf('SC_CLK_TCK')
_PAGE = os.sysconf('SC_PAGE_SIZE')


class HangError(Exception):
    """Something did not come within :data:`PATIENCE_S`."""


@dataclass(frozen=True)
class Usage:
    """What a process holds and has used: ``rss_mb`` 10^6 bytes of memory, ``cpu_s`` seconds, threads."""

    rss_mb: float
    cpu_s: float
    threads: int


def usage_of(pid: int) -> Usage:
    """Read /proc."""
    # The name in brackets may hold blanks.
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS
    return Usage(int(fields[21]) * _PAGE / 1e6, cpu_s, int(fields[17]))


def wait_for(
    condition: Callable[[], Found],
    what: str,
    timeout_s: float = PATIENCE_S,
    *,
    say: Callable[[], str] = lambda: '',
) -> Found:
    """Return the first true value. Raises :class:`HangError`, with what ``say`` knows of the reason."""
    ends_s = time.monotonic() + timeout_s
    while time.monotonic() < ends_s:
        if value := condition():
            return value
        time.sleep(0.02)
    raise HangError(f'{what}: not within {timeout_s:g} s; {say()}')


class Stage:
    """A node and a camera as processes of their own, and a client in this one.

    ``camera``: the parameters of the camera that plays when nothing else is said. ``node``: those of the node.
    """

    def __init__(self, folder: Path, *, node: dict[str, Any], camera: dict[str, Any]) -> None:
        self.folder = folder
        self.robot = PixelReferClient(timeout_s=PATIENCE_S)
        self._node, self._camera = node, camera
        self._running: dict[str, NodeProcess] = {}
        self._lifecycle = self.robot.node.create_client(ChangeState, 'pixelrefer_node/change_state')
        self._parameters = self.robot.node.create_client(SetParameters, 'pixelrefer_node/set_parameters')

    def close(self) -> None:
        """End everything."""
        for name in tuple(self._running):
            self.stop(name)
        self.robot.close()

    def start(self, name: str, *, program: Path | None = None, **parameters: Any) -> None:
        """Start a node of the package, or a ``program`` that is one; what it says goes into its log."""
        # In a folder of its own: the current one is put on the path, and what lies there would be imported.
        self._running[name] = NodeProcess(
            name,
            self.folder / f'{name}.log',
            parameter_arguments(parameters),
            program=program,
            folder=self.folder,
        )

    def start_again(self) -> None:
        """Start node and camera afresh, whatever state they are in."""
        for name in tuple(self._running):
            self.crash(name)
        self.start_node()
        self.start_camera()

    def start_node(self, *, program: Path | None = None) -> None:
        """Start the node."""
        self.start('pixelrefer_node', program=program, **self._node)

    def start_camera(self, **parameters: Any) -> None:
        """Start the camera; what is given replaces what it plays otherwise."""
        self.start('camera_node', **{**self._camera, **parameters})

    def stop(self, name: str) -> int:
        """Interrupt a process and return its status; -9 when it had to be killed."""
        return self._running.pop(name).stop()

    def crash(self, name: str) -> None:
        """Kill a process; it gets no word in."""
        self._running.pop(name).crash()

    def is_alive(self, name: str) -> bool:
        """Whether a process that was started runs."""
        return name in self._running and self._running[name].is_alive

    def usage(self, name: str) -> Usage:
        """What a running process uses."""
        return usage_of(self._running[name].pid)

    def log_since(self, mark: int, name: str = 'pixelrefer_node') -> str:
        """What a process has said after :meth:`mark`."""
        return (self.folder / f'{name}.log').read_text(errors='replace')[mark:]

    def mark(self, name: str = 'pixelrefer_node') -> int:
        """How much a process has said."""
        file = self.folder / f'{name}.log'
        return len(file.read_text(errors='replace')) if file.is_file() else 0

    def reason(self, *words: str) -> str:
        """Wait until the node says one of these in its status; return the whole reason."""
        return wait_for(
            lambda: next(
                (self.robot.status.reason for word in words if word in self.robot.status.reason), ''
            ),
            f'a status with {words}',
        )

    def ready(self) -> None:
        """Wait until new images come and the object is tracked: what a user needs to go on."""
        before = self.robot.status.newest_image
        wait_for(
            lambda: self.robot.status.ready and self.robot.status.newest_image != before,
            'new images',
            say=lambda: self.robot.status.reason,
        )
        wait_for(self._is_tracked, 'an object that is tracked', say=lambda: self.robot.status.reason)

    def answered(self) -> str:
        """Ask, and return the answer: the proof that the node serves."""
        return self.robot.ask([OBJECT], 'What is <object1>?', timeout_s=PATIENCE_S).text

    def change(self, transition: str) -> bool:
        """Make a transition of the life cycle; False when it is refused or fails."""
        number = getattr(Transition, f'TRANSITION_{transition.upper()}')
        return bool(
            self._call(self._lifecycle, ChangeState.Request(transition=Transition(id=number))).success
        )

    def set_parameter(self, name: str, value: Any) -> None:
        """Change a parameter of the node."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        result = self._call(self._parameters, request).results[0]
        assert result.successful, result.reason

    def _is_tracked(self) -> bool:
        try:
            self.robot.add_objects([make_prompt(OBJECT, box=BOX)], replace_existing=True)
        except PixelReferError:
            return False
        return True

    def _call(self, client: Any, request: Any) -> Any:
        if not client.wait_for_service(PATIENCE_S):
            raise HangError(f'{client.srv_name} is not there')
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(PATIENCE_S):
            raise HangError(f'{client.srv_name} does not answer')
        return future.result()
