"""What an object is and looks like: category, colour, size, place in the picture, a short phrase for it all."""

from __future__ import annotations

from collections.abc import Iterator

from ..catalogue import CATEGORIES, COLOURS, SIZES
from ..record import WIDTH, SceneObject
from .question import Fact, Phrasings, Topic, with_article
from .view import View

CATEGORY = Topic(
    'category',
    'category',
    'Basic',
    tuple(CATEGORIES),
    Phrasings(
        (
            'What is {a}?',
            'What is the category of {a}? Using only one word or phrase.',
            'What kind of object is {a}?',
            'Which category does {a} belong to?',
            'Name {a} in one word.',
            'What would you call {a}?',
        ),
        ('Can you tell me what {a} is?', 'Which sort of thing is {a}?'),
    ),
    claimed=Phrasings(
        (
            'Is {a} {v}?',
            'Would you call {a} {v}?',
            'Does {a} look like {v}?',
            'Tell me whether {a} is {v}.',
            'Is it true that {a} is {v}?',
        ),
        ('Do we see {v} when we look at {a}?', 'Could one say that {a} is {v}?'),
    ),
    words={name: with_article(name) for name in CATEGORIES},
)
COLOUR = Topic(
    'colour',
    'colour',
    'Basic',
    tuple(COLOURS),
    Phrasings(
        (
            'What colour is {a}?',
            'What color is {a}?',
            'Which colour does {a} have?',
            'What is the colour of {a}?',
            'Name the colour of {a}.',
            'In which colour is {a}?',
        ),
        ('Can you tell me which colour {a} is?', 'How is {a} coloured?'),
    ),
    claimed=Phrasings(
        (
            'Is {a} {v}?',
            'Is the colour of {a} {v}?',
            'Does {a} look {v}?',
            'Tell me whether {a} is {v}.',
            'Would you call {a} {v}?',
        ),
        ('Is {v} the colour of {a}?', 'Could one say that {a} is {v}?'),
    ),
)
SIZE = Topic(
    'size',
    'size',
    'Basic',
    SIZES,
    Phrasings(
        (
            'Is {a} small or large?',
            'What size is {a}?',
            'How big is {a}?',
            'Is {a} large or small?',
            'What is the size of {a}?',
            'Which size does {a} have?',
        ),
        ('Of what size is {a}, for its kind?', 'Can you tell me how big {a} is?'),
    ),
    claimed=Phrasings(
        (
            'Is {a} {v}?',
            'Is {a} a {v} one?',
            'Would you call {a} {v}?',
            'Tell me whether {a} is {v}.',
            'Is it true that {a} is {v}?',
        ),
        ('Is {a} {v} for its kind?', 'Could one say that {a} is {v}?'),
    ),
)
POSITION = Topic(
    'position',
    'position',
    'Basic',
    ('left', 'middle', 'right'),
    Phrasings(
        (
            'Where in the {m} is {a}?',
            'In which part of the {m} is {a}?',
            'Is {a} on the left, in the middle or on the right of the {m}?',
            'Where is {a}?',
            'Whereabouts in the {m} do you see {a}?',
        ),
        ('At which place of the {m} is {a}?', 'Can you tell me where in the {m} {a} is?'),
    ),
    said={'left': 'on the left', 'middle': 'in the middle', 'right': 'on the right'},
    claimed=Phrasings(
        (
            'Is {a} {v} of the {m}?',
            'Do you see {a} {v} of the {m}?',
            'Tell me whether {a} is {v} of the {m}.',
            'Is it true that {a} is {v} of the {m}?',
            'Does one find {a} {v} of the {m}?',
        ),
        ('Would you say that {a} is {v} of the {m}?', 'Can {a} be seen {v} of the {m}?'),
    ),
    words={'left': 'on the left', 'middle': 'in the middle', 'right': 'on the right'},
)
PHRASE = Topic(
    'phrase',
    'phrase',
    'Basic',
    tuple(f'a {size} {colour} {category}' for category in CATEGORIES for colour in COLOURS for size in SIZES),
    Phrasings(
        (
            'Describe {a} in a short phrase.',
            'Please describe {a} briefly.',
            'Give a short phrase for {a}.',
            'Describe {a} in a few words.',
            'Say in a few words what {a} is.',
        ),
        ('Which short phrase fits {a}?', 'How would you describe {a} in a phrase?'),
    ),
    claimed=Phrasings(
        (
            'Is {a} {v}?',
            'Does "{v}" describe {a}?',
            'Would you call {a} {v}?',
            'Tell me whether {a} is {v}.',
            'Is it true that {a} is {v}?',
        ),
        ('Is "{v}" a good name for {a}?', 'Could one say that {a} is {v}?'),
    ),
)

# A centre this far from the lines between the thirds of the picture is clearly on one side, share of the width.
_MARGIN = 0.05


def phrase_of(item: SceneObject) -> str:
    """Return what a person would call the object: ``a small red ball``."""
    return f'a {item.size} {item.colour} {item.category}'


def appearance_facts(view: View, name: str) -> Iterator[Fact]:
    """Yield what is true of one object; what cannot be seen well enough is left out."""
    item = view.item(name)
    yield Fact(COLOUR, (name,), item.colour, stratum=item.category)
    if view.recognised(name):
        yield Fact(CATEGORY, (name,), item.category)
        yield Fact(SIZE, (name,), item.size, stratum=item.category)
        yield Fact(PHRASE, (name,), phrase_of(item), others=_near_misses(item))
    third = third_of(view, name)
    if third:
        yield Fact(POSITION, (name,), third)


def third_of(view: View, name: str) -> str:
    """Return the third of the picture in which the object is at the end, '' when that is not clear."""
    if not view.seen_last(name):
        return ''
    share = view.pixels(name)[-1, 0] / WIDTH
    if min(abs(share - 1 / 3), abs(share - 2 / 3)) < _MARGIN:
        return ''
    return POSITION.values[min(max(int(share * 3), 0), 2)]


def _near_misses(item: SceneObject) -> tuple[str, ...]:
    """Phrases with one word changed."""
    sizes = [f'a {size} {item.colour} {item.category}' for size in SIZES if size != item.size]
    colours = [f'a {item.size} {colour} {item.category}' for colour in COLOURS if colour != item.colour]
    kinds = [f'a {item.size} {item.colour} {kind}' for kind in CATEGORIES if kind != item.category]
    # As often as each of the others, so that a wrong size is not the exception.
    return (*sizes * len(COLOURS), *colours, *kinds)
