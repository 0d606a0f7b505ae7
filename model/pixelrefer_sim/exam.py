"""An examination on one clip: three of its objects, the end of what is shown, a dozen questions, what is right.

Everything comes from the clip's record; the rules below look at the scene alone, never at what a model answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pixelrefer_train.evaluation.choice import class_of
from pixelrefer_train.evaluation.words import normalise

from .questions.make import facts_about, question_about
from .questions.movement import movement_of
from .questions.question import Fact, Form, Manner, SimQuestion
from .questions.view import View, windows
from .record import ClipRecord

QUESTIONS = 12
# Pointing at something smaller than this is hard for a person, too.
_POINTABLE_PX = 250
_SHOWN_SHARE = 0.8
_ATTENDED = 3

Service = Literal['describe', 'ask', 'predict']
# Which of the three objects: the one that moves, the two others, and all of them.
Cast = Literal['actor', 'second', 'third', 'actor second', 'actor third', 'second third', 'all']


@dataclass(frozen=True)
class ExamQuestion:
    """A question, and the service that is asked. ``question.objects``: names in the record."""

    service: Service
    question: SimQuestion


@dataclass(frozen=True, eq=False)
class Exam:
    """``view``: the frames that the questions are about; its last one is the last that is shown.

    ``objects``: names in the record of the three objects that are pointed at, the one that moves first.
    """

    view: View
    objects: tuple[str, ...]
    questions: tuple[ExamQuestion, ...]

    @property
    def end(self) -> int:
        """The last frame that is shown; what comes after it is the future."""
        return self.view.frames[-1]


@dataclass(frozen=True)
class _Item:
    """What is asked: ``topic`` about ``cast``, in this ``form``; ``unseen``: in words that no training has seen."""

    topic: str
    cast: Cast
    form: Form = 'open'
    service: Service = 'ask'
    unseen: bool = False


# In this order, from what is there to what will come; of each line the first that is clear in the scene is asked.
_PLAN: tuple[tuple[_Item, ...], ...] = (
    (_Item('phrase', 'actor', service='describe'),),
    (_Item('category', 'second'),),
    (_Item('colour', 'third'),),
    (_Item('position', 'second', unseen=True), _Item('position', 'third', unseen=True)),
    (_Item('where', 'second third'), _Item('side', 'second third'), _Item('side', 'actor second')),
    (_Item('bigger', 'second third'), _Item('bigger', 'actor third'), _Item('bigger', 'actor second'),
     _Item('largest', 'all'), _Item('nearest', 'all')),
    (_Item('doing', 'actor'),),
    (_Item('moving', 'third', 'yes_no', unseen=True), _Item('still', 'second', 'yes_no', unseen=True)),
    (_Item('before', 'actor'),),
    (_Item('why', 'actor'), _Item('which_moves', 'all'), _Item('would_roll', 'actor', 'yes_no')),
    (_Item('next', 'actor', service='predict'),),
    (_Item('will_hit_it', 'actor second', 'yes_no', 'predict'), _Item('will_fall', 'actor', 'yes_no', 'predict')),
)  # fmt: skip


def make_exam(record: ClipRecord) -> Exam | None:
    """Return the examination on a clip, None when too little happens in it or too little of it is clear.

    Wanted is a window at whose end one object moves freely, that came to move within it, and of which it is clear
    that it will hit something or fall; two others are seen beside it all the time. The same record gives the same
    examination.
    """
    for view in reversed(windows(record)):
        for actor in _actors(view):
            objects = (actor, *_others(view, actor))
            if len(objects) < _ATTENDED:
                continue
            questions = tuple(_questions(view, objects))
            if len(questions) == QUESTIONS:
                return Exam(view, objects, questions)
    return None


def is_right(question: SimQuestion, text: str) -> bool:
    """Tell whether an answer says what is true: names the right class, and no other; free text word for word."""
    if question.classes:
        return class_of(text, question.classes) == question.answer
    return normalise(text) == normalise(question.answer)


def _actors(view: View) -> Iterator[str]:
    """Yield the objects that move at the end, were at rest at the start, and will clearly hit or fall."""
    assert view.window is not None
    if view.window.open:
        return
    for outcome in view.window.outcomes:
        if (
            not outcome.clear
            or outcome.first not in ('falls', 'hits')
            or not _presentable(view, outcome.name)
        ):
            continue
        movement = movement_of(view, outcome.name)
        if movement.start == 'resting' and movement.end == 'moving':
            yield outcome.name


def _others(view: View, actor: str) -> Sequence[str]:
    """Return two more objects; what the actor will hit is one of them."""
    assert view.window is not None
    struck = next(outcome.other for outcome in view.window.outcomes if outcome.name == actor)
    names = [name for name in view.askable if name != actor and _presentable(view, name)]
    return sorted(names, key=lambda name: name != struck)[: _ATTENDED - 1]


def _presentable(view: View, name: str) -> bool:
    """Tell whether an object can be pointed at on the first image and is well seen until the end."""
    record, place = view.record, view.record.index(name)
    shown = range(view.frames[-1] + 1)
    return record.visible_px[0][place] >= _POINTABLE_PX and all(
        record.visible_px[frame][place] >= _SHOWN_SHARE * record.whole_px[frame][place] > 0 for frame in shown
    )


def _questions(view: View, objects: Sequence[str]) -> Iterator[ExamQuestion]:
    rng = np.random.default_rng(view.record.seed)
    casts = dict(zip(('actor', 'second', 'third'), objects, strict=True))
    for alternatives in _PLAN:
        for item in alternatives:
            marked = tuple(
                casts.values() if item.cast == 'all' else (casts[part] for part in item.cast.split())
            )
            fact = next(_facts(view, marked, item.topic), None)
            if fact is not None:
                manner = Manner(item.form, held_out=item.unseen)
                yield ExamQuestion(item.service, question_about(view, fact, marked, manner, rng))
                break


def _facts(view: View, marked: tuple[str, ...], topic: str) -> Iterator[Fact]:
    """Yield the facts of a topic about these objects, the first of them first."""
    together = topic in ('largest', 'nearest', 'which_moves')
    for fact in facts_about(view, marked):
        if fact.topic.name == topic and (together or fact.objects == marked):
            yield fact
