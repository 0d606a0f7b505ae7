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
            'Say what {a} is.',
            'Tell me what {a} is.',
            'I want to know what {a} is.',
            'Do you know what {a} is?',
            'What thing is {a}?',
            'What is the name of {a}?',
            'What type of object is {a}?',
            'What do people call {a}?',
            'Give the category of {a}.',
            'What can {a} be?',
        ),
        ('Can you tell me what {a} is?', 'Which sort of thing is {a}?'),
    ),
    claimed=Phrasings(
        (
            'Is {a} {v}?',
            'Would you call {a} {v}?',
            'Does {a} look like {v}?',
            'Is {v} what {a} is?',
            'Can {a} be called {v}?',
            'Does {a} seem to be {v}?',
            'Is {v} the right word for {a}?',
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
            'Tell me the colour of {a}.',
            'Say which colour {a} has.',
            'I want to know what colour {a} is.',
            'Do you know the colour of {a}?',
            'What is the color of {a}?',
            'Of which colour is {a}?',
            'What colour does {a} have?',
            'Which color is {a}?',
            'Tell me what color {a} is.',
        ),
        ('Can you tell me which colour {a} is?', 'How is {a} coloured?'),
    ),
    claimed=Phrasings(
        (
            'Is {a} {v}?',
            'Is the colour of {a} {v}?',
            'Does {a} look {v}?',
            'Does {a} have the colour {v}?',
            'Is the color of {a} {v}?',
            'Is it true that {a} is {v}?',
            'Would {v} be the colour of {a}?',
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
            'Tell me the size of {a}.',
            'How large is {a}?',
            'Say whether {a} is small or large.',
            'I want to know how large {a} is.',
            'Do you know the size of {a}?',
            'Is {a} a small or a large one?',
            'Small or large: which is {a}?',
            'Give the size of {a}.',
        ),
        ('Of what size is {a}, for its kind?', 'Can you tell me how big {a} is?'),
    ),
    claimed=Phrasings(
        (
            'Is {a} {v}?',
            'Is {a} a {v} one?',
            'Is the size of {a} {v}?',
            'Is {a} one of the {v} ones?',
            'Does {a} look {v}, as such things go?',
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
            'Tell me where {a} is.',
            'Say where {a} is in the {m}.',
            'I want to know where {a} is.',
            'Do you know where {a} is?',
            'Where do you see {a}?',
            'On which side of the {m} is {a}?',
            'Where can I find {a}?',
            'Where does {a} stand in the {m}?',
            'Left, middle or right: where is {a}?',
            'Where should I look for {a}?',
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
            'Does {a} stand {v} of the {m}?',
            'Should I look {v} of the {m} for {a}?',
            'Is {v} of the {m} where {a} is?',
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
            'Tell me briefly what {a} looks like.',
            'Give a brief description of {a}.',
            'What does {a} look like, in a few words?',
            'Put {a} into a few words.',
            'Name {a} with its size and colour.',
            'I want a short description of {a}.',
            'In a few words, what is {a}?',
            'Say in short what {a} looks like.',
        ),
        ('Which short phrase fits {a}?', 'How would you describe {a} in a phrase?'),
    ),
    claimed=Phrasings(
        (
            'Is {a} {v}?',
            'Does "{v}" describe {a}?',
            'Do the words "{v}" describe {a}?',
            'Is {v} what {a} is?',
            'Can {a} be called {v}?',
            'Is {a} what one calls {v}?',
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
