"""The life of a process with one node: start, spin, end cleanly on SIGINT and SIGTERM."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node

from pixelrefer_core.errors import PixelReferError, SettingError


class ClosableNode(Protocol):
    """A node with threads of its own, which it ends in ``close``."""

    def close(self) -> None:
        """Stop every thread; called once, while the node still exists."""
        ...


def run(make_node: Callable[[], Node], args: Sequence[str] | None = None, *, threads: int = 4) -> int:
    """Spin a node until it is told to stop. Returns the exit status: 2 when its parameters are wrong."""
    rclpy.init(args=args)
    try:
        node = make_node()
    except (SettingError, PixelReferError) as error:
        print(error, file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    executor = MultiThreadedExecutor(num_threads=threads)
    executor.add_node(node)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # the two ways in which a node is told to stop
    finally:
        node.close()
        executor.shutdown(timeout_sec=2.0)
        node.destroy_node()
        rclpy.try_shutdown()
    return 0
