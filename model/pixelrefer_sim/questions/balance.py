"""Even answers: how often each is true of what is filmed, and how often a fact is asked to make up for it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from statistics import median

from .question import Fact

# As if each answer had been seen so often before counting began.
_SMOOTHING = 2.0


class AnswerCounts:
    """Counts of answers by topic and stratum, from which follows the share of facts that is asked."""

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self._counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for fact in facts:
            self._counts[fact.topic.name, fact.stratum][fact.value] += 1

    def share(self, fact: Fact) -> float:
        """Return how many of such facts are to be asked, 0 to 1.

        With it both answers of a yes-or-no topic come equally often within a stratum, and of another topic no
        answer comes more often than the middle one of those that occur.
        """
        counts = self._counts[fact.topic.name, fact.stratum]
        if not fact.topic.values or len(counts) == 0:
            return fact.weight
        if fact.topic.values == ('yes', 'no'):
            level = float(min(counts['yes'], counts['no']))
        else:
            level = float(median(count for count in counts.values() if count))
        return fact.weight * min(1.0, (level + _SMOOTHING) / (counts[fact.value] + _SMOOTHING))
