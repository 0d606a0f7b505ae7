"""How far off are 3D positions, against the simulator's truth?

python benchmarks/positions.py --clips 24 --output clips

Two truths. The visible surface: the middle (median in x, y and z) of all points that the camera sees of an object, from
exact masks and exact depth. That is what a position means, and what can be measured. The centre: the body's centre of
mass, from the simulator's poses; it lies behind the surface, by about half of the body's depth, and shows that camera
and axes are right. Loose masks are the exact ones, three pixels too large on all sides. Depth comes from PNGs in whole
millimetres, or is disturbed as a real depth camera disturbs it.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pixelrefer_core.cli.rows import print_rows
from pixelrefer_core.clip import open_clip
from pixelrefer_core.masks import mask_iou
from pixelrefer_core.measuring import load_average
from pixelrefer_core.positions import locate
from pixelrefer_core.settings import Settings
from pixelrefer_core.settings_text import add_options, from_options
from pixelrefer_core.tracker import create_tracker
from pixelrefer_core.types import DepthImage, Frame, MaskArray, Position, Prompt
from pixelrefer_sim.demo_tabletop import true_mask
from pixelrefer_sim.depth_camera import disturb_depth
from pixelrefer_sim.opengl import choose_opengl
from pixelrefer_sim.record import ClipRecord, load_record

# Smaller or more hidden than this, an object is not pointed at, and is no longer counted.
VISIBLE_PX, VISIBLE_SHARE = 200, 0.5
Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sighting:
    """One object on one frame: what was measured, and what is true, metres in camera axes."""

    masks: str
    depth: str
    found: Position
    surface_m: Points
    centre_m: Points
    overlap: float


def sightings(folder: Path, masks_of: dict[str, Any]) -> Iterator[Sighting]:
    """Yield every object on every frame of a clip, with each kind of mask and of depth."""
    record, rng = load_record(folder), np.random.default_rng(load_record(folder).seed)
    frames = list(open_clip(folder, with_depth=True))
    names = [item.name for item in record.objects if is_plain(record, item.name, 0)]
    truths = [{name: true_mask(record, name, index) for name in names} for index in range(len(frames))]
    found = {kind: list(make(frames, truths)) for kind, make in masks_of.items()}
    for index, frame in enumerate(frames):
        assert frame.depth is not None
        metres = frame.depth.pixels.astype(np.float32) / 1000
        depths = {
            'exact': frame.depth,
            'disturbed': DepthImage(disturb_depth(metres, rng), '32FC1', frame.depth.intrinsics),
        }
        for name, (kind, per_frame), (depth, image) in itertools.product(
            names, found.items(), depths.items()
        ):
            if is_plain(record, name, index):
                mask, truth = per_frame[index][name], truths[index][name]
                yield Sighting(
                    kind,
                    depth,
                    locate(mask, image),
                    surface_of(truth, metres, record),
                    centre_of(record, name, index),
                    mask_iou(mask, truth),
                )


def is_plain(record: ClipRecord, name: str, index: int) -> bool:
    """Whether enough of an object is seen."""
    place = record.index(name)
    seen, whole = record.visible_px[index][place], record.whole_px[index][place]
    return seen >= VISIBLE_PX and seen >= VISIBLE_SHARE * whole


def exact(frames: list[Frame], truths: list[dict[str, MaskArray]]) -> Iterator[dict[str, MaskArray]]:
    """Yield the masks of the simulator."""
    yield from truths


def loose(frames: list[Frame], truths: list[dict[str, MaskArray]]) -> Iterator[dict[str, MaskArray]]:
    """Yield the masks of the simulator, too large."""
    around = np.ones((7, 7), np.uint8)
    for truth in truths:
        yield {name: cv2.dilate(mask.astype(np.uint8), around).astype(bool) for name, mask in truth.items()}


def surface_of(mask: MaskArray, metres: npt.NDArray[np.float32], record: ClipRecord) -> Points:
    """Return the middle of what is seen of an object, worked out with the camera of the simulator's record."""
    rows, columns = np.nonzero(mask)
    z, camera = metres[mask], record.camera
    x = (columns + 0.5 - camera.centre_px[0]) * z / camera.focal_px
    y = (rows + 0.5 - camera.centre_px[1]) * z / camera.focal_px
    return np.median(np.stack([x, y, z], axis=1), axis=0)


def centre_of(record: ClipRecord, name: str, index: int) -> Points:
    """Return the centre of mass in camera axes."""
    place = np.array(record.poses[index][record.index(name)][:3])
    return np.array(record.camera.rotation) @ (place - record.camera.position_m)


def summary(masks: str, depth: str, chosen: list[Sighting]) -> dict[str, Any]:
    """Return a row of errors in millimetres."""
    valid = [item for item in chosen if item.found.is_valid]
    row: dict[str, Any] = {
        'masks': masks,
        'depth': depth,
        'sightings': len(chosen),
        'valid': f'{len(valid) / len(chosen):.1%}',
        'mean J': f'{np.mean([item.overlap for item in chosen]):.3f}',
    }
    for name, truths in (
        ('surface', [item.surface_m for item in valid]),
        ('centre', [item.centre_m for item in valid]),
    ):
        errors = [
            1000 * np.linalg.norm(item.found.xyz_m - truth) for item, truth in zip(valid, truths, strict=True)
        ]
        for label, level in (('median', 50), ('p95', 95)):
            row[f'{name} {label} mm'] = f'{np.percentile(errors, level):.1f}'
    return row


def main() -> None:
    """Render what is missing, follow, measure, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--clips', type=int, default=24, help='how many')
    parser.add_argument('--split', choices=('val', 'heldout'), default='heldout')
    parser.add_argument('--first', type=int, default=9000, help='number of the first clip within its split')
    parser.add_argument('--output', type=Path, required=True, metavar='DIR', help='clips are rendered here')
    add_options(parser, Settings, ('tracker',))
    options = parser.parse_args()
    choose_opengl()
    from pixelrefer_sim.generate import FIRST_SEED, make_clip

    tracker_settings = from_options(options, Settings()).tracker

    def followed(frames: list[Frame], truths: list[dict[str, MaskArray]]) -> Iterator[dict[str, MaskArray]]:
        tracker = create_tracker(tracker_settings)
        prompts = [Prompt(name, mask=mask) for name, mask in truths[0].items()]
        yield {name: item.mask for name, item in tracker.add(prompts, frames[:1]).items()}
        for frame in frames[1:]:
            yield {name: item.mask for name, item in tracker.step(frame).items()}

    found: list[Sighting] = []
    first = FIRST_SEED[options.split] + options.first
    for seed in range(first, first + options.clips):
        folder = options.output / options.split / str(seed)
        make_clip(seed, options.split, folder, depth=True)
        found += sightings(folder, {'exact': exact, 'loose': loose, tracker_settings.backend: followed})
    groups = list(dict.fromkeys((item.masks, item.depth) for item in found))
    print_rows(
        [
            summary(masks, depth, [item for item in found if (item.masks, item.depth) == (masks, depth)])
            for masks, depth in groups
        ]
    )
    print(f'load average {load_average():.1f}')


if __name__ == '__main__':
    main()
