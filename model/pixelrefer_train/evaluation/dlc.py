"""DLC-Bench: a judge answers multiple choice about an object from its description alone.

Each object has one recognition question (is it told what it is?), positive ones (is what is said true and telling?)
and negative ones (is nothing invented?). The choices carry their scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelrefer_core.errors import InvalidRequestError

from .judge import Judge
from .records import read_json

_SYSTEM = """\
You read a description of an object in an image and answer a multiple-choice question from this description alone.
Take the choice that comes closest. Reply with the letter of one choice, nothing else."""
_LETTERS = 'abcdefghij'


@dataclass(frozen=True)
class Question:
    """A question about one object. ``kind``: positive or negative. ``scores``: of its ``choices``."""

    text: str
    choices: tuple[str, ...]
    scores: tuple[float, ...]
    kind: str


@dataclass(frozen=True)
class Quiz:
    """All that is asked about one object, and what kind of thing it is."""

    class_name: str
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class ObjectScore:
    """Means over the positive and the negative questions; None where there are none."""

    positive: float | None
    negative: float | None


def read_quizzes(folder: Path) -> dict[str, Quiz]:
    """Read ``qa.json`` and ``class_names.json`` of DLC-Bench, by annotation id. Raises InvalidRequestError."""
    names, quizzes = read_json(folder / 'class_names.json'), {}
    for key, questions in read_json(folder / 'qa.json').items():
        try:
            quizzes[key] = Quiz(names[key], tuple(_question(question) for question in questions))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRequestError(f'{folder}/qa.json: object {key} cannot be read: {error!r}') from error
    return quizzes


def judge_object(judge: Judge, quiz: Quiz, description: str) -> ObjectScore:
    """Ask the judge everything about one description. Raises what the judge raises."""
    kind = f'Could this describe the following kind of thing, or one much like it: {quiz.class_name}?'
    recognised = _ask(judge, description, kind, ('Yes', 'No')) == 0
    scores = []
    for question in quiz.questions:
        chosen = _ask(judge, description, question.text, question.choices)
        scores.append(0.0 if chosen is None else question.scores[chosen])
    return object_score([question.kind for question in quiz.questions], scores, recognised=recognised)


def object_score(kinds: Sequence[str], scores: Sequence[float], *, recognised: bool) -> ObjectScore:
    """Average the scores of one object; unless it was recognised, none counts for more than 0."""
    counted = [score if recognised else min(score, 0.0) for score in scores]
    pairs = list(zip(kinds, counted, strict=True))
    return ObjectScore(
        *(_mean([score for kind, score in pairs if kind == k]) for k in ('positive', 'negative'))
    )


def benchmark_score(objects: Sequence[ObjectScore]) -> dict[str, float]:
    """Return Pos and Neg, means over the objects that have such questions, and Avg, the mean of the two."""
    positive = _mean([item.positive for item in objects if item.positive is not None])
    negative = _mean([item.negative for item in objects if item.negative is not None])
    nan = float('nan')
    first, second = (nan if value is None else value for value in (positive, negative))
    return {'Pos': first, 'Neg': second, 'Avg': (first + second) / 2}


def parse_choice(reply: str, choices: Sequence[str]) -> int | None:
    """Return which choice a reply means, None when none can be told.

    In this order: the letter or the text of one, or both; the only one that it contains; the letter that it
    begins with, with a full stop; of several that it contains the one that begins last, of those the longest;
    the longest one that contains it.
    """
    said = reply.strip().lower()
    if not said:
        return None
    names = [choice.strip().lower() for choice in choices]
    for index, name in enumerate(names):
        letter = _LETTERS[index]
        if said in (name, letter, f'{letter}.', f'{letter}. {name}'):
            return index
    held = [index for index, name in enumerate(names) if name in said]
    letters = _LETTERS[: len(names)]
    if len(held) != 1 and said[1:2] == '.' and said[0] in letters:
        return letters.index(said[0])
    if held:
        return max(held, key=lambda index: (said.index(names[index]), len(names[index])))
    around = [index for index, name in enumerate(names) if said in name]
    return max(around, key=lambda index: len(names[index]), default=None)


def _ask(judge: Judge, description: str, text: str, choices: Sequence[str]) -> int | None:
    lines = [f'{_LETTERS[index].upper()}. {choice}' for index, choice in enumerate(choices)]
    return parse_choice(
        judge.ask(_SYSTEM, '\n'.join([f'Description: {description}', f'Question: {text}', *lines])), choices
    )


def _question(entry: Mapping[str, object]) -> Question:
    choices, kind = entry['choices'], entry['type']
    if not isinstance(choices, list) or kind not in ('positive', 'negative'):
        raise ValueError(f'choices and type positive or negative are needed, got {kind!r}')
    texts, scores = zip(*choices, strict=True)
    return Question(str(entry['question']), tuple(map(str, texts)), tuple(map(float, scores)), str(kind))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
