"""A contact sheet: frames of a clip with their objects, and under them what was asked and answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

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
RIGHT: Colour = (22, 128, 68)
WRONG: Colour = (190, 38, 38)
# A faint tint: the colours of the objects are part of the questions.
_TINT, _TAG = 0.2, 17
_PAD = 26
# A card shows so many lines of a question and of an answer; the rest is cut.
_QUESTION_LINES, _ANSWER_LINES = 3, 8
# Room for a mark at the right of an answer.
_MARK = 44

Column = tuple[ImageArray, Sequence[TrackedObject], str]


class Row(NamedTuple):
    """One question: who was asked, the question, the answer, a note.

    ``right``: the mark of the answer, None = it was not marked; ``truth`` stands beside an answer that is wrong.
    """

    who: str
    question: str
    answer: str
    note: str
    truth: str = ''
    right: bool | None = None


def contact_sheet(title: str, columns: Sequence[Column], rows: Sequence[Row], footnote: str) -> ImageArray:
    """Return a picture, uint8 RGB (H, 2000, 3), worth showing to somebody.

    ``columns``: (image, objects on it, caption) in the order of time; ``rows``: what was asked. Names of objects
    in the first part of a row carry the colours of their masks.
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
    """One question, set in lines of one width."""

    row: Row
    width: int
    names: set[str]
    question: list[str] = field(init=False)
    answer: list[str] = field(init=False)
    truth: list[str] = field(init=False)

    def __post_init__(self) -> None:
        room = self.width - 2 * _PAD
        self.question = wrap(self.row.question, room, BODY, max_lines=_QUESTION_LINES)
        answer = self.row.answer or '(no text)'
        self.answer = wrap(answer, room - _MARK, BODY, bold=True, max_lines=_ANSWER_LINES)
        said = f'in truth: {self.row.truth}' if self.row.right is False else ''
        self.truth = wrap(said, room, BODY, max_lines=_QUESTION_LINES)

    @property
    def height(self) -> int:
        """Pixels that the lines take."""
        small = sum(1 for text in (self.row.who, self.row.note) if text)
        lines = len(self.question) + len(self.answer) + len(self.truth)
        return 2 * _PAD + small * _step(SMALL) + lines * _step(BODY)

    def draw(self, height: int) -> ImageArray:
        """Return the card at ``height`` >= ``self.height``."""
        card = np.full((height, self.width, 3), HAIRLINE, np.uint8)
        card[1:-1, 1:-1] = CARD
        y = _PAD
        if self.row.who:
            self._draw_who(card, y + SMALL)
            y += _step(SMALL)
        for lines, ink, bold in (
            (self.question, SOFT_INK, False), (self.answer, INK, True), (self.truth, WRONG, False),
        ):  # fmt: skip
            if lines is self.answer and self.row.right is not None:
                _draw_mark(card, self.row.right, (self.width - _PAD - _MARK // 2, y + BODY * 5 // 8))
            for line in lines:
                draw_text(card, line, (_PAD, y + BODY), BODY, ink, bold=bold)
                y += _step(BODY)
        note = shorten(self.row.note, self.width - 2 * _PAD, SMALL)
        draw_text(card, note, (_PAD, height - _PAD - round(SMALL * 0.2)), SMALL, SOFT_INK)
        return card

    def _draw_who(self, card: ImageArray, base: int) -> None:
        """Write the words of "who"; a disc in the colour of its mask stands before the name of an object."""
        x, disc = _PAD, round(SMALL * 0.36)
        for word in self.row.who.split():
            name = word.rstrip(',')
            if name in self.names:
                at = (x + disc, base - disc)
                cv2.circle(card, at, disc, object_colour(name), cv2.FILLED, cv2.LINE_AA)
                x += 2 * disc + 8
            line = shorten(word, self.width - _PAD - x, SMALL)
            draw_text(card, line, (x, base), SMALL, SOFT_INK)
            x += text_width(line + ' ', SMALL) + text_width('n', SMALL) // 2


def _draw_mark(card: ImageArray, right: bool, centre: tuple[int, int]) -> None:
    """Draw a tick or a cross around a point (x, y)."""
    strokes = [[(-13, 1), (-4, 10), (13, -11)]] if right else [[(-10, -10), (10, 10)], [(-10, 10), (10, -10)]]
    lines = [np.array(stroke, np.int32) + centre for stroke in strokes]
    cv2.polylines(card, lines, False, RIGHT if right else WRONG, 5, cv2.LINE_AA)


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
