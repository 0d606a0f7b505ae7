"""``pixelrefer track``: stream a clip through a tracker, prompt the first masks, score all the others."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..clip import open_clip
from ..clip_objects import read_mask
from ..errors import InvalidRequestError
from ..masks import mask_box
from ..segmentation_metrics import SequenceScore, score_sequence
from ..settings import Settings
from ..settings_text import add_options, from_options
from ..sheet import contact_sheet
from ..tracker import Tracker, create_tracker
from ..types import NANOSECONDS, Frame, MaskArray, MaskEstimate, ObjectState, Prompt, TrackedObject
from .rows import print_rows

COLUMNS = 6


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """What the tracker said of one frame, and what it cost. ``rss_mb``: resident memory afterwards."""

    frame: Frame
    estimates: Mapping[str, MaskEstimate]
    seconds: float
    rss_mb: float


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
    parser.add_argument('--output', type=Path, metavar='PNG', help='save a contact sheet here')
    add_options(parser, Settings, ('tracker',))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Track and score. Returns the figures, means over the objects."""
    truth = _read_truth(options.masks)
    tracker = create_tracker(from_options(options, Settings()).tracker)
    frames = track(tracker, open_clip(options.clip, folder_rate_hz=options.rate), truth)
    scores = {name: _score(frames, name, masks) for name, masks in truth.items()}
    figures = _figures(frames, list(scores.values()))
    rows = [_row(name, score.region, score.boundary) for name, score in scores.items()]
    print_rows([*rows, _row('mean', figures['J'], figures['F'])])
    print(
        f'{figures["frames"]} frames, {figures["fps"]:.1f} frames/s, '
        f'memory {figures["rss_slope_mb_per_1000_frames"]:+.0f} MB per 1000 frames'
    )
    if options.output:
        _save(options.output, frames, f'{tracker.name}: {options.clip.name}, J&F {figures["J&F"]:.3f}')
    return figures


def track(tracker: Tracker, clip: Any, truth: Mapping[str, Sequence[MaskArray]]) -> list[TrackedFrame]:
    """Prompt the first mask of every object on the first frame, then follow them to the end of the clip."""
    frames: list[TrackedFrame] = []
    for index, frame in enumerate(clip):
        start = time.perf_counter()
        estimates = tracker.step(frame)
        if index == 0:
            prompts = [Prompt(name, mask=masks[0]) for name, masks in truth.items()]
            estimates = tracker.add(prompts, [frame])
        seconds = time.perf_counter() - start
        frames.append(TrackedFrame(frame, dict(estimates), seconds, _rss_mb()))
        if sys.stderr.isatty():
            print(f'\rframe {index + 1}', end='\r', file=sys.stderr)
    return frames


def _read_truth(folder: Path) -> dict[str, list[MaskArray]]:
    folders = {item.name: item for item in sorted(folder.iterdir()) if item.is_dir()} or {'object': folder}
    truth = {name: [read_mask(file) for file in sorted(item.glob('*.png'))] for name, item in folders.items()}
    for name, masks in truth.items():
        if len(masks) < 2 or not masks[0].any():
            raise InvalidRequestError(f'{folders[name]} needs two PNG masks or more, the first not empty')
    return truth


def _score(frames: Sequence[TrackedFrame], name: str, masks: Sequence[MaskArray]) -> SequenceScore:
    if len(masks) != len(frames):
        raise InvalidRequestError(
            f'{len(frames)} frames, but {len(masks)} masks of {name}: one a frame is needed'
        )
    return score_sequence(masks, [item.estimates[name].mask for item in frames])


def _figures(frames: Sequence[TrackedFrame], scores: Sequence[SequenceScore]) -> dict[str, Any]:
    region = float(np.mean([score.region for score in scores]))
    boundary = float(np.mean([score.boundary for score in scores]))
    # The first frame holds the prompts, which cost more than a step.
    steps = frames[1:]
    slope_mb = np.polyfit(range(len(steps)), [item.rss_mb for item in steps], 1)[0] if len(steps) > 1 else 0.0
    return {
        'J': region,
        'F': boundary,
        'J&F': (region + boundary) / 2,
        'fps': len(steps) / sum(item.seconds for item in steps),
        'frames': len(frames),
        'rss_slope_mb_per_1000_frames': 1000 * float(slope_mb),
    }


def _row(name: str, region: float, boundary: float) -> dict[str, str]:
    mean = (region + boundary) / 2
    return {'object': name, 'J': f'{region:.3f}', 'F': f'{boundary:.3f}', 'J&F': f'{mean:.3f}'}


def _save(output: Path, frames: Sequence[TrackedFrame], title: str) -> None:
    chosen = sorted({round(k * (len(frames) - 1) / (COLUMNS - 1)) for k in range(COLUMNS)})
    columns = [
        (frames[k].frame.image, _objects(frames[k]), f'{frames[k].frame.stamp_ns / NANOSECONDS:.1f} s')
        for k in chosen
    ]
    output.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(output), cv2.cvtColor(contact_sheet(title, columns, [], ''), cv2.COLOR_RGB2BGR))
    print(f'saved {output}')


def _objects(item: TrackedFrame) -> list[TrackedObject]:
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
        for name, estimate in item.estimates.items()
    ]


def _rss_mb() -> float:
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6
