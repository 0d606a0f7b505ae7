"""``pixelrefer ask``: track objects of a clip and answer a question about them, without ROS."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..clip import open_clip
from ..clip_objects import clip_prompts, read_mask
from ..engine import Engine, build_engine
from ..errors import InvalidImageError
from ..settings import Settings
from ..settings_text import add_options, from_options
from ..sheet import Row, contact_sheet
from ..shipped import NANO, NANO_NOTE
from ..types import NANOSECONDS, Answer, Prompt, Query, QueryKind, TrackUpdate
from .picture import picture_file, save_picture

COLUMNS = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('clip', type=Path, help='folder of images, video file or rosbag2')
    parser.add_argument('question', nargs='?', default='', help='empty = a detailed description')
    parser.add_argument(
        '--box', action='append', default=[], type=_box, metavar='X,Y,W,H', help='an object; repeatable'
    )
    parser.add_argument(
        '--mask',
        action='append',
        default=[],
        type=Path,
        metavar='PNG',
        help='an object on the first frame; repeatable',
    )
    parser.add_argument('--predict', action='store_true', help='ask what will happen next')
    parser.add_argument('--frames', type=int, default=0, help='stop after so many frames; 0 = the whole clip')
    parser.add_argument('--rate', type=float, default=10.0, metavar='HZ', help='of a folder of images')
    parser.add_argument('--output', type=picture_file, metavar='PNG', help='save a contact sheet here (PNG)')
    add_options(parser, Settings, ('model', 'tracker', 'window', 'generation'))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Track the clip, then ask. Returns the answer and what it rests on."""
    engine = build_engine(from_options(options, Settings()))
    if not engine.model.info.trained:
        print(f'{engine.model.info.name}: random weights, the words have no meaning', file=sys.stderr)
    elif engine.model.info.name == NANO:
        print(NANO_NOTE, file=sys.stderr)
    updates = _track(engine, options)
    ids = tuple(item.object_id for item in engine.select_objects())
    if options.predict:
        kind = QueryKind.PREDICTION
    else:
        kind = QueryKind.ANSWER if options.question else QueryKind.CAPTION
    answer = engine.answer(Query(kind, ids, options.question))
    stamps_s = [stamp_ns / NANOSECONDS for stamp_ns in answer.frame_stamps_ns]
    print(f'{", ".join(ids)}: {answer.question}\n{answer.text}')
    print(
        f'({len(stamps_s)} frames, {stamps_s[0]:.1f} to {stamps_s[-1]:.1f} s; {answer.timing.total_s:.3f} s)'
    )
    if options.output:
        _save(options.output, updates, answer, engine.model.info.name)
    return {
        'objects': ids,
        'question': answer.question,
        'text': answer.text,
        'frame_stamps_s': stamps_s,
        'first_token_s': answer.timing.first_token_s,
        'total_s': answer.timing.total_s,
        'model_trained': engine.model.info.trained,
    }


def _track(engine: Engine, options: argparse.Namespace) -> list[TrackUpdate]:
    updates: list[TrackUpdate] = []
    for index, frame in enumerate(open_clip(options.clip, folder_rate_hz=options.rate)):
        if options.frames and index >= options.frames:
            break
        update = engine.step(frame)
        if index == 0:
            engine.add_objects(_prompts(options, frame.height, frame.width))
            update = TrackUpdate(frame, 0, engine.select_objects())
        updates.append(update)
        if sys.stderr.isatty():
            print(f'\rframe {index + 1}', end='', file=sys.stderr)
    if not updates:
        raise InvalidImageError(f'{options.clip} has no frames')
    return updates


def _prompts(options: argparse.Namespace, height: int, width: int) -> list[Prompt]:
    masks = [Prompt(mask=read_mask(file)) for file in options.mask]
    if masks and not options.box:
        return masks
    return clip_prompts(options.clip, options.box, height=height, width=width) + masks


def _save(output: Path, updates: list[TrackUpdate], answer: Answer, model: str) -> None:
    last = len(updates) - 1
    chosen = sorted({round(k * last / (COLUMNS - 1)) for k in range(COLUMNS)})
    columns = [
        (updates[k].frame.image, updates[k].objects, f'{updates[k].frame.stamp_ns / NANOSECONDS:.1f} s')
        for k in chosen
    ]
    rows = [Row(', '.join(answer.object_ids), answer.question, answer.text, f'{answer.timing.total_s:.3f} s')]
    sheet = contact_sheet(model, columns, rows, '')
    save_picture(sheet, output)


def _box(text: str) -> list[float]:
    try:
        box = [float(part) for part in text.split(',')]
    except ValueError:
        box = []
    if len(box) != 4:
        raise argparse.ArgumentTypeError(f'{text!r} is not X,Y,WIDTH,HEIGHT in pixels')
    return box
