"""A run of SAM 2's trainer as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .curves import Panel

# Panel -> the curves in it, by their names in ``metrics.jsonl``; overlaps and shares reach up to 1.
PANELS = {
    'loss': ('loss',),
    'overlap with the truth, and right answers to "is it there"': (
        'overlap',
        'validation_overlap',
        'validation_prompted',
        'validation_returned',
        'validation_seen',
        'validation_gone',
    ),
}


def draw_sam2_curves(lines: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Draw the lines of ``metrics.jsonl`` into a PNG file."""
    last = max((line['total_steps'] for line in lines), default=1)
    panels = []
    for title, names in PANELS.items():
        curves = {
            name: [(line['total_steps'], line[name]) for line in lines if name in line] for name in names
        }
        highest = max((value for points in curves.values() for _, value in points), default=1.0)
        panel = Panel(title, last, highest if title == 'loss' else 1.0)
        for name, points in curves.items():
            newest = f' {points[-1][1]:.2f}' if points else ''
            panel.curve(name.replace('_', ' ') + newest, points)
        panels.append(panel.picture)
    cv2.imwrite(str(file), cv2.cvtColor(np.vstack(panels), cv2.COLOR_RGB2BGR))
