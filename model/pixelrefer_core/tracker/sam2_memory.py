"""What SAM 2 remembers of one object: a sliding window of recent frames, and the frames on which it was prompted.

Kept is exactly what the model can still attend to. Frames on which the object is hidden are not remembered, and the
object's clock stands still meanwhile, so that it goes on attending to the last frames that showed it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PreTrainedConfig

from ..settings import TrackerSettings
from ..types import NANOSECONDS


@dataclass(frozen=True, eq=False)
class Memory:
    """One object on one frame. ``features`` bfloat16 and ``positions``: (L, 64). ``pointer``: (C,)."""

    features: torch.Tensor
    positions: torch.Tensor
    pointer: torch.Tensor


@dataclass(frozen=True)
class MemoryLimits:
    """How far back an object attends and remembers.

    ``maps`` and ``pointers``: ticks that the model looks back for each. ``frames``: ticks that are kept. ``prompts``:
    prompted frames that are kept. ``window_ns``: age before the newest frame that showed it, ``hidden_ns``: time out
    of view, after which all but the prompted frames are dropped.
    """

    maps: int
    pointers: int
    frames: int
    prompts: int
    window_ns: int
    hidden_ns: int


def memory_limits(settings: TrackerSettings, config: PreTrainedConfig) -> MemoryLimits:
    """Return what the settings allow, and no more than a model of this configuration looks back."""
    maps, pointers = config.num_maskmem - 1, config.max_object_pointers_in_encoder - 1
    most_prompts = config.max_cond_frame_num  # -1 = any number
    return MemoryLimits(
        maps=maps,
        pointers=pointers,
        frames=min(settings.window_frames, max(maps, pointers)),
        prompts=min(settings.kept_prompts, most_prompts) if most_prompts > 0 else settings.kept_prompts,
        window_ns=round(settings.window_s * NANOSECONDS),
        hidden_ns=round(settings.memory_s * NANOSECONDS),
    )


@dataclass(frozen=True, eq=False)
class Recall:
    """What an object attends to now, with the age of each item in ticks; 0 stands for a prompted frame among maps."""

    maps: tuple[tuple[int, Memory], ...]
    pointers: tuple[tuple[int, Memory], ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of maps and of pointers; objects of one shape can be batched."""
        return len(self.maps), len(self.pointers)


@dataclass(frozen=True, eq=False)
class _Moment:
    tick: int
    stamp_ns: int
    memory: Memory


class MemoryBank:
    """The memory of one object. Its clock ticks once a remembered frame."""

    def __init__(self, limits: MemoryLimits) -> None:
        self.limits = limits
        self._prompted: list[_Moment] = []
        self._recent: list[_Moment] = []

    def __len__(self) -> int:
        return len(self._prompted) + len(self._recent)

    def remember(self, memory: Memory, stamp_ns: int) -> None:
        """Add the newest frame that shows the object, and drop what can no longer be attended to."""
        moment = _Moment(self._now(), stamp_ns, memory)
        self._recent.append(moment)
        self._recent = [
            item
            for item in self._recent
            if moment.tick - item.tick < self.limits.frames
            and stamp_ns - item.stamp_ns <= self.limits.window_ns
        ]

    def remember_prompt(self, memory: Memory, stamp_ns: int) -> None:
        """Add a prompted frame, the newest of all; beyond the limit the oldest prompt is dropped."""
        self._prompted.append(_Moment(self._now(), stamp_ns, memory))
        # Never all of them: an object without a prompted frame cannot be followed.
        self._prompted = self._prompted[-max(1, self.limits.prompts) :]

    def expire(self, stamp_ns: int) -> None:
        """Drop all but the prompted frames when the object has been out of view for too long."""
        if self._recent and stamp_ns - self._recent[-1].stamp_ns > self.limits.hidden_ns:
            self._recent.clear()

    def rewind(self, stamp_ns: int) -> None:
        """Forget the frames from ``stamp_ns`` on."""
        self._prompted = [item for item in self._prompted if item.stamp_ns < stamp_ns]
        self._recent = [item for item in self._recent if item.stamp_ns < stamp_ns]

    def clear(self) -> None:
        """Forget everything."""
        self._prompted.clear()
        self._recent.clear()

    def recall(self) -> Recall:
        """Return what the next frame attends to. The order is the model's own: sums depend on it in the last bit."""
        now, limits = self._now(), self.limits
        aged = [(now - item.tick, item.memory) for item in self._recent]
        return Recall(
            maps=(
                *((0, item.memory) for item in self._prompted),
                *((age, memory) for age, memory in aged if age <= limits.maps),
            ),
            pointers=(
                *((now - item.tick, item.memory) for item in self._prompted),
                *((age, memory) for age, memory in reversed(aged) if age <= limits.pointers),
            ),
        )

    def _now(self) -> int:
        return 1 + max((item.tick for item in (*self._prompted, *self._recent)), default=-1)
