"""The words that a detector looks for. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import EmptyPromptError, InvalidPromptError

# More words at once, or longer ones, are no names of things; detectors read 256 tokens together at most.
MOST_WORDS = 32
WORD_CHARS = 64


def read_words(text: str) -> tuple[str, ...]:
    """Read words that are separated by commas; none when there are none. Raises as :func:`checked_words` does."""
    parts = [part for part in text.split(',') if part.strip()]
    return checked_words(parts) if parts else ()


def checked_words(words: Iterable[str]) -> tuple[str, ...]:
    """Return the words in their order, each once, with single spaces.

    Raises :class:`EmptyPromptError` for an empty one and :class:`InvalidPromptError` for what names nothing.
    """
    checked = tuple(dict.fromkeys(_checked(word) for word in words))
    if len(checked) > MOST_WORDS:
        raise InvalidPromptError(f'{len(checked)} different words to look for; {MOST_WORDS} is the most')
    return checked


def _checked(word: str) -> str:
    word = ' '.join(word.split())
    if not word:
        raise EmptyPromptError('the words to look for are empty: name a thing, such as "red ball"')
    if len(word) > WORD_CHARS or not word.isprintable():
        raise InvalidPromptError(
            f'words to look for must be printable and of at most {WORD_CHARS} characters, '
            f'got {len(word)}: {word[:WORD_CHARS]!r}'
        )
    return word
