"""Work in steps: a generator gives way between them, and hears there whether it shall end early.

Whoever drives it decides what happens in between: nothing, a frame, a more urgent question.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeAlias, TypeVar

from .types import FinishReason

Result = TypeVar('Result')

# It is sent a reason to end, or None to go on.
Steps: TypeAlias = Generator[None, FinishReason | None, Result]
ShouldStop = Callable[[], FinishReason | None]


def run_steps(steps: Steps[Result], should_stop: ShouldStop) -> Result:
    """Do all steps, asking ``should_stop`` between them; return the result."""
    try:
        next(steps)
        while True:
            steps.send(should_stop())
    except StopIteration as end:
        return end.value
    finally:
        steps.close()
