"""Questions about two or three objects at once: which of them, how many of them, are they alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .future import outcome_of
from .movement import movement_of
from .question import ORDINALS, BenchType, Fact, Phrasings, Topic
from .relations import DEPTH_MARGIN_M, SIDE_MARGIN_PX, compare_sizes
from .view import View

_YES_NO = ('yes', 'no')
_PLACES = tuple(ORDINALS)
_NUMBERS = ('none', 'one', 'two', 'three')


def _which(name: str, bench_type: BenchType, what: str, more: str) -> Topic:
    """Return a topic that asks which object ``what`` applies to: "is red"; ``more``: other words for it."""
    return Topic(
        name,
        'multi_object',
        bench_type,
        _PLACES,
        Phrasings(
            (
                f'Which of them {what}?',
                f'Which one {what}?',
                f'Which of the marked objects {what}?',
                f'Which object {what}?',
                f'Which of these objects {more}?',
            ),
            (f'Of the objects shown, which one {what}?', f'Tell me which of these {more}.'),
        ),
        said=ORDINALS,
    )


def _how_many(name: str, bench_type: BenchType, what: str) -> Topic:
    return Topic(
        name,
        'multi_object',
        bench_type,
        _NUMBERS,
        Phrasings(
            (
                f'How many of them {what}?',
                f'How many of the marked objects {what}?',
                f'How many of these objects {what}?',
                f'What is the number of marked objects that {what}?',
                f'Count the marked objects that {what}.',
            ),
            (f'Of the objects shown, how many {what}?', f'Can you tell me how many of these {what}?'),
        ),
        options=False,
    )


def _alike(name: str, what: str, more: str) -> Topic:
    return Topic(
        name,
        'multi_object',
        'Relationship',
        _YES_NO,
        Phrasings(
            (
                f'Are they {what}?',
                f'Are the marked objects {what}?',
                f'Are these objects {what}?',
                f'Do they have {more}?',
                f'Do the marked objects have {more}?',
            ),
            (f'Is it {more} that these objects have?', f'Would you say that they are {what}?'),
        ),
    )


WHICH_COLOUR = _which('which_colour', 'Relationship', 'is {v}', 'has the colour {v}')
WHICH_KIND = _which('which_kind', 'Relationship', 'is {v}', 'would you call {v}')
WHICH_SIZE = _which('which_size', 'Relationship', 'is {v} for its kind', 'is a {v} one of its kind')
LARGEST = _which('largest', 'Relationship', 'is the largest', 'is the biggest')
LEFTMOST = _which('leftmost', 'Relationship', 'is farthest to the left', 'is the leftmost')
RIGHTMOST = _which('rightmost', 'Relationship', 'is farthest to the right', 'is the rightmost')
NEAREST = _which('nearest', 'Relationship', 'is nearest to the camera', 'is closest to us')
WHICH_MOVES = _which('which_moves', 'Sequential', 'is moving', 'is in motion')
WHICH_FALLS = _which('which_falls', 'Future Prediction', 'will fall off the table', 'will drop off the table')
HOW_MANY_MOVE = _how_many('how_many_move', 'Sequential', 'are moving')
HOW_MANY_COLOUR = _how_many('how_many_colour', 'Relationship', 'are {v}')
SAME_COLOUR = _alike('same_colour', 'of the same colour', 'the same colour')
SAME_SIZE = _alike('same_size', 'of the same size for their kind', 'the same size for their kind')


def several_facts(view: View, marked: Sequence[str]) -> Iterator[Fact]:
    """Yield what is true of two or three objects together."""
    names = tuple(marked)
    yield from _attributes(view, names)
    yield from _extremes(view, names)
    if view.window is not None:
        yield from _happenings(view, names)


def _attributes(view: View, names: tuple[str, ...]) -> Iterator[Fact]:
    items = [view.item(name) for name in names]
    columns: list[tuple[Topic, list[str], Callable[[str], str]]] = [
        (WHICH_COLOUR, [item.colour for item in items], str),
        (WHICH_SIZE, [item.size for item in items], str),
        (WHICH_KIND, [item.category for item in items], lambda kind: f'a {kind}'),
    ]
    if not all(view.recognised(name) for name in names):
        del columns[1:]
    for topic, values, words in columns:
        for value in values:
            if values.count(value) == 1:
                yield _among(topic, names, values.index(value), detail=words(value))
    colours = columns[0][1]
    for colour in dict.fromkeys(colours):
        yield Fact(
            HOW_MANY_COLOUR, names, _NUMBERS[colours.count(colour)], detail=colour, stratum=_size(names)
        )
    yield Fact(SAME_COLOUR, names, 'yes' if len(set(colours)) == 1 else 'no', stratum=_size(names))
    if len(columns) > 1:
        yield Fact(SAME_SIZE, names, 'yes' if len(set(columns[1][1])) == 1 else 'no', stratum=_size(names))


def _extremes(view: View, names: tuple[str, ...]) -> Iterator[Fact]:
    for place, name in enumerate(names):
        if all(compare_sizes(view, name, other) > 0 for other in names if other != name):
            yield _among(LARGEST, names, place)
    if not all(view.seen_last(name) and view.on_table(name) for name in names):
        return
    across = [float(view.pixels(name)[-1, 0]) for name in names]
    away = [float((view.in_camera(name)[-1] ** 2).sum() ** 0.5) for name in names]
    for topic, values, margin in (
        (LEFTMOST, across, SIDE_MARGIN_PX),
        (RIGHTMOST, [-value for value in across], SIDE_MARGIN_PX),
        (NEAREST, away, DEPTH_MARGIN_M),
    ):
        least, next_ = sorted(values)[:2]
        if next_ - least >= margin:
            yield _among(topic, names, values.index(least))


def _happenings(view: View, names: tuple[str, ...]) -> Iterator[Fact]:
    movements = [movement_of(view, name) for name in names]
    if all(m.end and not m.fell and not m.carried for m in movements) and all(map(view.seen_last, names)):
        moving = [m.end == 'moving' for m in movements]
        yield Fact(HOW_MANY_MOVE, names, _NUMBERS[sum(moving)], stratum=_size(names))
        if sum(moving) == 1:
            yield _among(WHICH_MOVES, names, moving.index(True))
    outcomes = [outcome_of(view, name) for name in names]
    falls = [bool(outcome and outcome.falls) for outcome in outcomes]
    if all(outcomes) and sum(falls) == 1:
        yield _among(WHICH_FALLS, names, falls.index(True))


def _among(topic: Topic, names: tuple[str, ...], place: int, detail: str = '') -> Fact:
    others = tuple(word for word in _PLACES[: len(names)] if word != _PLACES[place])
    return Fact(topic, names, _PLACES[place], others=others, detail=detail, stratum=_size(names))


def _size(names: tuple[str, ...]) -> str:
    return str(len(names))
