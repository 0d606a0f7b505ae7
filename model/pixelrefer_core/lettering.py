"""Text in pictures: measuring, breaking into lines and drawing it, one line at a time.

OpenCV 5 carries a TrueType font that covers most scripts; older ones have stroke letters for ASCII alone.
Either way a letter that the font lacks appears as ``?``. Sizes and positions are in pixels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import cv2

from .types import ImageArray

Colour: TypeAlias = tuple[int, int, int]

ELLIPSIS = '...'
_REGULAR, _BOLD = 400, 650
# The stroke font at scale 1 is as large as this size of the TrueType font.
_STROKE_SIZE = 32.0


def drawable(text: str, *, ascii_only: bool = not hasattr(cv2, 'FontFace')) -> str:
    """Return the text as one line: white space joined, ``?`` for what has no shape in the font."""
    line = ' '.join(text.split())
    return ''.join(
        letter if letter.isprintable() and (letter.isascii() or not ascii_only) else '?' for letter in line
    )


def text_width(text: str, size: int, *, bold: bool = False) -> int:
    """Return how far the pen moves over the line, pixels."""
    text = drawable(text)
    if not text:
        return 0
    font = _font()
    if font is None:
        return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size / _STROKE_SIZE, 1 + bold)[0][0])
    weight = _BOLD if bold else _REGULAR
    # The stubs of OpenCV 5 describe this overload, those of OpenCV 4 do not know it.
    measure: Callable[..., tuple[int, int, int, int]] = cv2.getTextSize  # type: ignore[assignment]
    return int(measure((0, 0), text, (0, 0), font, size, weight)[2])


def draw_text(
    image: ImageArray, text: str, at: tuple[int, int], size: int, colour: Colour, *, bold: bool = False
) -> None:
    """Draw one line into ``image``, in place. ``at``: x of its left end and y of its base line."""
    text = drawable(text)
    font = _font()
    if not text:
        return
    if font is None:
        scale, face = size / _STROKE_SIZE, cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(image, text, at, face, scale, colour, 1 + bold, cv2.LINE_AA)
        return
    draw: Callable[..., object] = cv2.putText
    draw(image, text, at, colour, font, size, _BOLD if bold else _REGULAR)


def shorten(text: str, width: int, size: int, *, bold: bool = False) -> str:
    """Return the line, its end replaced by ``...`` when it is wider than ``width``; at worst nothing."""
    text = drawable(text)
    if text_width(text, size, bold=bold) <= width:
        return text
    fits = _longest(text, lambda head: text_width(head.rstrip() + ELLIPSIS, size, bold=bold) <= width)
    return text[:fits].rstrip() + ELLIPSIS if fits else ''


def wrap(text: str, width: int, size: int, *, bold: bool = False, max_lines: int = 0) -> list[str]:
    """Break the text into lines of at most ``width`` pixels, between words where that is possible.

    A word that is too long for a line is cut. ``max_lines`` > 0 shortens the last line that is allowed.
    """
    rest, lines = drawable(text), list[str]()
    while rest:
        if max_lines and len(lines) == max_lines - 1:
            return [*lines, shorten(rest, width, size, bold=bold)]
        fits = max(1, _longest(rest, lambda head: text_width(head, size, bold=bold) <= width))
        if fits < len(rest) and rest[fits] != ' ':
            fits = rest.rfind(' ', 0, fits) if ' ' in rest[:fits] else fits
        lines.append(rest[:fits].rstrip())
        rest = rest[fits:].lstrip()
    return lines


def _longest(text: str, fits: Callable[[str], bool]) -> int:
    """Return the length of the longest head of ``text`` that fits."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(text[:middle]):
            low = middle
        else:
            high = middle - 1
    return low


@functools.lru_cache(maxsize=1)
def _font() -> Any:
    """The built-in TrueType font; None before OpenCV 5."""
    return cv2.FontFace('sans') if hasattr(cv2, 'FontFace') else None
