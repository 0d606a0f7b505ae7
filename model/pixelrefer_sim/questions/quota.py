"""An even set of questions for an evaluation: equal shares of topics, answers, forms and letters."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .question import Fact, Manner
from .view import View

_YES_NO = ('yes', 'no')
# The forms in turn; those that a topic lacks are passed over.
_FORMS = (
    Manner('open'),
    Manner('yes_no', true=True),
    Manner('choice'),
    Manner('open'),
    Manner('yes_no', true=False),
    Manner('choice'),
)
# When fewer than this share of the answers are left, a topic ends.
_LEAST_VARIETY = 0.5


@dataclass(frozen=True, eq=False)
class Shown:
    """What questions are asked about: a view, and the objects that are marked in it."""

    view: View
    marked: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Asked:
    """A fact that was chosen, and how to ask about it."""

    shown: Shown
    fact: Fact
    manner: Manner


def balanced(
    offers: Sequence[tuple[Shown, Fact]], per_kind: int, rng: np.random.Generator, *, held_out: float = 0.0
) -> list[Asked]:
    """Choose ``per_kind`` facts of each kind, or fewer where there are not enough to keep the answers even.

    Of a yes-or-no topic as many of both answers within each stratum, exactly; of other topics the answers take
    turns, and so do the topics of a kind, the forms, the letters of right options, and whether a claim is true.
    ``held_out``: share of questions in words that training never sees.
    """
    kinds: defaultdict[str, defaultdict[str, list[tuple[Shown, Fact]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for place in rng.permutation(len(offers)):
        kinds[offers[place][1].topic.kind][offers[place][1].topic.name].append(offers[place])
    chosen: list[Asked] = []
    for kind in sorted(kinds):
        queues = [_couples(kinds[kind][topic]) for topic in sorted(kinds[kind])]
        taken = list(itertools.islice(_in_turn(queues), per_kind - per_kind % 2))
        chosen += _with_manners(taken, rng, held_out)
    return chosen


def _in_turn(queues: Sequence[Iterator[tuple[tuple[Shown, Fact], ...]]]) -> Iterator[tuple[Shown, Fact]]:
    """Yield a couple of each queue after the other until all are empty."""
    left = list(queues)
    while left:
        for queue in tuple(left):
            couple = next(queue, None)
            if couple is None:
                left.remove(queue)
            else:
                yield from couple


def _couples(offers: Sequence[tuple[Shown, Fact]]) -> Iterator[tuple[tuple[Shown, Fact], ...]]:
    """Yield the facts of one topic two by two: a yes and a no of one stratum, or two different answers."""
    polar = offers[0][1].topic.values == _YES_NO
    cells: defaultdict[tuple[str, str], list[tuple[Shown, Fact]]] = defaultdict(list)
    for offer in offers:
        fact = offer[1]
        cells[fact.stratum if polar else '', _answer(fact)].append(offer)
    if polar:
        strata = sorted({stratum for stratum, _ in cells})
        columns = [zip(*(cells[stratum, value] for value in _YES_NO), strict=False) for stratum in strata]
        yield from (pair for row in itertools.zip_longest(*columns) for pair in row if pair)
        return
    least = _LEAST_VARIETY * len(cells)
    rows = itertools.zip_longest(*(cells[key] for key in sorted(cells)))
    full = (kept for row in rows if len(kept := [offer for offer in row if offer]) >= least)
    singles = itertools.chain.from_iterable(full)
    yield from zip(singles, singles, strict=False)


def _answer(fact: Fact) -> str:
    # No two captions are alike, so they count as one answer.
    return fact.value if fact.topic.values else ''


def _with_manners(
    taken: Sequence[tuple[Shown, Fact]], rng: np.random.Generator, held_out: float
) -> Iterator[Asked]:
    turns: dict[tuple[str, str], Iterator[int]] = {}
    letters: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
    for shown, fact in taken:
        unseen = bool(rng.random() < held_out)
        if fact.topic.values == _YES_NO:
            yield Asked(shown, fact, Manner('yes_no', unseen))
            continue
        possible = [manner for manner in _FORMS if manner.form in fact.topic.forms]
        # Each answer goes through the forms by itself, else the turns of answers and forms fall into step.
        key = fact.topic.name, _answer(fact)
        turn = next(turns.setdefault(key, itertools.count(len(turns))))
        manner = possible[turn % len(possible)]
        letter = next(letters[fact.topic.name]) if manner.form == 'choice' else None
        yield Asked(shown, fact, Manner(manner.form, unseen, manner.true, letter))
