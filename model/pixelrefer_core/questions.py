"""From what a client asks to the instruction that the model reads, objects first and question last.

The sentences that introduce the objects are those of the official PixelRefer-Lite evaluation and demo, on which
the weights were tuned. Objects come first so that a second question about them shares the prefix.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from .errors import InvalidQuestionError, InvalidRequestError, QuestionTooLongError
from .settings import Settings
from .types import GenerationOptions, Query, QueryKind

REGION = '<region>'
TEMPERATURE_MAX = 2.0
STOP_STRINGS, STOP_CHARS = 8, 64
_STANDARD = {
    QueryKind.CAPTION: 'Please describe in detail {objects} in the {medium}.',
    QueryKind.PREDICTION: 'What will happen next?',
}
# How questions name objects, counted from 0 in what the model reads.
OBJECT_NAME = re.compile(r'<object(\d+)>')


def question_of(query: Query, *, max_chars: int, max_objects: int) -> str:
    """Return the question as asked, or '' where the standard one of its kind stands in; check it.

    Raises :class:`InvalidQuestionError`, :class:`QuestionTooLongError` or :class:`InvalidRequestError`.
    """
    count = 1 if query.visual_prompt is not None else len(query.object_ids)
    if not count:
        raise InvalidRequestError('no object is named: list at least one id in object_ids')
    if count > max_objects:
        raise InvalidRequestError(
            f'{count} objects in one question; limits.question_objects is {max_objects}'
        )
    if len(set(query.object_ids)) != len(query.object_ids):
        raise InvalidRequestError(f'an object is named twice: {", ".join(query.object_ids)}')
    if len(query.question) > max_chars:
        raise QuestionTooLongError(
            f'the question has {len(query.question)} characters; limits.question_chars is {max_chars}'
        )
    question = query.question.strip()
    if not question and query.kind is QueryKind.ANSWER:
        raise InvalidQuestionError('the question is empty: ask something')
    for number in OBJECT_NAME.findall(question):
        if not 1 <= int(number) <= count:
            raise InvalidQuestionError(f'<object{number}> is not among the {count} objects of this question')
    return question


def compose(query: Query, question: str, *, count: int, is_video: bool) -> tuple[str, str]:
    """Return ``(question for people, instruction for the model)``.

    ``question``: from :func:`question_of`. The instruction holds one ``<region>`` per object, in order.
    """
    medium = 'video' if is_video else 'image'
    if not question:
        objects = 'the marked object' if count == 1 else 'the marked objects'
        question = _STANDARD[query.kind].format(objects=objects, medium=medium)
    asked = OBJECT_NAME.sub(lambda match: _name(int(match[1]), count), question)
    if query.horizon_s > 0:
        asked += f' Consider the next {query.horizon_s:g} seconds.'
    return question, f'{_introduction(count, medium)}\n{asked}'


def named(question: str, names: Sequence[str]) -> str:
    """Return a question for people, with ``names`` in the places of ``<object1>``, ``<object2>``, ..."""
    return OBJECT_NAME.sub(
        lambda match: names[int(match[1]) - 1] if 1 <= int(match[1]) <= len(names) else match[0], question
    )


def checked_options(query: Query, settings: Settings) -> GenerationOptions:
    """Return the options of a query with the configured default filled in. Raises :class:`InvalidRequestError`."""
    options, limit = query.options, settings.limits.new_tokens
    start, end = query.window.start_ns, query.window.end_ns
    if start is not None and end is not None and start > end:
        raise InvalidRequestError('the window ends before it starts')
    if not 0 <= options.temperature <= TEMPERATURE_MAX:
        raise InvalidRequestError(
            f'temperature must lie in [0, {TEMPERATURE_MAX:g}], got {options.temperature}'
        )
    if not 0 < options.top_p <= 1:
        raise InvalidRequestError(f'top_p must lie in (0, 1], got {options.top_p}')
    if len(options.stop) > STOP_STRINGS or any(len(text) > STOP_CHARS for text in options.stop):
        raise InvalidRequestError(f'at most {STOP_STRINGS} stop strings of {STOP_CHARS} characters are taken')
    if options.max_new_tokens > limit:
        raise InvalidRequestError(f'max_new_tokens is {options.max_new_tokens}; limits.new_tokens is {limit}')
    return replace(options, max_new_tokens=options.max_new_tokens or settings.generation.max_new_tokens)


def plain_text(text: str) -> str:
    """Return what a model wrote without control characters, which could act on a terminal; keep line breaks."""
    return ''.join(char for char in text if char in '\n\t' or unicodedata.category(char)[0] != 'C')


def _introduction(count: int, medium: str) -> str:
    if count == 1:
        return f'There is one object in the {medium}: {REGION}.'
    objects = ', '.join(f'{_name(number, count)}{REGION}' for number in range(1, count + 1))
    return f'There are {count} objects in the {medium}: {objects}.'


def _name(number: int, count: int) -> str:
    # The official prompts count from zero.
    return 'the marked object' if count == 1 else f'<object{number - 1}>'
