"""Multiple choice in the format of VideoRefer-Bench-Q, and closed questions in words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .item import Answered
from .words import normalise

_SUFFIX = ". Answer with the option's letter from the given choices directly."


def choice_prompt(question: str, options: Sequence[str]) -> str:
    """Return the question with its options, ``(A) ...``, as the official evaluation asks it."""
    return f'{question} {" ".join(options)}{_SUFFIX}'


def letters_of(options: Sequence[str]) -> tuple[str, ...]:
    """Return the letters of options ``(A) ...``, or A, B, ... where they have none."""
    found = [re.match(r'\(?([A-Z])[).]', option.strip()) for option in options]
    return tuple(match[1] if match else chr(ord('A') + index) for index, match in enumerate(found))


def letter_of(text: str) -> str:
    """Return the letter an answer names: ``(B)`` anywhere, else ``B)`` anywhere, else the first character.

    In this order, as the official evaluation reads answers; full stops are skipped for the last. Empty text
    names none.
    """
    match = re.search(r'\(([A-Z])\)', text) or re.search(r'([A-Z])\)', text)
    return match[1] if match else text.strip().replace('.', '')[:1].upper()


def class_of(text: str, classes: Sequence[str]) -> str:
    """Return the one of ``classes`` that a text names, '' when it names none or several.

    A text that is a class names it; else the longest classes whose words it holds count, so that "dark red" is not
    also "red". Case and punctuation do not matter. Classes that are all single capital letters are read by
    :func:`letter_of`.
    """
    if all(len(name) == 1 and name.isupper() for name in classes):
        letter = letter_of(text)
        return letter if letter in classes else ''
    said = f' {normalise(text)} '
    names = {normalise(name): name for name in classes}
    if said.strip() in names:
        return names[said.strip()]
    held = [name for name in names if f' {name} ' in said]
    held = [name for name in held if not any(name != other and f' {name} ' in f' {other} ' for other in held)]
    return names[held[0]] if len(held) == 1 else ''


def decide(answered: Answered, *, by_probability: bool = False) -> str:
    """Return the class that was chosen: by its probability where that was asked for, else by the text."""
    prediction = answered.prediction
    if by_probability:
        return max(prediction.probabilities, key=lambda name: prediction.probabilities[name], default='')
    return class_of(prediction.text, answered.item.classes)
