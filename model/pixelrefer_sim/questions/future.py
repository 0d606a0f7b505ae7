"""What comes next, when nobody interferes: known from simulating on, asked only where a camera can know it."""

from __future__ import annotations

from collections.abc import Iterator

from ..record import FUTURE_S, Outcome
from .movement import movement_of
from .question import Fact, Phrasings, Topic
from .view import View

_YES_NO = ('yes', 'no')
# Nobody needs a forecast for what stands still: such questions are asked this much less often.
_STILL_WEIGHT = 0.25

NEXT = Topic(
    'next',
    'future',
    'Future Prediction',
    ('falls', 'hits', 'stops', 'moves', 'stays'),
    Phrasings(
        (
            'What will happen next?',
            f'What will happen next? Consider the next {FUTURE_S:g} seconds.',
            'What will happen to {a} next?',
            'What will {a} do next?',
            'What is going to happen to {a}?',
            'Predict what {a} will do.',
        ),
        ('What comes next for {a}?', 'What do you expect {a} to do?'),
    ),
    said={
        'falls': 'It will fall off the table.',
        'hits': 'It will hit another object.',
        'stops': 'It will come to rest on the table.',
        'moves': 'It will keep moving.',
        'stays': 'It will stay where it is.',
    },
)
WILL_FALL = Topic(
    'will_fall',
    'future',
    'Future Prediction',
    _YES_NO,
    Phrasings(
        (
            'Will {a} fall off the table?',
            'Is {a} about to fall?',
            'Is {a} going to fall off the table?',
            'Tell me whether {a} will fall off the table.',
            'Will {a} go over the edge?',
        ),
        ('Is {a} bound to drop off the table?', 'Do you expect {a} to fall from the table?'),
    ),
)
WILL_HIT = Topic(
    'will_hit',
    'future',
    'Future Prediction',
    _YES_NO,
    Phrasings(
        (
            'Will {a} hit another object?',
            'Is {a} going to hit something?',
            'Will {a} bump into something?',
            'Tell me whether {a} will hit another object.',
            'Will there be a collision of {a} with something?',
        ),
        ('Is {a} bound to run into something?', 'Do you expect {a} to touch another object?'),
    ),
)
WILL_STOP = Topic(
    'will_stop',
    'future',
    'Future Prediction',
    _YES_NO,
    Phrasings(
        (
            'Will {a} stop on the table?',
            'Will {a} come to rest on the table?',
            'Is {a} going to stop before the edge?',
            'Tell me whether {a} will stop on the table.',
            'Will {a} slow down and stop?',
        ),
        ('Do you expect {a} to come to rest soon?', 'Is {a} bound to stop on the table?'),
    ),
)
WILL_STAY = Topic(
    'will_stay',
    'future',
    'Future Prediction',
    _YES_NO,
    Phrasings(
        (
            'Will {a} stay where it is?',
            'Is {a} going to stay in its place?',
            'Will {a} remain where it is now?',
            'Tell me whether {a} will stay where it is.',
            'Will {a} keep its place?',
        ),
        ('Do you expect {a} to stay put?', 'Is {a} bound to remain in its place?'),
    ),
)
WILL_HIT_IT = Topic(
    'will_hit_it',
    'future',
    'Future Prediction',
    _YES_NO,
    Phrasings(
        (
            'Will {a} hit {b}?',
            'Is {a} going to hit {b}?',
            'Will {a} bump into {b}?',
            'Tell me whether {a} will hit {b}.',
            'Will {a} and {b} collide?',
        ),
        ('Is {a} bound to run into {b}?', 'Do you expect {a} to touch {b}?'),
    ),
)


def outcome_of(view: View, name: str) -> Outcome | None:
    """Return what an object will do, None when that cannot be known from what is seen."""
    if view.window is None or view.window.open or not view.seen_last(name):
        return None
    found = next((outcome for outcome in view.window.outcomes if outcome.name == name), None)
    return found if found and found.clear else None


def future_facts(view: View, name: str) -> Iterator[Fact]:
    """Yield what one object will do."""
    outcome = outcome_of(view, name)
    if outcome is None or len(view.seen_frames(name)) < 2:
        return
    movement = movement_of(view, name)
    # An object that seems to move and has just stopped, or the other way round.
    seems = {'moving': ('falls', 'hits', 'stops', 'moves'), 'resting': ('falls', 'hits', 'stays')}
    if movement.fell or outcome.first not in seems.get(movement.end, ()):
        return
    weight = 1.0 if movement.end == 'moving' else _STILL_WEIGHT
    kind = view.item(name).category
    comes = Fact(NEXT, (name,), outcome.first)
    yield comes
    yield Fact(
        WILL_FALL, (name,), 'yes' if outcome.falls else 'no', stratum=kind, weight=weight, openly=comes
    )
    yield Fact(WILL_HIT, (name,), 'yes' if outcome.hits else 'no', stratum=kind, weight=weight, openly=comes)
    if outcome.first in ('stops', 'falls', 'moves'):
        yield Fact(
            WILL_STOP, (name,), 'yes' if outcome.first == 'stops' else 'no', stratum=kind, openly=comes
        )
    if outcome.first in ('stays', 'falls', 'moves') or (outcome.first == 'hits' and weight == 1.0):
        yield Fact(WILL_STAY, (name,), 'yes' if outcome.first == 'stays' else 'no', openly=comes)


def collision_facts(view: View, a: str, b: str) -> Iterator[Fact]:
    """Yield whether ``a`` will hit ``b``: asked of what moves, when its first collision is known."""
    outcome = outcome_of(view, a)
    if outcome is None or not view.seen_last(b) or movement_of(view, a).end != 'moving':
        return
    if outcome.first == 'hits':
        yield Fact(WILL_HIT_IT, (a, b), 'yes' if outcome.other == b else 'no')
    elif not outcome.hits:
        yield Fact(WILL_HIT_IT, (a, b), 'no', weight=0.5)
