"""A training run as a picture: the loss, and the accuracy of each kind of question beside its majority rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np

from pixelrefer_core.lettering import Colour, draw_text, shorten
from pixelrefer_core.types import ImageArray

Points: TypeAlias = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT, _MARGIN, _LEGEND = 760, 400, 44, 260
_TEXT = 13
_BLACK, _GREY, _WHITE = (20, 20, 20), (205, 205, 205), (255, 255, 255)
_COLOURS: tuple[Colour, ...] = (
    (31, 119, 180),
    (255, 127, 14),
    (44, 160, 44),
    (214, 39, 40),
    (148, 103, 189),
    (140, 86, 75),
    (227, 119, 194),
    (100, 100, 100),
    (188, 189, 34),
    (23, 190, 207),
)


def draw_curves(lines: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Draw the lines of ``metrics.jsonl`` into a PNG file."""
    panels = [_losses(lines), _accuracies(lines)]
    cv2.imwrite(str(file), cv2.cvtColor(np.vstack(panels), cv2.COLOR_RGB2BGR))


def _losses(lines: Sequence[Mapping[str, Any]]) -> ImageArray:
    training = [(line['total_steps'], line['loss']) for line in lines if 'loss' in line]
    held_back = [(line['total_steps'], line['validation_loss']) for line in lines if 'kinds' in line]
    highest = max((value for _, value in (*training, *held_back)), default=1.0)
    panel = Panel('loss', _last(training, held_back), highest)
    panel.curve('training', training)
    panel.curve('validation', held_back)
    return panel.picture


def _accuracies(lines: Sequence[Mapping[str, Any]]) -> ImageArray:
    scored = [line for line in lines if 'kinds' in line]
    panel = Panel('exact answers; dotted: the commonest answer', _last(*_steps(scored)), 1.0)
    for kind in sorted({kind for line in scored for kind in line['kinds']}):
        own = [(line['total_steps'], line['kinds'][kind]) for line in scored if kind in line['kinds']]
        newest = own[-1][1]
        name = f'{kind or "-"} {newest["accuracy"]:.2f} ({newest["majority"]:.2f})'
        panel.curve(name, [(step, score['accuracy']) for step, score in own], level=newest['majority'])
    return panel.picture


def _steps(lines: Sequence[Mapping[str, Any]]) -> list[Points]:
    return [[(line['total_steps'], 0.0)] for line in lines]


def _last(*curves: Points) -> float:
    return max((step for curve in curves for step, _ in curve), default=1.0)


class Panel:
    """Axes from 0 to ``right`` steps and 0 to ``top``."""

    def __init__(self, title: str, right: float, top: float) -> None:
        self.picture = np.full((_HEIGHT, _WIDTH + _LEGEND, 3), 255, np.uint8)
        self._right, self._top = max(right, 1.0), top or 1.0
        self._curves = 0
        draw_text(self.picture, title, (_MARGIN, 20), _TEXT, _BLACK, bold=True)
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            left, right_end = self._at(0.0, share * self._top), self._at(self._right, share * self._top)
            cv2.line(self.picture, left, right_end, _GREY, 1)
            draw_text(self.picture, f'{share * self._top:.2f}', (4, left[1] + 4), _TEXT, _BLACK)
            foot = self._at(share * self._right, 0.0)
            draw_text(self.picture, f'{share * self._right:.0f}', (foot[0] - 8, foot[1] + 18), _TEXT, _BLACK)

    def _at(self, step: float, value: float) -> tuple[int, int]:
        x = _MARGIN + step / self._right * (_WIDTH - 2 * _MARGIN)
        y = _HEIGHT - _MARGIN - min(value / self._top, 1.0) * (_HEIGHT - 2 * _MARGIN)
        return round(x), round(y)

    def curve(self, name: str, points: Points, *, level: float | None = None) -> None:
        """Draw a curve and its name; ``level``: a dotted horizontal line that belongs to it."""
        colour = _COLOURS[self._curves % len(_COLOURS)]
        corners = np.array([self._at(*point) for point in points], np.int32).reshape(-1, 1, 2)
        cv2.polylines(self.picture, [corners], False, colour, 2, cv2.LINE_AA)
        for x, y in corners[-1] if len(corners) else ():
            cv2.circle(self.picture, (int(x), int(y)), 3, colour, -1, cv2.LINE_AA)
        if level is not None:
            start, end = self._at(0.0, level), self._at(self._right, level)
            for x in range(start[0] + 3 * self._curves, end[0], 24):
                cv2.line(self.picture, (x, start[1]), (x + 4, start[1]), colour, 1)
        height = 40 + 18 * self._curves
        cv2.line(self.picture, (_WIDTH, height - 4), (_WIDTH + 18, height - 4), colour, 3)
        draw_text(self.picture, shorten(name, _LEGEND - 32, _TEXT), (_WIDTH + 24, height), _TEXT, _BLACK)
        self._curves += 1
