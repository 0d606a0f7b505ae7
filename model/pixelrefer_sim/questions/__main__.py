"""Shows questions beside the frames they are about, and counts what is asked.

python -m pixelrefer_sim.questions --clips DIR --output sheet.png
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from pixelrefer_core.masks import mask_box
from pixelrefer_core.sheet import Row, contact_sheet
from pixelrefer_core.types import Frame, ImageArray, ObjectState, TrackedObject

from ..record import RATE_HZ
from ..samples import ClipSource, Drawing, find_clips, mask_of, read_frames
from .question import Kind, SimQuestion
from .view import View


def main() -> None:
    """Write a sheet of some samples, or print how even the answers are."""
    parser = argparse.ArgumentParser(prog='python -m pixelrefer_sim.questions', description=__doc__)
    parser.add_argument('--clips', type=Path, required=True, metavar='DIR', help='folder of rendered clips')
    parser.add_argument(
        '--output', type=Path, metavar='PNG', help='the sheet; without it, counts are printed'
    )
    parser.add_argument('--first', type=int, default=0, help='number of the first clip')
    parser.add_argument('--count', type=int, default=0, help='how many clips; 4 on a sheet, else all')
    parser.add_argument('--stills', type=float, default=0.2, help='share of single frames')
    parser.add_argument('--kinds', default='', help='only questions of these, with commas between')
    options = parser.parse_args()
    clips = find_clips(options.clips)
    kinds = tuple(kind for kind in get_args(Kind) if kind in options.kinds.split(','))
    source = ClipSource(clips, Drawing(kinds, stills=options.stills))
    numbers = range(len(source))[options.first :][: options.count or (4 if options.output else None)]
    if options.output:
        sheets = [_sheet(clips[number], *source.questions(number, 0)) for number in numbers]
        cv2.imwrite(str(options.output), cv2.cvtColor(np.concatenate(sheets), cv2.COLOR_RGB2BGR))
    else:
        asked = (question for number in numbers for question in source.questions(number, 0)[1])
        print('\n'.join(_table(asked)))


def _sheet(folder: Path, view: View, questions: Sequence[SimQuestion]) -> ImageArray:
    marked = questions[0].objects
    frames = read_frames(view, folder)
    columns = [
        (frame.image, _tracked(view, marked, number, frame), f'{number / RATE_HZ:.1f} s')
        for number, frame in zip(view.frames, frames, strict=True)
    ]
    rows = [
        Row(', '.join(_called(marked)), question.text, question.answer, f'{question.kind}: {question.topic}')
        for question in questions
    ]
    return contact_sheet(f'Clip {view.record.seed} ({view.record.split})', columns, rows, '')


def _called(marked: Sequence[str]) -> list[str]:
    return [f'object{place}' for place in range(1, len(marked) + 1)]


def _tracked(view: View, marked: Sequence[str], number: int, frame: Frame) -> list[TrackedObject]:
    tracked = []
    for called, name in zip(_called(marked), marked, strict=True):
        mask = mask_of(view.record, name, number)
        stamps = {'first_seen_ns': 0, 'last_seen_ns': frame.stamp_ns}
        box = mask_box(mask)
        if box is not None:
            area = int(mask.sum())
            tracked.append(TrackedObject(called, '', ObjectState.TRACKED, 1.0, mask, box, area, **stamps))
    return tracked


def _table(questions: Iterable[SimQuestion]) -> list[str]:
    """Return a line for each topic and form: how many, the share of the commonest answer, the answers."""
    counts: defaultdict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for question in questions:
        counts[question.kind, question.topic, question.form][question.label] += 1
    lines = []
    for key, labels in sorted(counts.items()):
        total = labels.total()
        shown = ', '.join(f'{label} {count / total:.2f}' for label, count in labels.most_common(12))
        rate = labels.most_common(1)[0][1] / total
        lines.append(f'{" ".join(key):36} {total:6d}  majority {rate:.2f}  {shown}')
    return lines


if __name__ == '__main__':
    main()
