"""What every tracker does, so that the engine need not know which one it drives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..settings import TrackerSettings
from ..types import Frame, MaskArray, MaskEstimate, Prompt


class Tracker(Protocol):
    """Follows objects through a stream of frames of one size. Used from one thread only."""

    name: str
    # The live ones among them may change between two frames.
    settings: TrackerSettings

    def add(self, prompts: Sequence[Prompt], frames: Sequence[Frame]) -> Mapping[str, MaskEstimate]:
        """Start objects as prompted on ``frames[0]`` and bring them up to ``frames[-1]``.

        ``frames`` are consecutive frames already stepped, oldest first; usually only the newest one. Every
        prompt has been checked against ``frames[0]`` and carries an ``object_id``; an id already tracked
        is prompted anew. The other objects are not disturbed. Returns the new objects on ``frames[-1]``.
        """
        ...

    def segment(self, prompt: Prompt, frame: Frame) -> MaskArray:
        """Return the mask of what a checked prompt points at on ``frame``, without tracking it."""
        ...

    def remove(self, object_ids: Sequence[str]) -> None:
        """Forget these objects; the others are not disturbed."""
        ...

    def step(self, frame: Frame) -> Mapping[str, MaskEstimate]:
        """Follow every object onto ``frame``. A frame of another size needs :meth:`reset` first."""
        ...

    def reset(self) -> None:
        """Forget everything."""
        ...
