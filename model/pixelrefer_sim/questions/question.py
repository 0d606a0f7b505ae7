"""What a question is, and how one is made of something true.

A :class:`Fact` says what is true of some objects; its :class:`Topic` holds the words in which that is asked and
answered. :func:`put` turns a fact into a :class:`SimQuestion`, openly, as yes or no, or with options to choose from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from .wording import vary

Kind = Literal[
    'category',
    'colour',
    'size',
    'position',
    'phrase',
    'caption',
    'relation',
    'motion',
    'sequence',
    'reasoning',
    'future',
    'multi_object',
]
BenchType = Literal['Basic', 'Sequential', 'Relationship', 'Reasoning', 'Future Prediction']
Form = Literal['open', 'yes_no', 'choice']

YES, NO = 'Yes.', 'No.'
# What follows the options in VideoRefer-Bench-Q.
CHOICE_SUFFIX = ". Answer with the option's letter from the given choices directly."
_LETTERS = 'ABCD'
# Answers that point at one of the marked objects, by its place among them. A fact about two of them says which of
# the two; :func:`put` says which of all.
ORDINALS = {'first': 'the first', 'second': 'the second', 'third': 'the third'}


@dataclass(frozen=True)
class Phrasings:
    """Ways to ask one thing. Training never sees those of ``held_out``. ``{a}``, ``{b}``: objects, ``{v}``: a value."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class Topic:
    """Something that can be asked about.

    ``values``: what may be true, the classes of the answer. ``asked``: open questions; ``said``: the answer to
    them by value, else the value itself. ``claimed``: questions with a value in them, answered by yes or no;
    ``words``: the value in such a question, else itself. ``options``: it is asked with options, too.
    """

    name: str
    kind: Kind
    bench_type: BenchType
    values: tuple[str, ...]
    asked: Phrasings
    said: Mapping[str, str] = field(default_factory=dict)
    claimed: Phrasings | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    options: bool = True

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms in which this can be asked; what is yes or no by itself counts as that form alone."""
        if self.values == ('yes', 'no'):
            return ('yes_no',)
        claims: tuple[Form, ...] = ('yes_no',) if self.claimed else ()
        choices: tuple[Form, ...] = ('choice',) if self.options else ()
        return ('open', *claims, *choices)

    def say(self, value: str) -> str:
        """Return the answer to the open question."""
        return {'yes': YES, 'no': NO}.get(value) or self.said.get(value, value)


@dataclass(frozen=True)
class Fact:
    """``value`` is true of ``objects``; the first is the topic's ``{a}``, the second its ``{b}``.

    ``others``: values that are false and could be mistaken for it; None = all others of the topic. ``detail``:
    what else the question names. ``stratum``: answers are to be even within it. ``weight``: how often it is
    asked, relative to other facts. ``openly``: for a topic that is yes or no by itself, the fact behind it that can be
    asked for openly.
    """

    topic: Topic
    objects: tuple[str, ...]
    value: str
    others: tuple[str, ...] | None = None
    detail: str = ''
    stratum: str = ''
    weight: float = 1.0
    openly: Fact | None = None

    @property
    def false_values(self) -> tuple[str, ...]:
        """Values that are not true."""
        if self.others is not None:
            return self.others
        return tuple(value for value in self.topic.values if value != self.value)


@dataclass(frozen=True)
class SimQuestion:
    """A question about marked objects and its answer.

    ``objects``: the marked objects, by name; ``text`` calls them ``<object1>``, ``<object2>``, ... in this order.
    ``label``: the class of the answer, for counting and balancing; ``stratum``: where answers are to be even.
    ``classes``: all answers that a question of this form may have, empty for free text. ``choices``: the options
    ``(A) ...``; they are in ``text``, too. ``held_out``: what training never sees of it: ``pair``, ``texture``,
    ``light``, ``phrasing``. ``meaning``: the answer to the open question behind this one, if there is one.
    """

    kind: Kind
    topic: str
    form: Form
    bench_type: BenchType
    objects: tuple[str, ...]
    text: str
    answer: str
    label: str
    classes: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    stratum: str = ''
    held_out: tuple[str, ...] = ()
    meaning: str = ''


@dataclass(frozen=True)
class Manner:
    """How to ask.

    ``held_out``: as training never asks. ``true``: for yes or no the answer, where it is free; ``letter``: for options
    the right place. ``varied``: in other words than those listed, see :func:`vary`.
    """

    form: Form
    held_out: bool = False
    true: bool | None = None
    letter: int | None = None
    varied: bool = False


def put(
    fact: Fact, marked: Sequence[str], manner: Manner, rng: np.random.Generator, *, medium: str = 'video'
) -> SimQuestion:
    """Ask about a fact. ``marked``: the objects that are shown, those of the fact among them."""
    meaning = _meaning(fact.openly or fact, marked)
    fact = _pointing(fact, marked)
    topic = fact.topic
    names = [f'<object{marked.index(name) + 1}>' for name in fact.objects]
    choices: tuple[str, ...] = ()
    stratum = fact.stratum
    words = fact.detail
    if manner.form == 'choice':
        choices, answer = _options(fact, manner, rng)
        label, classes = answer, tuple(_LETTERS[: len(choices)])
    elif manner.form == 'yes_no' and topic.claimed:
        true = bool(rng.random() < 0.5) if manner.true is None else manner.true
        claimed = fact.value if true else str(rng.choice(fact.false_values))
        words, stratum = topic.words.get(claimed, claimed), f'{claimed} {stratum}'.strip()
        answer = YES if true else NO
        label, classes = answer, (YES, NO)
    else:
        answer, label = topic.say(fact.value), fact.value
        possible = {fact.value, *fact.false_values}
        classes = tuple(topic.say(value) for value in topic.values if value in possible)
    phrasings = topic.claimed if manner.form == 'yes_no' and topic.claimed else topic.asked
    pattern = str(rng.choice(_patterns(phrasings, manner, named=len(fact.objects) < len(marked))))
    pattern = vary(pattern, rng) if manner.varied else pattern
    text = _fill(pattern, names, words, medium, alone=len(marked) == 1, rng=rng)
    if choices:
        text = f'{text} {" ".join(choices)}{CHOICE_SUFFIX}'
    return SimQuestion(
        kind=topic.kind,
        topic=topic.name,
        form=manner.form,
        bench_type=topic.bench_type,
        objects=tuple(marked),
        text=text,
        answer=answer,
        label=label,
        classes=classes,
        choices=choices,
        stratum=stratum,
        held_out=('phrasing',) if manner.held_out else (),
        meaning=meaning,
    )


def with_article(words: str) -> str:
    """Return ``a`` or ``an`` and the words."""
    return f'{"an" if words[0] in "aeiou" else "a"} {words}'


def _meaning(fact: Fact, marked: Sequence[str]) -> str:
    """Return the answer to the open question, '' where there is none."""
    topic = fact.topic
    return topic.say(_pointing(fact, marked).value).rstrip('.') if 'open' in topic.forms else ''


def _patterns(phrasings: Phrasings, manner: Manner, *, named: bool) -> tuple[str, ...]:
    """Return the phrasings to choose from; ``named``: those that say which of the marked objects is meant."""
    patterns = phrasings.held_out if manner.held_out else phrasings.training
    return tuple(pattern for pattern in patterns if '{a}' in pattern) if named else patterns


def _pointing(fact: Fact, marked: Sequence[str]) -> Fact:
    """Return the fact with its ordinals counted among the marked objects."""
    if fact.topic.said is not ORDINALS:
        return fact
    places = {name: list(ORDINALS)[marked.index(name)] for name in fact.objects}
    among = dict(zip(ORDINALS, (places[name] for name in fact.objects), strict=False))
    others = tuple(among[value] for value in fact.false_values if value in among)
    return replace(fact, value=among[fact.value], others=others)


def _options(fact: Fact, manner: Manner, rng: np.random.Generator) -> tuple[tuple[str, ...], str]:
    # A false value may be there several times, to come more often.
    false = dict.fromkeys(str(value) for value in rng.permutation(np.array(fact.false_values)))
    values = list(false)[: len(_LETTERS) - 1]
    count = len(values) + 1
    place = int(rng.integers(count)) if manner.letter is None else manner.letter % count
    values.insert(place, fact.value)
    said = [fact.topic.say(value).rstrip('.') for value in values]
    return tuple(f'({letter}) {text}' for letter, text in zip(_LETTERS, said, strict=False)), _LETTERS[place]


def _fill(
    pattern: str, names: list[str], words: str, medium: str, *, alone: bool, rng: np.random.Generator
) -> str:
    # People point at a thing and say "it".
    first = 'it' if alone and rng.random() < 0.25 else (names or [''])[0]
    return pattern.format(a=first, b=names[1] if len(names) > 1 else '', v=words, m=medium)
