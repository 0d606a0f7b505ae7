"""Renders clips and stills for training and evaluation.

python -m pixelrefer_sim.generate --split train --count 1500 --output DIR
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from pixelrefer_core.clip_depth import DEPTH_FOLDER, save_camera, save_depth
from pixelrefer_train.mask_coding import encode_rle

from .actions import Action, draw_actions
from .events import list_events
from .layout import Layout, draw_layout
from .photography import Photograph, Photographer, camera_of, intrinsics_of
from .record import (
    FRAMES,
    GENERATOR_VERSION,
    HEIGHT,
    INSTANTS,
    WIDTH,
    WINDOW_ENDS,
    ClipRecord,
    Window,
    load_record,
    save_record,
)
from .simulation import Course, Simulation, run
from .stage import build_model

Split = Literal['train', 'stills', 'val', 'heldout', 'demo']
# No seed belongs to two splits. ``stills``: one picture of a scene at rest, more objects on it. ``demo``: the
# future is filmed, too, to be shown afterwards.
FIRST_SEED: dict[Split, int] = {
    'train': 0,
    'stills': 10_000_000,
    'val': 20_000_000,
    'heldout': 30_000_000,
    'demo': 50_000_000,
}
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 93)


def make_clip(seed: int, split: Split, folder: Path, *, depth: bool = False) -> ClipRecord:
    """Render the clip of ``seed`` into ``folder`` and return its record; nothing to do if it is there.

    ``depth``: save what a depth camera in the same place would measure, too. The same seed gives the same record, and
    on one machine the same pictures. Raises :class:`ImportError` without MuJoCo, and what MuJoCo raises when there is
    no OpenGL.
    """
    if (folder / 'clip.json').exists() and (not depth or (folder / DEPTH_FOLDER).is_dir()):
        return load_record(folder)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / 'frames').mkdir(parents=True)
    if depth:
        (folder / DEPTH_FOLDER).mkdir()
    rng = np.random.default_rng([GENERATOR_VERSION, seed])
    still = split.endswith('stills')
    exposure: Literal['train', 'heldout'] = 'heldout' if split.startswith('heldout') else 'train'
    layout = draw_layout(rng, exposure, count=int(rng.integers(4, 8)) if still else None)
    actions = () if still else draw_actions(rng, layout)
    record = _film(seed, split, layout, actions, folder, still=still)
    if depth:
        save_camera(intrinsics_of(record.camera), folder)
    save_record(record, folder)
    return record


def _film(
    seed: int, split: str, layout: Layout, actions: tuple[Action, ...], folder: Path, *, still: bool
) -> ClipRecord:
    model = build_model(layout, width=WIDTH, height=HEIGHT)
    simulation = Simulation(model, layout, actions)
    names = [placed.item.name for placed in layout.objects]
    shots: list[Photograph] = []
    windows: list[Window] = []
    filmed = 1 if still else INSTANTS if split == 'demo' else FRAMES
    with Photographer(model, names) as photographer:

        def at(instant: int) -> None:
            if instant < filmed:
                shots.append(photographer.photograph(simulation.data))
                _save_image(shots[-1], folder / 'frames' / f'{instant:05d}.jpg')
                if (folder / DEPTH_FOLDER).is_dir():
                    save_depth(
                        photographer.depth(simulation.data), folder / DEPTH_FOLDER / f'{instant:05d}.png'
                    )
            if instant in WINDOW_ENDS and not still:
                windows.append(simulation.window(instant))

        course = _at_rest(simulation, at) if still else run(simulation, at)
    visible = tuple(tuple(int(mask.sum()) for mask in shot.masks) for shot in shots)
    whole = tuple(shot.whole_px for shot in shots)
    return ClipRecord(
        version=GENERATOR_VERSION,
        seed=seed,
        split=split,
        objects=tuple(placed.item for placed in layout.objects),
        camera=camera_of(model, simulation.data),
        table_texture=layout.texture,
        table_size_m=(2 * layout.table[0], 2 * layout.table[1]),
        light_azimuth_deg=layout.light_azimuth_deg,
        actions=tuple(action.aim for action in actions),
        events=() if still else list_events(course, names, actions, visible, whole),
        windows=tuple(windows),
        poses=tuple(tuple(tuple(round(float(v), 5) for v in pose) for pose in row) for row in course.poses),
        visible_px=visible,
        whole_px=whole,
        masks=tuple(tuple(_coded(mask) for mask in shot.masks) for shot in shots),
    )


def _at_rest(simulation: Simulation, at: Callable[[int], None]) -> Course:
    at(0)
    poses = simulation.poses()
    return Course(poses[None], (), (), (None,) * len(poses))


def _save_image(shot: Photograph, file: Path) -> None:
    cv2.imwrite(str(file), cv2.cvtColor(shot.image, cv2.COLOR_RGB2BGR), _JPEG)


def _coded(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> str:
    return str(encode_rle(mask)['counts']) if mask.any() else ''


def make_clips(
    split: Split, seeds: range, folder: Path, *, processes: int = 2, depth: bool = False
) -> Iterator[int]:
    """Render clips into ``folder/<seed>``, several at a time; yields seeds as they are done."""
    context = multiprocessing.get_context('spawn')  # OpenGL does not survive a fork
    # A process is renewed now and then: software OpenGL does not give all of its memory back.
    with context.Pool(processes, maxtasksperchild=50) as pool:
        yield from pool.imap_unordered(functools.partial(_make_one, split, folder, depth), seeds)


def _make_one(split: Split, folder: Path, depth: bool, seed: int) -> int:
    make_clip(seed, split, folder / str(seed), depth=depth)
    return seed


def main() -> None:
    """Render a split, with a line of progress."""
    parser = argparse.ArgumentParser(prog='python -m pixelrefer_sim.generate', description=__doc__)
    parser.add_argument('--split', choices=list(FIRST_SEED), default='train')
    parser.add_argument('--count', type=int, required=True, help='how many clips')
    parser.add_argument('--first', type=int, default=0, help='number of the first clip within its split')
    parser.add_argument('--processes', type=int, default=2)
    parser.add_argument(
        '--depth', action='store_true', help='save depth images, too (half as much again to store)'
    )
    parser.add_argument('--output', type=Path, required=True, metavar='DIR', help='clips go to DIR/<split>')
    options = parser.parse_args()
    first = FIRST_SEED[options.split] + options.first
    started = time.monotonic()
    seeds = range(first, first + options.count)
    done = make_clips(
        options.split,
        seeds,
        options.output / options.split,
        processes=options.processes,
        depth=options.depth,
    )
    for number, _ in enumerate(done, start=1):
        rate = number / (time.monotonic() - started)
        left = (options.count - number) / rate
        print(f'\r{number}/{options.count} clips, {rate:.2f}/s, {left:.0f} s left ', end='', file=sys.stderr)
    print(file=sys.stderr)


if __name__ == '__main__':
    main()
