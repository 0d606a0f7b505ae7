"""All that can be asked about marked objects of one view."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from .appearance import appearance_facts
from .captions import caption_facts
from .future import collision_facts, future_facts
from .motion import motion_facts, order_facts, sequence_facts
from .question import Fact, Manner, SimQuestion, put
from .reasoning import blame_facts, cause_facts, reasoning_facts
from .relations import relation_facts
from .several import several_facts
from .view import View

MOST_OBJECTS = 3


def facts_about(view: View, marked: Sequence[str]) -> Iterator[Fact]:
    """Yield what is true and clear of the marked objects: of each, of each two in order, of all together."""
    for name in marked:
        yield from _facts_of_one(view, name)
    for a, b in itertools.permutations(marked, 2):
        yield from relation_facts(view, a, b)
        if view.window is not None:
            yield from order_facts(view, a, b)
            yield from blame_facts(view, a, b)
            yield from collision_facts(view, a, b)
    if 2 <= len(marked) <= MOST_OBJECTS:
        yield from several_facts(view, marked)


def question_about(
    view: View, fact: Fact, marked: Sequence[str], manner: Manner, rng: np.random.Generator
) -> SimQuestion:
    """Ask about a fact of :func:`facts_about`, and note what of it training never sees."""
    question = put(fact, marked, manner, rng, medium=view.medium)
    return replace(question, held_out=(*view.held_out(fact.objects), *question.held_out))


def _facts_of_one(view: View, name: str) -> Iterator[Fact]:
    yield from appearance_facts(view, name)
    yield from caption_facts(view, name)
    yield from reasoning_facts(view, name)
    if view.window is not None:
        yield from motion_facts(view, name)
        yield from sequence_facts(view, name)
        yield from cause_facts(view, name)
        yield from future_facts(view, name)
