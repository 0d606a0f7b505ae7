"""Tracked objects and answers drawn on a picture, for people. Pure: every function returns a new picture.

A mask is tinted and outlined inside its own pixels and named by a tag beside it; what cannot be seen now is
named in the upper left corner. All sizes follow the picture's, from 160 x 120 to 4K.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .lettering import Colour, draw_text, shorten, text_width, wrap
from .masks import mask_box
from .types import BoxXYXY, ImageArray, MaskArray, ObjectState, TrackedObject

# RGB. Every two of them are at least 15 apart in CIE L*a*b* for normal sight and as people see them who lack
# one kind of cone (Machado, Oliveira and Fernandes 2009).
PALETTE: tuple[Colour, ...] = (
    (92, 116, 235),
    (255, 132, 19),
    (197, 47, 48),
    (175, 236, 192),
    (36, 57, 201),
    (156, 0, 145),
    (186, 101, 2),
    (0, 85, 95),
    (0, 167, 97),
    (227, 138, 172),
    (84, 208, 247),
    (222, 255, 86),
)
INK: Colour = (255, 255, 255)
MUTED_INK: Colour = (200, 204, 210)
DARK: Colour = (18, 20, 24)
_PANEL_OPACITY = 0.72


def object_colour(object_id: str) -> Colour:
    """Return the RGB colour of an object: the same for an id everywhere and always.

    Ids that differ in their final number alone (``obj_1``, ``obj_2``, ...) have neighbouring places in
    :data:`PALETTE`, so twelve in a row differ; other ids may share a colour.
    """
    stem = object_id.rstrip('0123456789')
    number = int(object_id[len(stem) :][-9:] or 0)
    return PALETTE[(zlib.crc32(stem.encode(errors='replace')) + number) % len(PALETTE)]


def ink_on(colour: Colour) -> Colour:
    """Return black or white, whichever reads better on ``colour``."""
    red, green, blue = ((value / 255) ** 2.2 for value in colour)
    # Contrast with black equals that with white at a relative luminance of 0.18 (WCAG 2).
    return DARK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 else INK


def draw_objects(
    image: ImageArray, objects: Sequence[TrackedObject], opacity: float, *, text_size: int = 0
) -> ImageArray:
    """Return ``image`` with the masks, their outlines and a tag for each object.

    ``image``: uint8 RGB (H, W, 3). ``opacity`` of the tint inside a mask, 0 to 1. ``text_size`` of the tags,
    pixels; 0 = as suits the image. Pixels outside of masks and tags keep their values. Raises
    :class:`ValueError` for a mask that is not of the image's size.
    """
    canvas = image.copy()
    tags = _Tags(canvas, text_size or max(10, round(min(image.shape[:2]) / 34)))
    boxes = [mask_box(item.mask) for item in objects]
    for item, box in zip(objects, boxes, strict=True):
        if item.mask.shape != image.shape[:2]:
            raise ValueError(f'{item.object_id}: mask {item.mask.shape} on an image {image.shape[:2]}')
        if box is not None:
            _draw_mask(canvas, item.mask, box, object_colour(item.object_id), opacity, tags.line_width)
    # Tags come after all masks: none is painted over.
    tags.list_in_corner([item for item, box in zip(objects, boxes, strict=True) if box is None])
    seen = [box for box in boxes if box is not None]
    for item, box in zip(objects, boxes, strict=True):
        if box is not None:
            tags.put_beside(item, box, seen)
    return canvas


def draw_answer_panel(image: ImageArray, question: str, text: str) -> ImageArray:
    """Return ``image`` with the question and the answer on a dark strip along its lower edge.

    The strip takes at most half of the picture; what does not fit ends in ``...``.
    """
    canvas = image.copy()
    height, width = canvas.shape[:2]
    size = max(10, round(min(height, width) / 26))
    pad, step = size * 2 // 3, round(size * 1.35)
    room = max(1, (height // 2 - 2 * pad) // step)
    asked = wrap(question, width - 2 * pad, size, max_lines=min(2, room // 2) or 1)
    asked = asked if room > 1 or not text else []
    told = wrap(text, width - 2 * pad, size, bold=True, max_lines=max(1, room - len(asked)))
    lines = [(line, MUTED_INK, False) for line in asked] + [(line, INK, True) for line in told]
    if not lines:
        return canvas
    top = max(0, height - 2 * pad - step * len(lines))
    blend(canvas[top:], DARK, _PANEL_OPACITY)
    for row, (line, ink, bold) in enumerate(lines):
        draw_text(canvas, line, (pad, top + pad + row * step + size), size, ink, bold=bold)
    return canvas


def blend(region: ImageArray, colour: Colour, opacity: float, mask: MaskArray | None = None) -> None:
    """Tint ``region`` (a view, in place), or its pixels of ``mask``, with ``colour``."""
    levels = np.arange(256, dtype=np.float32)[:, None] * (1 - opacity) + np.array(colour) * opacity
    tinted = cv2.LUT(region, np.round(levels).astype(np.uint8)[None])
    np.copyto(region, tinted, where=True if mask is None else mask[..., None])


def _draw_mask(
    canvas: ImageArray, mask: MaskArray, box: BoxXYXY, colour: Colour, opacity: float, line_width: int
) -> None:
    x1, y1, x2, y2 = box
    region, inside = canvas[y1:y2, x1:x2], mask[y1:y2, x1:x2]
    blend(region, colour, opacity, inside)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * line_width + 1, 2 * line_width + 1))
    core = cv2.erode(inside.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=(0.0,))
    region[inside & (core == 0)] = colour


@dataclass
class _Tags:
    """The tags of one picture: places them inside of it and, where there is room, on nothing."""

    canvas: ImageArray
    size: int

    def __post_init__(self) -> None:
        self.line_width = max(1, round(self.size / 7))
        self.pad = max(2, self.size // 4)
        self.height = self.size + 2 * self.pad
        self._taken: list[BoxXYXY] = []

    def list_in_corner(self, items: Sequence[TrackedObject]) -> None:
        """Name objects that are not in the picture, one below the other, on a third of its height."""
        rows = max(1, self.canvas.shape[0] // 3 // (self.height + 1))
        shown = items if len(items) <= rows else items[: rows - 1]
        texts = [(_caption(item), object_colour(item.object_id)) for item in shown]
        if len(shown) < len(items):
            texts.append((f'{len(items) - len(shown)} more not seen', DARK))
        for row, (text, colour) in enumerate(texts):
            self._paint(text, (self.pad, self.pad + row * (self.height + 1)), colour)

    def put_beside(self, item: TrackedObject, box: BoxXYXY, objects: Sequence[BoxXYXY]) -> None:
        """Name an object above its mask, below or on it: where least of tags and ``objects`` is covered."""
        x1, y1, x2, y2 = box
        width = self._width(_caption(item))
        x = (x1 + x2 - width) // 2
        places = [self._inside((x, y, x + width, y + self.height)) for y in (y1 - self.height, y2, y1)]
        # A covered tag is worse than a covered bit of an object.
        covered = [
            sum(_shared(place, other) for other in objects)
            + 4 * sum(_shared(place, tag) for tag in self._taken)
            for place in places
        ]
        x, y = places[int(np.argmin(covered))][:2]
        self._paint(_caption(item), (x, y), object_colour(item.object_id))

    def _width(self, text: str) -> int:
        return min(text_width(text, self.size, bold=True) + 2 * self.pad, self.canvas.shape[1])

    def _inside(self, place: BoxXYXY) -> BoxXYXY:
        height, width = self.canvas.shape[:2]
        x1, y1, x2, y2 = place
        x, y = max(0, min(x1, width - (x2 - x1))), max(0, min(y1, height - (y2 - y1)))
        return x, y, x + x2 - x1, y + y2 - y1

    def _paint(self, text: str, at: tuple[int, int], colour: Colour) -> None:
        x, y = at
        text = shorten(text, self.canvas.shape[1] - x - 2 * self.pad, self.size, bold=True)
        if not text:
            return
        place = (x, y, x + self._width(text), y + self.height)
        self._taken.append(place)
        # A view of the tag alone: no stroke leaves it.
        tag = self.canvas[y : place[3], x : place[2]]
        tag[:] = colour
        base = self.pad + round(self.size * 0.86)
        draw_text(tag, text, (self.pad, base), self.size, ink_on(colour), bold=True)


def _caption(item: TrackedObject) -> str:
    name = item.object_id if item.label in ('', item.object_id) else f'{item.object_id} {item.label}'
    return name if item.state is ObjectState.TRACKED else f'{name}: {item.state.name.lower()}'


def _shared(first: BoxXYXY, second: BoxXYXY) -> int:
    """Return the area that two boxes have in common."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(0, width) * max(0, height)
