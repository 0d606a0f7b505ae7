"""Lets a coroutine of an executor await work that another thread does, so that no callback ever waits."""

from __future__ import annotations

from collections.abc import Awaitable
from concurrent.futures import Future as ThreadFuture
from typing import TypeVar

from rclpy.executors import Executor
from rclpy.task import Future

Result = TypeVar('Result')


def awaitable(work: ThreadFuture[Result], executor: Executor) -> Awaitable[Result]:
    """Return a future of ``executor`` that ends as ``work`` does, with its result or its exception."""
    future: Future = Future(executor=executor)

    def settle() -> None:
        error = work.exception()
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(work.result())

    # create_task also wakes the executor, which set_result alone would not.
    work.add_done_callback(lambda _: executor.create_task(settle))
    return future
