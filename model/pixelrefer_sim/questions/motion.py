"""What objects do, and in which order they did it, within the frames."""

from __future__ import annotations

from collections.abc import Iterator

from .movement import Direction, Movement, movement_of
from .question import ORDINALS, Fact, Phrasings, Topic
from .view import View

_YES_NO = ('yes', 'no')
WAYS: dict[str, str] = {
    'left': 'to the left',
    'right': 'to the right',
    'towards': 'towards the camera',
    'away': 'away from the camera',
}
_GOING = {f'{verb} {way}': f'It is {verb} {WAYS[way]}.' for verb in ('rolling', 'sliding') for way in WAYS}
_WENT = {f'{verb} {way}': f'It was {verb} {WAYS[way]}.' for verb in ('rolling', 'sliding') for way in WAYS}
# Two objects began to move so long one after the other: two frames apart at least, seconds.
_APART_S = 0.3
# Hidden when less of it is seen on some frame, never hidden when more on all.
_COVERED_SHARE, _FREE_SHARE = 0.2, 0.95

DOING = Topic(
    'doing',
    'motion',
    'Basic',
    ('still', 'stopped', *_GOING, 'lifted', 'falling'),
    Phrasings(
        (
            'What is {a} doing?',
            'What is happening to {a}?',
            'How is {a} moving?',
            'Describe what {a} is doing.',
            'Describe the motion of {a}.',
            'What does {a} do now?',
        ),
        ('Can you tell me what {a} is doing?', 'What is going on with {a}?'),
    ),
    said={
        'still': 'It is standing still.',
        'stopped': 'It has come to rest.',
        **_GOING,
        'lifted': 'It is being lifted.',
        'falling': 'It is falling off the table.',
    },
)
DIRECTION = Topic(
    'direction',
    'motion',
    'Basic',
    tuple(WAYS),
    Phrasings(
        (
            'In which direction is {a} moving?',
            'Where is {a} going?',
            'Which way is {a} moving?',
            'What is the direction of motion of {a}?',
            'Where is {a} heading?',
        ),
        ('Towards which side is {a} travelling?', 'Can you tell me which way {a} goes?'),
    ),
    said=WAYS,
    claimed=Phrasings(
        (
            'Is {a} moving {v}?',
            'Is {a} going {v}?',
            'Does {a} move {v}?',
            'Tell me whether {a} is moving {v}.',
            'Is it true that {a} is moving {v}?',
        ),
        ('Is {a} on its way {v}?', 'Is {a} heading {v}?'),
    ),
    words=WAYS,
)
MOVING = Topic(
    'moving',
    'motion',
    'Basic',
    _YES_NO,
    Phrasings(
        (
            'Is {a} moving?',
            'Is {a} in motion?',
            'Does {a} move now?',
            'Tell me whether {a} is moving.',
            'Is it true that {a} is moving?',
            'Do you see {a} moving?',
        ),
        ('Is {a} on the move?', 'Would you say that {a} is in motion?'),
    ),
)
STILL = Topic(
    'still',
    'motion',
    'Basic',
    _YES_NO,
    Phrasings(
        (
            'Is {a} standing still?',
            'Is {a} at rest?',
            'Does {a} stand still?',
            'Tell me whether {a} is standing still.',
            'Is it true that {a} is not moving?',
        ),
        ('Is {a} resting where it is?', 'Would you say that {a} is still?'),
    ),
)
HISTORY = Topic(
    'history',
    'sequence',
    'Sequential',
    ('stayed', 'started', 'stopped', 'kept', 'brief', 'fell'),
    Phrasings(
        (
            'What did {a} do in the {m}?',
            'What happened to {a} in the {m}?',
            'Describe in order what {a} did.',
            'What has {a} done from beginning to end?',
            'Tell the story of {a}.',
        ),
        ('What did {a} go through in the {m}?', 'How did things go for {a}, from first to last?'),
    ),
    said={
        'stayed': 'It stood still all the time.',
        'started': 'It stood still, then it moved.',
        'stopped': 'It moved, then it stopped.',
        'kept': 'It moved all the time.',
        'brief': 'It stood still, moved and stopped.',
        'fell': 'It moved, then it fell off the table.',
    },
)
BEFORE = Topic(
    'before',
    'sequence',
    'Sequential',
    ('still', *_WENT),
    Phrasings(
        (
            'What did {a} do before?',
            'What did {a} do first?',
            'What was {a} doing at the beginning?',
            'What did {a} do at the start of the {m}?',
            'Before now, what was {a} doing?',
        ),
        ('How did {a} begin?', 'What was the first thing that {a} did?'),
    ),
    said={'still': 'It stood still.', **_WENT},
)
MOVED = Topic(
    'moved',
    'sequence',
    'Sequential',
    _YES_NO,
    Phrasings(
        (
            'Did {a} move?',
            'Has {a} moved?',
            'Did {a} move in the {m}?',
            'Tell me whether {a} has moved.',
            'Is it true that {a} has moved?',
        ),
        ('Has {a} left its place?', 'Did {a} change its place?'),
    ),
)
STARTED = Topic(
    'started',
    'sequence',
    'Sequential',
    _YES_NO,
    Phrasings(
        (
            'Did {a} stand still before it moved?',
            'Was {a} at rest at the beginning?',
            'Did {a} stand still first?',
            'Tell me whether {a} stood still at the start.',
            'Is it true that {a} was at rest at first?',
        ),
        ('At first, was {a} still?', 'Was {a} not moving when the {m} began?'),
    ),
)
STOPPED = Topic(
    'stopped',
    'sequence',
    'Sequential',
    _YES_NO,
    Phrasings(
        (
            'Did {a} stop after it had moved?',
            'Did {a} move and then stop?',
            'Has {a} come to rest after moving?',
            'Tell me whether {a} has stopped.',
            'Is it true that {a} moved and then stopped?',
        ),
        ('Did the motion of {a} come to an end?', 'Has {a} stopped by the end, having moved before?'),
    ),
)
FELL = Topic(
    'fell',
    'sequence',
    'Sequential',
    _YES_NO,
    Phrasings(
        (
            'Did {a} fall off the table?',
            'Has {a} fallen off the table?',
            'Did {a} drop off the table?',
            'Tell me whether {a} fell off the table.',
            'Is it true that {a} went over the edge?',
        ),
        ('Has {a} gone over the edge of the table?', 'Did {a} leave the table over its edge?'),
    ),
)
TIPPED = Topic(
    'tipped',
    'sequence',
    'Sequential',
    _YES_NO,
    Phrasings(
        (
            'Did {a} tip over?',
            'Has {a} fallen over?',
            'Did {a} topple?',
            'Tell me whether {a} tipped over.',
            'Is it true that {a} was knocked over?',
        ),
        ('Does {a} lie on its side now?', 'Has {a} toppled over?'),
    ),
)
HID = Topic(
    'hid',
    'sequence',
    'Sequential',
    _YES_NO,
    Phrasings(
        (
            'Did {a} get hidden from view?',
            'Was {a} covered by something?',
            'Did something come in front of {a}?',
            'Tell me whether {a} was hidden at some time.',
            'Is it true that {a} was out of sight for a while?',
        ),
        ('Did {a} disappear behind something?', 'Was the sight of {a} blocked?'),
    ),
)
FIRST_MOVER = Topic(
    'first_mover',
    'sequence',
    'Sequential',
    tuple(ORDINALS),
    Phrasings(
        (
            'Which moved first, {a} or {b}?',
            'Which one began to move first, {a} or {b}?',
            'Of {a} and {b}, which moved first?',
            'Did {a} or {b} move first?',
            'Which of the two was in motion first, {a} or {b}?',
        ),
        ('Which set off earlier, {a} or {b}?', 'Which one was the first to move: {a} or {b}?'),
    ),
    said=ORDINALS,
)


def motion_facts(view: View, name: str) -> Iterator[Fact]:
    """Yield what one object does at the end of the window."""
    movement = movement_of(view, name)
    now = doing(view, name, movement)
    does = Fact(DOING, (name,), now) if now else None
    if does:
        yield does
    if not _in_sight(view, name) or movement.fell or movement.carried:
        return
    if movement.end:
        yield Fact(MOVING, (name,), 'yes' if movement.end == 'moving' else 'no', openly=does)
        yield Fact(STILL, (name,), 'no' if movement.end == 'moving' else 'yes', openly=does)
    if movement.end == 'moving' and movement.last:
        yield Fact(DIRECTION, (name,), movement.last)


def sequence_facts(view: View, name: str) -> Iterator[Fact]:
    """Yield what one object did, and in which order."""
    movement = movement_of(view, name)
    told = history(movement)
    tale = Fact(HISTORY, (name,), told) if told else None
    if view.frames[0] in view.seen_frames(name) and not movement.carried:
        before = _manner(movement.rolls, movement.first) if movement.start == 'moving' else ''
        value = 'still' if movement.start == 'resting' else before
        if value:
            yield Fact(BEFORE, (name,), value)
    if movement.fell and _seen_often(view, name):
        yield Fact(FELL, (name,), 'yes', openly=tale)
        if tale:
            yield tale
    if movement.carried or movement.fell:
        return
    yield from _hidden(view, name)
    if not _in_sight(view, name):
        return
    yield Fact(FELL, (name,), 'no', weight=1.0 if movement.moved else 0.3, openly=tale)
    if tale:
        yield tale
    yield from _polar_history(name, movement, tale)


def order_facts(view: View, a: str, b: str) -> Iterator[Fact]:
    """Yield which of two objects began to move first, when both began within the window."""
    starts = [
        [e.start_s for e in view.events('moving', name) if view.start_s < e.start_s < view.end_s - 0.2]
        for name in (a, b)
    ]
    if all(len(times) == 1 for times in starts) and _seen_often(view, a) and _seen_often(view, b):
        later = starts[1][0] - starts[0][0]
        if abs(later) >= _APART_S:
            yield Fact(FIRST_MOVER, (a, b), 'first' if later > 0 else 'second')


def doing(view: View, name: str, movement: Movement) -> str:
    """Return the value of :data:`DOING`, '' when it is not clear."""
    if not view.seen_last(name):
        return ''
    if movement.fell:
        return 'falling'
    if movement.lifted:
        return 'lifted'
    if movement.carried or not _in_sight(view, name):
        return ''
    if movement.moved is False:
        return 'still'
    if movement.end == 'resting':
        return 'stopped' if movement.moved else ''
    upright = movement.rolls or movement.tipped is False
    return _manner(movement.rolls, movement.last) if movement.end == 'moving' and upright else ''


def history(movement: Movement) -> str:
    """Return the value of :data:`HISTORY`, '' when it is not clear."""
    if movement.carried or movement.moved is None:
        return ''
    if not movement.moved:
        return 'stayed'
    if movement.fell:
        return 'fell'
    if movement.start == movement.end == 'moving':
        return '' if movement.paused else 'kept'
    told = {
        ('resting', 'moving'): 'started',
        ('moving', 'resting'): 'stopped',
        ('resting', 'resting'): 'brief',
    }
    return told.get((movement.start, movement.end), '')


def _polar_history(name: str, movement: Movement, tale: Fact | None) -> Iterator[Fact]:
    if movement.moved is not None:
        yield Fact(MOVED, (name,), 'yes' if movement.moved else 'no', openly=tale)
    if movement.moved and movement.start:
        yield Fact(STARTED, (name,), 'yes' if movement.start == 'resting' else 'no', openly=tale)
    if tale:
        yield Fact(STOPPED, (name,), 'yes' if tale.value in ('stopped', 'brief') else 'no', openly=tale)
    if movement.tipped is not None:
        yield Fact(TIPPED, (name,), 'yes' if movement.tipped else 'no', weight=1.0 if movement.moved else 0.3)


def _hidden(view: View, name: str) -> Iterator[Fact]:
    place = view.record.index(name)
    whole = [view.record.whole_px[frame][place] for frame in view.frames]
    if view.frames[0] not in view.seen_frames(name) or not all(whole):
        return
    seen = [view.record.visible_px[frame][place] for frame in view.frames]
    least = min(part / all_ for part, all_ in zip(seen, whole, strict=True))
    if least < _COVERED_SHARE or least > _FREE_SHARE:
        yield Fact(HID, (name,), 'yes' if least < _COVERED_SHARE else 'no')


def _manner(rolls: bool, direction: Direction) -> str:
    return f'{"rolling" if rolls else "sliding"} {direction}' if direction else ''


def _seen_often(view: View, name: str) -> bool:
    """Tell whether the object is seen on half of the frames."""
    return 2 * len(view.seen_frames(name)) >= len(view.frames)


def _in_sight(view: View, name: str) -> bool:
    """Tell whether the object is seen at the beginning and on the last two frames."""
    seen = view.seen_frames(name)
    return {view.frames[0], *view.frames[-2:]} <= set(seen)
