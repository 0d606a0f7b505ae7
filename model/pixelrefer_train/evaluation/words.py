"""Scores of short texts by their words: the normalisation of the LVIS and PACO evaluation, and SIoU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

_PUNCTUATION = str.maketrans(dict.fromkeys('_:,.()', ' '))


def normalise(text: str) -> str:
    """Return a text in lower case, ``_ : , . ( )`` as spaces, single spaces between words."""
    return ' '.join(text.translate(_PUNCTUATION).lower().split())


def semantic_iou(text: str, reference: str) -> float:
    """Return the share of common words among all words of two texts, 0 when both are empty (SIoU)."""
    words, others = set(normalise(text).split()), set(normalise(reference).split())
    union = words | others
    return len(words & others) / len(union) if union else 0.0


def typical(references: Sequence[str], at_most: int = 300) -> str:
    """Return the reference that shares most words with the others: the best constant answer, about.

    Looks at ``at_most`` of them, evenly taken; of equally good ones the most frequent, then the first.
    """
    step = max(len(references) // at_most, 1)
    counts = Counter(references[::step])

    def likeness(text: str) -> float:
        return sum(count * semantic_iou(text, other) for other, count in counts.items())

    return max(counts, key=likeness, default='')
