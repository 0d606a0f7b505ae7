"""A model that says yes or no as a test tells it to, and notes what it is asked together."""

from __future__ import annotations

from collections.abc import Callable

from .paced_model import PacedModel


class VerdictModel(PacedModel):
    """``verdict``: the probability of yes for an instruction. ``batches``: the instructions of each pass."""

    answers_yes_no = True

    def __init__(self):
        super().__init__()
        self.verdict: Callable[[str], float] = lambda instruction: 0.0
        self.batches: list[list[str]] = []

    def yes_probabilities(self, questions):
        instructions = [instruction for instruction, _ in questions]
        try:
            return [self.verdict(instruction) for instruction in instructions]
        finally:
            # Last, so that a test that sees it may change its mind.
            self.batches.append(instructions)
