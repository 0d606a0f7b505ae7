"""How well questions that were held back are answered: exact matches by kind, beside the commonest answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from .learner import Learner, PreparedBatch


@dataclass(frozen=True)
class KindScore:
    """Questions of one kind. ``majority``: the accuracy of always giving the commonest answer."""

    count: int
    accuracy: float
    majority: float


@dataclass(frozen=True)
class Validation:
    """``loss``: mean over questions. ``kinds``: scores by kind of question."""

    loss: float
    kinds: Mapping[str, KindScore]

    @property
    def score(self) -> float:
        """Mean accuracy over kinds, so that a rare kind counts as much as a frequent one."""
        return sum(kind.accuracy for kind in self.kinds.values()) / len(self.kinds)


@torch.no_grad()
def validate(learner: Learner, batches: Iterable[PreparedBatch]) -> Validation:
    """Answer all questions of ``batches``, at least one."""
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    correct: Counter[str] = Counter()
    total = 0.0
    learner.eval()
    for batch in batches:
        outcome = learner(batch)
        total += float(outcome.loss) * len(outcome.branches)
        for branch, hit in zip(outcome.branches, outcome.correct.tolist(), strict=True):
            answers[branch.kind][branch.answer] += 1
            correct[branch.kind] += hit
    learner.train()
    kinds = {
        kind: KindScore(
            count=given.total(),
            accuracy=correct[kind] / given.total(),
            majority=given.most_common(1)[0][1] / given.total(),
        )
        for kind, given in sorted(answers.items())
    }
    return Validation(total / sum(kind.count for kind in kinds.values()), kinds)
