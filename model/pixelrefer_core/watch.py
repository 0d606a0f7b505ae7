"""What it means to watch for a condition: what is wanted, what one check says, and when that is an event.

Pure: no model, no thread, no clock. Times are stamps of images, so that a replayed bag gives the same events.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum

from .errors import InvalidRequestError
from .types import NANOSECONDS, Query, QueryKind

# More checks than this are remembered by no rule.
MOST_CHECKS = 32


class WatchState(IntEnum):
    """How a watch stands; the numbers are those of ``action/Watch.action``."""

    WATCHING = 0
    HOLDING = 1
    COOLING = 2


@dataclass(frozen=True)
class WatchRule:
    """When probabilities are an event.

    A check at ``on`` or above speaks for the condition, one at ``off`` or below against it, one in between for
    neither. The condition begins to hold when ``hits`` of the last ``of`` checks speak for it, and ends when as many
    speak against it. ``cooldown_s``: after a trigger the next one comes no sooner, seconds of the images' clock.
    """

    on: float
    off: float
    hits: int = 1
    of: int = 1
    cooldown_s: float = 0.0

    def check(self) -> None:
        """Raise :class:`InvalidRequestError` for values out of range. Written so that NaN fails."""
        if not 0.0 <= self.off <= self.on <= 1.0:
            raise InvalidRequestError(
                f'thresholds must satisfy 0 <= off <= on <= 1, got on {self.on:g}, off {self.off:g}'
            )
        if not 1 <= self.hits <= self.of <= MOST_CHECKS:
            raise InvalidRequestError(
                f'hits of checks must satisfy 1 <= hits <= of <= {MOST_CHECKS}, got {self.hits} of {self.of}'
            )
        if not 0.0 <= self.cooldown_s <= 1e6:
            raise InvalidRequestError(f'the cooldown must lie in [0, 1e6] s, got {self.cooldown_s:g}')


@dataclass(frozen=True)
class WatchRequest:
    """What is to be watched for.

    ``condition``: a question to be answered by yes or no, or a statement; it may name the objects as ``<object1>``,
    ``<object2>``, ... in the order of ``object_ids``. ``window_s``: how far back from the newest frame a check looks,
    0 = all that is held; ``max_frames`` of it an object, 0 = the configured number. ``once``: it ends with its first
    trigger.
    """

    condition: str
    object_ids: tuple[str, ...]
    rule: WatchRule
    window_s: float = 0.0
    max_frames: int = 0
    once: bool = True

    @property
    def query(self) -> Query:
        """The question that a check asks."""
        return Query(QueryKind.ANSWER, self.object_ids, as_question(self.condition))

    def check(self) -> None:
        """Raise :class:`InvalidRequestError` for values out of range."""
        self.rule.check()
        if not 0.0 <= self.window_s <= 1e6:
            raise InvalidRequestError(f'the window must lie in [0, 1e6] s, got {self.window_s:g}')


@dataclass(frozen=True)
class WatchCheck:
    """What one look at the condition gave.

    ``probability``: of yes against no, not calibrated. ``frame_stamps_ns``: the frames it rests on, oldest first;
    ``frame_id``: tf frame of the newest. ``triggers``: events until now, this one included when ``triggered``.
    """

    probability: float
    state: WatchState
    triggered: bool
    triggers: int
    frame_stamps_ns: tuple[int, ...]
    frame_id: str


@dataclass
class Hysteresis:
    """Turns the probabilities of one watch into events, after its rule."""

    rule: WatchRule
    state: WatchState = WatchState.WATCHING
    triggers: int = 0
    _recent: deque[float] = field(init=False)
    _triggered_ns: int = 0

    def __post_init__(self) -> None:
        self._recent = deque(maxlen=self.rule.of)

    def push(self, probability: float, stamp_ns: int) -> bool:
        """Take the probability at a stamp; tell whether it triggers.

        What holds when the first check is made triggers too. During the cooldown checks are counted but do not
        trigger: a condition that then still holds triggers with the first check after it.
        """
        self._recent.append(probability)
        if self.state is WatchState.HOLDING:
            if sum(value <= self.rule.off for value in self._recent) >= self.rule.hits:
                self._enter(self._resting(stamp_ns))
            return False
        self.state = self._resting(stamp_ns)
        speaking = sum(value >= self.rule.on for value in self._recent)
        if self.state is WatchState.COOLING or speaking < self.rule.hits:
            return False
        self._enter(WatchState.HOLDING)
        self._triggered_ns = stamp_ns
        self.triggers += 1
        return True

    def _resting(self, stamp_ns: int) -> WatchState:
        cools = stamp_ns - self._triggered_ns < self.rule.cooldown_s * NANOSECONDS
        return WatchState.COOLING if self.triggers and cools else WatchState.WATCHING

    def _enter(self, state: WatchState) -> None:
        # What brought one change about does not count for the next: few hits of many would flap.
        self._recent.clear()
        self.state = state


def as_question(condition: str) -> str:
    """Return a condition as a question: one that asks stands as it is, a statement is asked about.

    ``the red ball leaves the table.`` becomes ``Is it true that the red ball leaves the table?``; empty stays empty.
    """
    text = condition.strip()
    if not text or text.endswith('?') or text.lower().startswith('tell me whether '):
        return text
    return f'Is it true that {text.rstrip(".!")}?'
