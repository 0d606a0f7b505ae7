"""``pixelrefer track``: stream a clip through a tracker, prompt the first masks, score all the others."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..clip import Clip, open_clip
from ..clip_objects import read_mask
from ..errors import InvalidRequestError
from ..masks import mask_box
from ..segmentation_metrics import SequenceScore, SequenceScorer
from ..settings import Settings
from ..settings_text import add_options, from_options
from ..sheet import contact_sheet
from ..tracker import Tracker, create_tracker
from ..types import NANOSECONDS, Frame, MaskArray, MaskEstimate, ObjectState, Prompt, TrackedObject
from .picture import picture_file, save_picture
from .rows import print_rows

COLUMNS = 6


@dataclass(eq=False)
class Progress:
    """What is kept of a run: figures of every frame, and the few frames that are shown.

    ``seconds``: of each step after the prompt. ``rss_mb``: resident memory after each of them.
    """

    scorers: dict[str, SequenceScorer]
    seconds: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    shown: list[tuple[Frame, Mapping[str, MaskEstimate]]] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('clip', type=Path, help='folder of images, video file or rosbag2')
    parser.add_argument(
        '--masks',
        type=Path,
        required=True,
        metavar='DIR',
        help='PNGs, one a frame; or a folder of them per object',
    )
    parser.add_argument('--rate', type=float, default=10.0, metavar='HZ', help='of a folder of images')
    parser.add_argument('--output', type=picture_file, metavar='PNG', help='save a contact sheet here')
    add_options(parser, Settings, ('tracker',))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Track and score. Returns the figures, means over the objects."""
    truth = _read_truth(options.masks)
    tracker = create_tracker(from_options(options, Settings()).tracker)
    progress = track(tracker, open_clip(options.clip, folder_rate_hz=options.rate), truth)
    scores = {name: scorer.score() for name, scorer in progress.scorers.items()}
    figures = _figures(progress, list(scores.values()))
    rows = [_row(name, score.region, score.boundary) for name, score in scores.items()]
    print_rows([*rows, _row('mean', figures['J'], figures['F'])])
    print(
        f'{figures["frames"]} frames, {figures["fps"]:.1f} frames/s, '
        f'memory {figures["rss_slope_mb_per_1000_frames"]:+.0f} MB per 1000 frames'
    )
    if options.output:
        _save(options.output, progress, f'{tracker.name}: {options.clip.name}, J&F {figures["J&F"]:.3f}')
    return figures


def track(tracker: Tracker, clip: Clip, truth: Mapping[str, Sequence[MaskArray]]) -> Progress:
    """Prompt the first mask of every object on the first frame, then follow them to the end of the clip.

    Raises :class:`InvalidRequestError` unless there is one mask a frame.
    """
    progress = Progress({name: SequenceScorer() for name in truth})
    count = len(next(iter(truth.values())))
    shown = {round(k * (count - 1) / (COLUMNS - 1)) for k in range(COLUMNS)}
    index = -1
    for index, frame in enumerate(clip):
        if index >= count:
            raise InvalidRequestError(
                f'the clip has more frames than the {count} masks: one a frame is needed'
            )
        start = time.perf_counter()
        estimates = tracker.step(frame)
        if index == 0:
            estimates = tracker.add([Prompt(name, mask=masks[0]) for name, masks in truth.items()], [frame])
        else:
            progress.seconds.append(time.perf_counter() - start)
        for name, scorer in progress.scorers.items():
            scorer.add(truth[name][index], estimates[name].mask)
        if index:
            progress.rss_mb.append(_rss_mb())
        if index in shown:
            progress.shown.append((frame, dict(estimates)))
        if sys.stderr.isatty():
            print(f'frame {index + 1} of {count}', end='\r', file=sys.stderr)
    if index + 1 != count:
        raise InvalidRequestError(
            f'the clip has {index + 1} frames, not the {count} of the masks: one a frame is needed'
        )
    return progress


def _read_truth(folder: Path) -> dict[str, list[MaskArray]]:
    folders = {item.name: item for item in sorted(folder.iterdir()) if item.is_dir()} or {'object': folder}
    truth = {name: [read_mask(file) for file in sorted(item.glob('*.png'))] for name, item in folders.items()}
    for name, masks in truth.items():
        if len(masks) < 2 or not masks[0].any():
            raise InvalidRequestError(f'{folders[name]} needs two PNG masks or more, the first not empty')
    if len({len(masks) for masks in truth.values()}) > 1:
        raise InvalidRequestError(
            f'the objects in {folder} have different numbers of masks: one a frame is needed'
        )
    return truth


def _figures(progress: Progress, scores: Sequence[SequenceScore]) -> dict[str, Any]:
    region = float(np.mean([score.region for score in scores]))
    boundary = float(np.mean([score.boundary for score in scores]))
    steps = len(progress.seconds)
    # The first half of a run fills caches and windows; growth that matters shows in the second.
    settled = progress.rss_mb[steps // 2 :]
    slope_mb = float(np.polyfit(range(len(settled)), settled, 1)[0]) if len(settled) > 1 else 0.0
    return {
        'J': region,
        'F': boundary,
        'J&F': (region + boundary) / 2,
        'fps': steps / sum(progress.seconds),
        'frames': steps + 1,
        'rss_slope_mb_per_1000_frames': 1000 * slope_mb,
    }


def _row(name: str, region: float, boundary: float) -> dict[str, str]:
    mean = (region + boundary) / 2
    return {'object': name, 'J': f'{region:.3f}', 'F': f'{boundary:.3f}', 'J&F': f'{mean:.3f}'}


def _save(output: Path, progress: Progress, title: str) -> None:
    columns = [
        (frame.image, _objects(estimates), f'{frame.stamp_ns / NANOSECONDS:.1f} s')
        for frame, estimates in progress.shown
    ]
    save_picture(contact_sheet(title, columns, [], ''), output)


def _objects(estimates: Mapping[str, MaskEstimate]) -> list[TrackedObject]:
    return [
        TrackedObject(
            object_id=name,
            label='',
            state=ObjectState(estimate.state),
            score=estimate.score,
            mask=estimate.mask,
            box_xyxy=mask_box(estimate.mask),
            mask_area=int(estimate.mask.sum()),
            first_seen_ns=0,
            last_seen_ns=0,
        )
        for name, estimate in estimates.items()
    ]


def _rss_mb() -> float:
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6
