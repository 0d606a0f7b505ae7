"""Why something happened, and what could be done with an object."""

from __future__ import annotations

from collections.abc import Iterator

from ..catalogue import CATEGORIES
from .appearance import CATEGORY
from .movement import UPRIGHT_DEG, movement_of
from .question import Fact, Phrasings, Topic
from .view import View

_YES_NO = ('yes', 'no')
# From an object's border to the nearest edge of the table: close, and clearly not. Metres.
_NEAR_EDGE_M, _OFF_EDGE_M = 0.03, 0.08
# Partly hidden when less of it is seen, free when more.
_HIDDEN_SHARE, _FREE_SHARE = 0.7, 0.97
# Something may or may not stay on top of these.
_HALF_FLAT = frozenset({'plate', 'ring', 'star', 'mug', 'bowl'})

WHY = Topic(
    'why',
    'reasoning',
    'Reasoning',
    ('pushed', 'hit', 'lifted'),
    Phrasings(
        (
            'Why did {a} move?',
            'What made {a} move?',
            'Why did {a} begin to move?',
            'What is the reason that {a} moved?',
            'What set {a} in motion?',
        ),
        ('For what reason did {a} leave its place?', 'How come {a} moved?'),
    ),
    said={
        'pushed': 'The rod pushed it.',
        'hit': 'Another object hit it.',
        'lifted': 'The rod lifted it.',
    },
    claimed=Phrasings(
        (
            'Did {a} move because {v}?',
            'Is it true that {a} moved because {v}?',
            'Did {a} begin to move because {v}?',
            'Tell me whether {a} moved because {v}.',
            'Was this the reason that {a} moved: {v}?',
        ),
        ('Did {a} leave its place because {v}?', 'Would you say that {a} moved because {v}?'),
    ),
    words={'pushed': 'the rod pushed it', 'hit': 'another object hit it', 'lifted': 'the rod lifted it'},
)
CAUSED = Topic(
    'caused',
    'reasoning',
    'Reasoning',
    _YES_NO,
    Phrasings(
        (
            'Did {a} make {b} move?',
            'Did {b} move because {a} hit it?',
            'Was {b} set in motion by {a}?',
            'Tell me whether {a} made {b} move.',
            'Is it true that {a} knocked {b} away?',
        ),
        ('Is {a} the reason that {b} moved?', 'Did {b} begin to move because of {a}?'),
    ),
)
AT_EDGE = Topic(
    'at_edge',
    'reasoning',
    'Reasoning',
    _YES_NO,
    Phrasings(
        (
            'Is {a} close to the edge of the table?',
            'Does {a} stand near the edge of the table?',
            'Is {a} near the edge?',
            'Tell me whether {a} is close to the edge of the table.',
            'Would a small push move {a} off the table?',
        ),
        ('Is {a} in danger of being knocked off the table?', 'Is there little table left beside {a}?'),
    ),
)
STACKABLE = Topic(
    'stackable',
    'reasoning',
    'Reasoning',
    _YES_NO,
    Phrasings(
        (
            'Could something be put on top of {a}?',
            'Can one stack something on {a}?',
            'Would a box stay on top of {a}?',
            'Tell me whether something can be stacked on {a}.',
            'Is the top of {a} flat enough to put something on it?',
        ),
        ('Could {a} carry another object on its top?', 'Would {a} do as the base of a stack?'),
    ),
)
WOULD_ROLL = Topic(
    'would_roll',
    'reasoning',
    'Reasoning',
    _YES_NO,
    Phrasings(
        (
            'Would {a} roll if it were pushed?',
            'Does {a} roll when it is pushed?',
            'If somebody pushed {a}, would it roll?',
            'Tell me whether {a} would roll.',
            'Can {a} roll as it stands?',
        ),
        ('Would {a} roll rather than slide?', 'Given a push, will {a} roll?'),
    ),
)
PARTLY_HIDDEN = Topic(
    'partly_hidden',
    'reasoning',
    'Reasoning',
    _YES_NO,
    Phrasings(
        (
            'Is {a} partly hidden by something?',
            'Does something stand in front of {a}?',
            'Is a part of {a} covered?',
            'Tell me whether {a} is partly hidden.',
            'Is the view of {a} blocked in part?',
        ),
        ('Is some of {a} out of sight?', 'Does something keep us from seeing all of {a}?'),
    ),
)


def reasoning_facts(view: View, name: str) -> Iterator[Fact]:
    """Yield what can be concluded about one object, in a still or in a window."""
    yield from _use(view, name)
    if not (view.seen_last(name) and view.on_table(name)):
        return
    share = view.shown_share(name)
    if share < _HIDDEN_SHARE or share > _FREE_SHARE:
        yield Fact(PARTLY_HIDDEN, (name,), 'yes' if share < _HIDDEN_SHARE else 'no')
    item = view.item(name)
    sides = [size / 2 for size in view.record.table_size_m]
    room = min(side - abs(at) for side, at in zip(sides, view.path(name)[-1, :2], strict=True))
    room -= CATEGORIES[item.category].radius_m * item.scale
    if room < _NEAR_EDGE_M or room > _OFF_EDGE_M:
        yield Fact(AT_EDGE, (name,), 'yes' if room < _NEAR_EDGE_M else 'no')


def cause_facts(view: View, name: str) -> Iterator[Fact]:
    """Yield why one object began to move in a window."""
    movement = movement_of(view, name)
    if movement.cause and movement.moved and len(view.seen_frames(name)) >= len(view.frames) - 1:
        yield Fact(WHY, (name,), movement.cause)


def blame_facts(view: View, a: str, b: str) -> Iterator[Fact]:
    """Yield whether ``a`` set ``b`` in motion, where it is clear what did."""
    movement = movement_of(view, b)
    if movement.cause and movement.moved and all(view.seen_last(name) for name in (a, b)):
        yield Fact(CAUSED, (a, b), 'yes' if movement.mover == a else 'no')


def _use(view: View, name: str) -> Iterator[Fact]:
    """What a kind of object is good for, as long as it stands upright."""
    kind = CATEGORIES[view.item(name).category]
    if not view.recognised(name):
        return
    if kind.rolls or view.tilts(name).max() < UPRIGHT_DEG:
        named = Fact(CATEGORY, (name,), kind.name)
        if kind.name not in _HALF_FLAT:
            yield Fact(STACKABLE, (name,), 'yes' if kind.flat_top else 'no', openly=named)
        yield Fact(WOULD_ROLL, (name,), 'yes' if kind.rolls else 'no', openly=named)
