"""How two objects stand to each other at the end of the frames, as the camera sees them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..catalogue import CATEGORIES
from .question import ORDINALS, Fact, Phrasings, Topic
from .view import View

_YES_NO = ('yes', 'no')

# An object is to one side of another when their centres are so far apart in the picture ...
SIDE_MARGIN_PX = 24.0
# ... in front or behind, and nearer or farther, when so far apart along the table or from the camera ...
DEPTH_MARGIN_M = 0.06
# ... and of left, right, in front and behind the one is meant whose distance on the table is so much longer; for
# depth longer still, since the camera looks along it and shortens it.
SIDE_DOMINANCE, DEPTH_DOMINANCE = 1.5, 2.0
# One is bigger when the cylinder around it is so much bigger, and its longest side so much longer.
_BULK, _LENGTH = 1.6, 1.12
# Two are close when the gap between the circles around them is below the first, far from the second on.
_CLOSE_M, _FAR_M = 0.05, 0.12

SIDE = Topic(
    'side',
    'relation',
    'Relationship',
    ('left', 'right'),
    Phrasings(
        (
            'Is {a} to the left or to the right of {b}?',
            'On which side of {b} is {a}?',
            'Is {a} left or right of {b}?',
            'Seen from {b}, is {a} on the left or on the right?',
            'To which side of {b} does one find {a}?',
        ),
        ('Left or right: on which side of {b} is {a}?', 'Which side of {b} is {a} on?'),
    ),
    said={'left': 'to the left', 'right': 'to the right'},
    claimed=Phrasings(
        (
            'Is {a} {v} of {b}?',
            'Does {a} stand {v} of {b}?',
            'Do you see {a} {v} of {b}?',
            'Tell me whether {a} is {v} of {b}.',
            'Is it true that {a} is {v} of {b}?',
        ),
        ('Would you say that {a} is {v} of {b}?', 'Can {a} be found {v} of {b}?'),
    ),
    words={'left': 'to the left', 'right': 'to the right'},
)
DEPTH = Topic(
    'depth',
    'relation',
    'Relationship',
    ('front', 'behind'),
    Phrasings(
        (
            'Is {a} in front of {b} or behind it?',
            'Is {a} in front of or behind {b}?',
            'Does {a} stand in front of {b} or behind {b}?',
            'Is {a} behind {b} or in front of it?',
            'As the camera sees it, is {a} before or behind {b}?',
        ),
        ('In front or behind: where is {a}, compared with {b}?', 'Is {a} before {b} or behind {b}?'),
    ),
    said={'front': 'in front of it', 'behind': 'behind it'},
    claimed=Phrasings(
        (
            'Is {a} {v} {b}?',
            'Does {a} stand {v} {b}?',
            'Do you see {a} {v} {b}?',
            'Tell me whether {a} is {v} {b}.',
            'Is it true that {a} is {v} {b}?',
        ),
        ('Would you say that {a} is {v} {b}?', 'Can {a} be found {v} {b}?'),
    ),
    words={'front': 'in front of', 'behind': 'behind'},
)
WHERE = Topic(
    'where',
    'relation',
    'Relationship',
    ('left', 'right', 'front', 'behind'),
    Phrasings(
        (
            'Where is {a} relative to {b}?',
            'What is the position of {a} relative to {b}?',
            'Where does {a} stand, compared with {b}?',
            'How is {a} placed relative to {b}?',
            'What is the spatial relation of {a} to {b}?',
        ),
        ('In which direction from {b} is {a}?', 'Seen from the camera, where is {a} with respect to {b}?'),
    ),
    said={
        'left': 'to the left of it',
        'right': 'to the right of it',
        'front': 'in front of it',
        'behind': 'behind it',
    },
)
NEARER = Topic(
    'nearer',
    'relation',
    'Relationship',
    tuple(ORDINALS),
    Phrasings(
        (
            'Which is nearer to the camera, {a} or {b}?',
            'Which one is closer to the camera, {a} or {b}?',
            'Of {a} and {b}, which is nearer to the camera?',
            'Is {a} or {b} nearer to the camera?',
            'Which of the two is closer to us, {a} or {b}?',
        ),
        ('Which has the shorter way to the camera, {a} or {b}?', 'Which one is nearer to us: {a} or {b}?'),
    ),
    said=ORDINALS,
)
BIGGER = Topic(
    'bigger',
    'relation',
    'Relationship',
    tuple(ORDINALS),
    Phrasings(
        (
            'Which is bigger, {a} or {b}?',
            'Which one is larger, {a} or {b}?',
            'Of {a} and {b}, which is the bigger one?',
            'Is {a} or {b} bigger?',
            'Which of the two is larger, {a} or {b}?',
        ),
        ('Which takes up more room, {a} or {b}?', 'Which one is the larger: {a} or {b}?'),
    ),
    said=ORDINALS,
)
IS_BIGGER = Topic(
    'is_bigger',
    'relation',
    'Relationship',
    _YES_NO,
    Phrasings(
        (
            'Is {a} bigger than {b}?',
            'Is {a} larger than {b}?',
            'Tell me whether {a} is bigger than {b}.',
            'Is it true that {a} is bigger than {b}?',
            'Compared with {b}, is {a} the bigger one?',
        ),
        ('Does {a} take up more room than {b}?', 'Would you say that {a} is larger than {b}?'),
    ),
)
IS_NEARER = Topic(
    'is_nearer',
    'relation',
    'Relationship',
    _YES_NO,
    Phrasings(
        (
            'Is {a} nearer to the camera than {b}?',
            'Is {a} closer to the camera than {b}?',
            'Tell me whether {a} is nearer to the camera than {b}.',
            'Is it true that {a} is closer to us than {b}?',
            'Compared with {b}, is {a} nearer to the camera?',
        ),
        (
            'Has {a} the shorter way to the camera than {b}?',
            'Would you say that {a} is nearer to us than {b}?',
        ),
    ),
)
CLOSE = Topic(
    'close',
    'relation',
    'Relationship',
    _YES_NO,
    Phrasings(
        (
            'Are {a} and {b} close together?',
            'Is {a} close to {b}?',
            'Do {a} and {b} stand close to each other?',
            'Is {a} right beside {b}?',
            'Tell me whether {a} and {b} are close together.',
        ),
        ('Is there little room between {a} and {b}?', 'Are {a} and {b} near each other?'),
    ),
)
ON_TOP = Topic(
    'on_top',
    'relation',
    'Relationship',
    _YES_NO,
    Phrasings(
        (
            'Is {a} on top of {b}?',
            'Does {a} stand on {b}?',
            'Is {a} on {b}?',
            'Tell me whether {a} is on top of {b}.',
            'Was {a} put on top of {b}?',
        ),
        ('Does {b} carry {a}?', 'Are {a} and {b} stacked, {a} above?'),
    ),
)


def relation_facts(view: View, a: str, b: str) -> Iterator[Fact]:
    """Yield what is true of two objects, both seen above the table at the end; what is not clear is left out."""
    if not all(view.seen_last(name) and view.on_table(name) for name in (a, b)):
        return
    pair = (a, b)
    across = float(view.pixels(a)[-1, 0] - view.pixels(b)[-1, 0])
    deeper = view.depth_along_table(a) - view.depth_along_table(b)
    if abs(across) >= SIDE_MARGIN_PX:
        yield Fact(SIDE, pair, 'left' if across < 0 else 'right')
    if abs(deeper) >= DEPTH_MARGIN_M:
        yield Fact(DEPTH, pair, 'front' if deeper < 0 else 'behind')
    yield from _where(view, pair, across, deeper)
    farther = float(_distance(view, a) - _distance(view, b))
    if abs(farther) >= DEPTH_MARGIN_M:
        nearer = Fact(NEARER, pair, 'first' if farther < 0 else 'second')
        yield nearer
        yield Fact(IS_NEARER, pair, 'yes' if farther < 0 else 'no', openly=nearer)
    bigger = compare_sizes(view, a, b)
    if bigger:
        which = Fact(BIGGER, pair, 'first' if bigger > 0 else 'second')
        yield which
        yield Fact(IS_BIGGER, pair, 'yes' if bigger > 0 else 'no', openly=which)
    yield from _contact(view, pair)


def compare_sizes(view: View, a: str, b: str) -> int:
    """Return 1 when ``a`` is clearly bigger than ``b``, -1 when it is clearly smaller, else 0."""
    (bulk, length), (other_bulk, other_length) = (_extent(view, name) for name in (a, b))
    if bulk > _BULK * other_bulk and length > _LENGTH * other_length:
        return 1
    return -1 if other_bulk > _BULK * bulk and other_length > _LENGTH * length else 0


def _where(view: View, pair: tuple[str, str], across: float, deeper: float) -> Iterator[Fact]:
    sideways = abs(float(view.in_camera(pair[0])[-1, 0] - view.in_camera(pair[1])[-1, 0]))
    if sideways > SIDE_DOMINANCE * abs(deeper) and abs(across) >= SIDE_MARGIN_PX:
        yield Fact(WHERE, pair, 'left' if across < 0 else 'right')
    elif abs(deeper) > max(DEPTH_DOMINANCE * sideways, DEPTH_MARGIN_M):
        yield Fact(WHERE, pair, 'front' if deeper < 0 else 'behind')


def _contact(view: View, pair: tuple[str, str]) -> Iterator[Fact]:
    (x1, y1, z1), (x2, y2, z2) = (view.path(name)[-1] for name in pair)
    apart = math.hypot(x1 - x2, y1 - y2)
    radii = [CATEGORIES[view.item(name).category].radius_m * view.item(name).scale for name in pair]
    heights = [CATEGORIES[view.item(name).category].height_m * view.item(name).scale for name in pair]
    stacked = apart < radii[1] and z1 - z2 > 0.8 * sum(heights) / 2
    yield Fact(ON_TOP, pair, 'yes' if stacked else 'no')
    gap = apart - sum(radii)
    if gap < _CLOSE_M or gap > _FAR_M:
        yield Fact(CLOSE, pair, 'yes' if gap < _CLOSE_M else 'no')


def _distance(view: View, name: str) -> float:
    return math.hypot(*view.in_camera(name)[-1])


def _extent(view: View, name: str) -> tuple[float, float]:
    item = view.item(name)
    kind = CATEGORIES[item.category]
    return kind.radius_m**2 * kind.height_m * item.scale**3, max(
        2 * kind.radius_m, kind.height_m
    ) * item.scale
