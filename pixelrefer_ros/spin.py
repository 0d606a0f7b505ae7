"""The life of a process with one node: start, spin, end cleanly on SIGINT and SIGTERM."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidHandle
from rclpy.executors import (
    Executor,
    ExternalShutdownException,
    MultiThreadedExecutor,
    SingleThreadedExecutor,
)
from rclpy.node import Node
from rclpy.signals import uninstall_signal_handlers

from pixelrefer_core.errors import PixelReferError, SettingError
from pixelrefer_ros.free_memory import GIVE_BACK_EVERY_S, give_back_memory, share_heaps

log = logging.getLogger(__name__)


class ClosableNode(Protocol):
    """A node with threads of its own, which it ends in ``close``."""

    def close(self) -> None:
        """Stop every thread; called once, while the node still exists."""
        ...


def run(make_node: Callable[[], Node], args: Sequence[str] | None = None, *, threads: int = 4) -> int:
    """Spin a node until it is told to stop. Returns the exit status: 2 when its parameters are wrong."""
    share_heaps()
    rclpy.init(args=None if args is None else list(args))
    try:
        node = make_node()
    except (SettingError, PixelReferError) as error:
        print(error, file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    steady = Clock(clock_type=ClockType.STEADY_TIME)
    node.create_timer(GIVE_BACK_EVERY_S, give_back_memory, MutuallyExclusiveCallbackGroup(), clock=steady)
    executor = MultiThreadedExecutor(num_threads=threads) if threads > 1 else SingleThreadedExecutor()
    executor.add_node(node)
    try:
        spin(executor)
    finally:
        # Joins the thread of rclpy that heard the signal: it may still be waking guards that are destroyed below.
        uninstall_signal_handlers()
        node.close()
        executor.shutdown(timeout_sec=2.0)
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def spin(executor: Executor) -> None:
    """Spin until the context is shut down or SIGINT comes, whatever callbacks raise."""
    while True:
        try:
            executor.spin()
            return
        except (KeyboardInterrupt, ExternalShutdownException):
            return  # the two ways in which a node is told to stop
        except InvalidHandle:
            continue  # a subscription was destroyed while the executor waited for it, which is no fault
        except Exception:
            # What rclpy's own callbacks raise (an action's goal that expires while it runs, say) ends spin; a robot
            # needs the node all the same.
            log.exception('a callback failed; the node goes on')
