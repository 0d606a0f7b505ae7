"""Detailed captions: what an object is, where it is, and in a video what it does and why."""

from __future__ import annotations

from collections.abc import Iterator

from .appearance import POSITION, phrase_of, third_of
from .motion import DOING, doing
from .movement import movement_of
from .question import Fact, Phrasings, Topic
from .reasoning import WHY
from .view import View

CAPTION = Topic(
    'caption',
    'caption',
    'Basic',
    (),
    Phrasings(
        (
            'Please describe in detail {a} in the {m}.',
            'Describe {a} in detail.',
            'Please describe {a} in the {m} in detail.',
            'Give a detailed description of {a}.',
            'Tell me all about {a}.',
        ),
        ('What can be said about {a} in the {m}?', 'Write a detailed caption for {a}.'),
    ),
    options=False,
)


def caption_facts(view: View, name: str) -> Iterator[Fact]:
    """Yield the caption of one object, when every part of it is clear."""
    third = third_of(view, name)
    if not third or not view.recognised(name):
        return
    phrase = phrase_of(view.item(name))
    sentences = [f'{phrase[0].upper()}{phrase[1:]}, {POSITION.say(third)} of the {view.medium}.']
    if view.window is not None:
        movement = movement_of(view, name)
        now = doing(view, name, movement)
        if not now:
            return
        sentences.append(DOING.say(now))
        if movement.cause in ('pushed', 'hit') and movement.moved:
            sentences.append(WHY.say(movement.cause))
    yield Fact(CAPTION, (name,), ' '.join(sentences), others=())
