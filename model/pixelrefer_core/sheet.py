"""A contact sheet: frames of a clip with their objects, and under them what was asked and answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from .drawing import draw_objects, object_colour
from .lettering import Colour, draw_text, shorten, text_width, wrap
from .masks import mask_box, resize_mask
from .types import ImageArray, TrackedObject

WIDTH, MARGIN, GAP = 2000, 64, 24
TITLE, BODY, SMALL = 44, 27, 21
BACKGROUND: Colour = (243, 244, 246)
CARD: Colour = (255, 255, 255)
INK: Colour = (24, 28, 36)
SOFT_INK: Colour = (92, 99, 112)
HAIRLINE: Colour = (222, 225, 230)
# A faint tint: the colours of the objects are part of the questions.
_TINT, _TAG = 0.2, 17
_PAD = 26
# A card shows so many lines of a question and of an answer; the rest is cut.
_QUESTION_LINES, _ANSWER_LINES = 3, 8

Column = tuple[ImageArray, Sequence[TrackedObject], str]
Row = tuple[str, str, str, str]


def contact_sheet(title: str, columns: Sequence[Column], rows: Sequence[Row], footnote: str) -> ImageArray:
    """Return a picture, uint8 RGB (H, 2000, 3), worth showing to somebody.

    ``columns``: (image, objects on it, caption) in the order of time; ``rows``: (who was asked, question,
    answer, note). Names of objects in the first part of a row carry the colours of their masks.
    """
    names = {item.object_id for _, objects, _ in columns for item in objects}
    parts = [_heading(title), *_frames(columns), *_cards(rows, names)]
    if footnote:
        parts.append(_footnote(footnote))
    edge = _blank(MARGIN)
    spaced = [piece for part in parts for piece in (part, _blank(GAP))][:-1]
    return np.concatenate([edge, *spaced, edge])


def _heading(title: str) -> ImageArray:
    lines = wrap(title, WIDTH - 2 * MARGIN, TITLE, bold=True, max_lines=3)
    step = round(TITLE * 1.3)
    part = _blank(step * len(lines) + GAP // 2)
    for index, line in enumerate(lines):
        draw_text(part, line, (MARGIN, index * step + TITLE), TITLE, INK, bold=True)
    return part


def _footnote(text: str) -> ImageArray:
    lines = wrap(text, WIDTH - 2 * MARGIN, SMALL, max_lines=4)
    step = round(SMALL * 1.4)
    part = _blank(step * len(lines))
    for index, line in enumerate(lines):
        draw_text(part, line, (MARGIN, index * step + SMALL), SMALL, SOFT_INK)
    return part


def _frames(columns: Sequence[Column]) -> list[ImageArray]:
    """Return strips of frames: up to four in a row, else two even rows or rows of four."""
    if not columns:
        return []
    count = len(columns)
    across = count if count <= 4 else min(4, (count + 1) // 2)
    width = (WIDTH - 2 * MARGIN - GAP * (across - 1)) // across
    # One column alone would be a poster.
    width = min(width, 1200)
    height = min(width, max(round(image.shape[0] / image.shape[1] * width) for image, _, _ in columns))
    return [
        _strip(columns[start : start + across], width=width, height=height)
        for start in range(0, count, across)
    ]


def _strip(columns: Sequence[Column], *, width: int, height: int) -> ImageArray:
    strip = _blank(height + round(SMALL * 1.7))
    for index, (image, objects, caption) in enumerate(columns):
        left = MARGIN + index * (width + GAP)
        strip[:height, left : left + width] = HAIRLINE
        picture = _fit(image, objects, width=width, height=height)
        y, x = (height - picture.shape[0]) // 2, left + (width - picture.shape[1]) // 2
        strip[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        line = shorten(caption, width, SMALL)
        draw_text(strip, line, (left, height + round(SMALL * 1.35)), SMALL, SOFT_INK)
    return strip


def _fit(image: ImageArray, objects: Sequence[TrackedObject], *, width: int, height: int) -> ImageArray:
    """Return the image scaled into the space, then drawn on: tags are as legible on a large image as on a small."""
    scale = min(width / image.shape[1], height / image.shape[0])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)
    return draw_objects(picture, [_resized(item, size) for item in objects], _TINT, text_size=_TAG)


def _resized(item: TrackedObject, size: tuple[int, int]) -> TrackedObject:
    mask = resize_mask(item.mask, size[1], size[0])
    return replace(item, mask=mask, box_xyxy=mask_box(mask), mask_area=int(np.count_nonzero(mask)))


@dataclass
class _Card:
    """One question: who was asked, the question, the answer and a note, set in lines of one width."""

    row: Row
    width: int
    names: set[str]
    question: list[str] = field(init=False)
    answer: list[str] = field(init=False)

    def __post_init__(self) -> None:
        room = self.width - 2 * _PAD
        self.question = wrap(self.row[1], room, BODY, max_lines=_QUESTION_LINES)
        self.answer = wrap(self.row[2] or '(no text)', room, BODY, bold=True, max_lines=_ANSWER_LINES)

    @property
    def height(self) -> int:
        """Pixels that the lines take."""
        small = sum(1 for text in (self.row[0], self.row[3]) if text)
        return 2 * _PAD + small * _step(SMALL) + (len(self.question) + len(self.answer)) * _step(BODY)

    def draw(self, height: int) -> ImageArray:
        """Return the card at ``height`` >= ``self.height``."""
        card = np.full((height, self.width, 3), HAIRLINE, np.uint8)
        card[1:-1, 1:-1] = CARD
        y = _PAD
        if self.row[0]:
            self._draw_who(card, y + SMALL)
            y += _step(SMALL)
        for lines, ink, bold in ((self.question, SOFT_INK, False), (self.answer, INK, True)):
            for line in lines:
                draw_text(card, line, (_PAD, y + BODY), BODY, ink, bold=bold)
                y += _step(BODY)
        note = shorten(self.row[3], self.width - 2 * _PAD, SMALL)
        draw_text(card, note, (_PAD, height - _PAD - round(SMALL * 0.2)), SMALL, SOFT_INK)
        return card

    def _draw_who(self, card: ImageArray, base: int) -> None:
        """Write the words of "who"; a disc in the colour of its mask stands before the name of an object."""
        x, disc = _PAD, round(SMALL * 0.36)
        for word in self.row[0].split():
            name = word.rstrip(',')
            if name in self.names:
                at = (x + disc, base - disc)
                cv2.circle(card, at, disc, object_colour(name), cv2.FILLED, cv2.LINE_AA)
                x += 2 * disc + 8
            line = shorten(word, self.width - _PAD - x, SMALL)
            draw_text(card, line, (x, base), SMALL, SOFT_INK)
            x += text_width(line + ' ', SMALL) + text_width('n', SMALL) // 2


def _cards(rows: Sequence[Row], names: set[str]) -> list[ImageArray]:
    """Return rows of cards, read from left to right; two stand side by side when there are several."""
    across = 2 if len(rows) > 1 else 1
    width = (WIDTH - 2 * MARGIN - GAP * (across - 1)) // across
    cards = [_Card(row, width, names) for row in rows]
    parts = []
    for start in range(0, len(cards), across):
        pair = cards[start : start + across]
        height = max(card.height for card in pair)
        part = _blank(height)
        for index, card in enumerate(pair):
            left = MARGIN + index * (width + GAP)
            part[:, left : left + width] = card.draw(height)
        parts.append(part)
    return parts


def _step(size: int) -> int:
    return round(size * 1.5)


def _blank(height: int) -> ImageArray:
    return np.full((height, WIDTH, 3), BACKGROUND, np.uint8)
