"""Even answers: which of the facts of a view are asked, so that no answer is much commoner than another."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median

import numpy as np

from .question import Fact, Kind

# As if each answer had been seen so often before counting began.
_SMOOTHING = 1.0
_LEAST_SHARE = 0.005
_ROUNDS = 5
# Of the topics of a kind, those come first that need something to happen.
_RARE = ('Sequential', 'Future Prediction')
# How many questions of a kind come in its turn: those that only a video allows are worth more than the others.
_PACE: dict[Kind, int] = {
    'motion': 3,
    'sequence': 3,
    'future': 3,
    'reasoning': 2,
    'relation': 2,
    'multi_object': 3,
}


class Chooser:
    """Chooses facts to ask about: kinds and topics as even as a view allows, answers as even as :meth:`fit` made them.

    ``most``: at most so many of a view.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._shares: dict[tuple[str, str, str], float] = {}

    def choose(self, facts: Sequence[Fact], rng: np.random.Generator) -> list[Fact]:
        """Return some of the facts in random order; none only where there are none."""
        kept = [f for f in facts if rng.random() < f.weight * self._shares.get(_key(f), 1.0)] or list(
            facts[:1]
        )
        shuffled = [kept[place] for place in rng.permutation(len(kept))]
        of_topic: defaultdict[str, itertools.count[int]] = defaultdict(itertools.count)
        of_kind: defaultdict[str, itertools.count[int]] = defaultdict(itertools.count)
        # Of each kind one topic after the other, then the same ones again; of all kinds in turn.
        by_topic = sorted(
            shuffled, key=lambda fact: (next(of_topic[fact.topic.name]), fact.topic.bench_type not in _RARE)
        )
        by_kind = sorted(
            by_topic, key=lambda fact: next(of_kind[fact.topic.kind]) // _PACE.get(fact.topic.kind, 1)
        )
        first = by_kind[: self._most]
        return [first[place] for place in rng.permutation(len(first))]

    def fit(self, views: Sequence[Sequence[Fact]], rng: np.random.Generator) -> None:
        """Adapt to the facts of many views, each drawn as it will be when choosing.

        Afterwards both answers of a yes-or-no topic come about equally often within a stratum, and hardly at all
        where a stratum knows but one. Of another topic no answer comes much more often than the middle one, or
        than a third of all the others together.
        """
        polar = {fact.topic.name for facts in views for fact in facts if fact.topic.values == ('yes', 'no')}
        for _ in range(_ROUNDS):
            counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
            for fact in itertools.chain.from_iterable(self.choose(facts, rng) for facts in views):
                counts[fact.topic.name, fact.stratum][fact.value] += 1
            for (topic, stratum), answers in counts.items():
                self._adapt(
                    topic, stratum, answers, _polar_level(answers) if topic in polar else _level(answers)
                )

    def _adapt(self, topic: str, stratum: str, answers: Counter[str], level: float) -> None:
        wanted = {
            value: self._shares.get((topic, stratum, value), 1.0)
            * min(1.0, (level + _SMOOTHING) / (count + _SMOOTHING))
            for value, count in answers.items()
        }
        # The rarest answer is always asked for: chance must not wear the shares down round by round.
        most = max(wanted.values()) if level else 1.0
        for value, share in wanted.items():
            self._shares[topic, stratum, value] = max(share / most, _LEAST_SHARE)


def _polar_level(answers: Counter[str]) -> float:
    return float(min(answers['yes'], answers['no']))


def _level(answers: Counter[str]) -> float:
    return max(float(median(answers.values())), (answers.total() - max(answers.values())) / 3)


def _key(fact: Fact) -> tuple[str, str, str]:
    return fact.topic.name, fact.stratum, fact.value
