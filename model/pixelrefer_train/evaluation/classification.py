"""What closed questions tell about a model: accuracies, baselines, intervals, calibration. Pure functions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_DRAWS = 2000
_BINS = 10


@dataclass(frozen=True)
class Decision:
    """One closed question: the right one of its ``classes``, the chosen one ('' = none), and its scene."""

    expected: str
    chosen: str
    classes: tuple[str, ...]
    scene: str


@dataclass(frozen=True)
class ClassificationReport:
    """One type of question.

    A type may hold questions of several forms, each with its own set of classes (yes and no, letters, colours).
    ``balanced_accuracy``: mean recall over all right answers that occur, those of different sets apart.
    ``majority_rate``: accuracy of always giving the commonest right answer of each set; a set with fewer than two
    questions for each of its classes counts with chance. ``chance``: of guessing evenly. The intervals hold 95 %
    of bootstrap draws of scenes. ``undecided``: share of answers that name no class; they count as wrong.
    """

    count: int
    accuracy: float
    balanced_accuracy: float
    majority_rate: float
    chance: float
    accuracy_interval: tuple[float, float]
    balanced_interval: tuple[float, float]
    undecided: float
    scenes: int

    def figures(self) -> dict[str, Any]:
        """Return the fields for a JSON line."""
        return dict(vars(self))


def report(decisions: Sequence[Decision], *, seed: int = 0) -> ClassificationReport:
    """Score the questions of one type; ``seed``: of the bootstrap. Raises :class:`ValueError` for none."""
    if not decisions:
        raise ValueError('there is nothing to report on')
    scenes, asked, right = _tally(decisions)
    accuracy, balanced = _accuracies(asked.sum(axis=0)[None], right.sum(axis=0)[None])
    draws = np.random.default_rng(seed).multinomial(scenes, np.full(scenes, 1 / scenes), size=_DRAWS)
    drawn = _accuracies(draws @ asked, draws @ right)
    return ClassificationReport(
        count=len(decisions),
        accuracy=float(accuracy[0]),
        balanced_accuracy=float(balanced[0]),
        majority_rate=_majority_rate(decisions),
        chance=float(np.mean([1 / len(item.classes) for item in decisions])),
        accuracy_interval=_interval(drawn[0]),
        balanced_interval=_interval(drawn[1]),
        undecided=sum(not item.chosen for item in decisions) / len(decisions),
        scenes=scenes,
    )


def brier_score(probabilities: Sequence[float], truths: Sequence[bool]) -> float:
    """Return the mean squared error of the probability of "yes"; 0.25 for always saying one half."""
    return float(np.mean((np.asarray(probabilities) - np.asarray(truths, np.float64)) ** 2))


def expected_calibration_error(probabilities: Sequence[float], truths: Sequence[bool]) -> float:
    """Return the mean gap of confidence and accuracy over ten equal bins of confidence (Guo et al., 2017).

    ``probabilities``: of "yes"; the confidence is that of the likelier answer.
    """
    yes = np.asarray(probabilities)
    confidence = np.maximum(yes, 1 - yes)
    right = (yes >= 0.5) == np.asarray(truths, np.bool_)
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = [abs((confidence - right)[bins == index].sum()) for index in range(_BINS)]
    return float(sum(gaps) / len(yes))


def _majority_rate(decisions: Sequence[Decision]) -> float:
    counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for item in decisions:
        counts[item.classes][item.expected] += 1
    # Where candidates differ from question to question, none is common: what came up once would always win.
    best = [
        max(counter.values()) if counter.total() >= 2 * len(classes) else counter.total() / len(classes)
        for classes, counter in counts.items()
    ]
    return sum(best) / len(decisions)


def _tally(
    decisions: Sequence[Decision],
) -> tuple[int, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the number of scenes, and what was asked and answered rightly, each (scenes, classes)."""
    scenes = {name: index for index, name in enumerate(sorted({item.scene for item in decisions}))}
    classes = {
        name: index
        for index, name in enumerate(sorted({(item.classes, item.expected) for item in decisions}))
    }
    asked, right = np.zeros((2, len(scenes), len(classes)))
    for item in decisions:
        cell = scenes[item.scene], classes[item.classes, item.expected]
        asked[cell] += 1
        right[cell] += item.chosen == item.expected
    return len(scenes), asked, right


def _accuracies(
    asked: npt.NDArray[np.float64], right: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return accuracy and balanced accuracy of each draw, for counts (draws, classes)."""
    seen = asked > 0
    recalls = np.divide(right, asked, out=np.zeros_like(right), where=seen)
    return right.sum(axis=1) / asked.sum(axis=1), recalls.sum(axis=1) / seen.sum(axis=1)


def _interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
