"""How well does a tracker follow the objects of rendered clips, from each kind of prompt and through an occlusion?

J and F as in DAVIS, over all frames but the first and the last. For the occlusion a panel slides in front of an object
and stays for a second; its identity is kept when, at the end of the clip, its mask fits it by half and no other object
better. Clips: ``python -m pixelrefer_sim.generate --split heldout``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from pixelrefer_core.cli.rows import print_rows
from pixelrefer_core.masks import mask_box, mask_iou
from pixelrefer_core.measuring import load_average
from pixelrefer_core.segmentation_metrics import SequenceScore, score_sequence
from pixelrefer_core.settings import Settings
from pixelrefer_core.settings_text import add_options, from_options
from pixelrefer_core.tracker import Tracker, create_tracker
from pixelrefer_core.types import NANOSECONDS, Frame, ImageArray, MaskArray, MaskEstimate, Prompt
from pixelrefer_sim.record import RATE_HZ
from pixelrefer_train.sam2_clips import RenderedClip

KINDS = ('mask', 'box', 'point')
# An object with fewer pixels than this on the first frame is not prompted.
LEAST_PX = 120
# The panel slides in and out in so many frames, and stays for a second in between.
SLIDE, STAY = 3, RATE_HZ
ARRIVES = 3
COLUMNS = 6


@dataclass(frozen=True, eq=False)
class Scene:
    """A clip with its truth. ``masks``: [object][frame]; ``hidden``: the object that the panel hides, or none."""

    name: str
    frames: Sequence[Frame]
    masks: Sequence[Sequence[MaskArray]]
    hidden: int | None = None


def read_scene(folder: Path, objects: int) -> Scene:
    """Read a clip with its largest objects on the first frame, ``objects`` at most."""
    clip = RenderedClip(folder)
    pairs = [clip.read(index) for index in range(clip.frames)]
    areas = pairs[0][1].sum(axis=(1, 2))
    chosen = [int(k) for k in np.argsort(-areas)[:objects] if areas[k] >= LEAST_PX]
    step_ns = NANOSECONDS // RATE_HZ
    frames = [Frame(picture, index * step_ns) for index, (picture, _) in enumerate(pairs)]
    return Scene(folder.name, frames, [[masks[k] for _, masks in pairs] for k in chosen])


def with_panel(scene: Scene) -> Scene | None:
    """Let a panel hide the first object that stays in view all the time; None when there is none."""
    steady = [k for k, masks in enumerate(scene.masks) if min(mask.sum() for mask in masks) >= LEAST_PX]
    if not steady:
        return None
    hidden = steady[0]
    boxes = np.array([mask_box(mask) for mask in scene.masks[hidden]])
    x0, y0 = boxes[:, :2].min(axis=0) - 4
    x1, y1 = boxes[:, 2:].max(axis=0) + 4
    frames, truth = [], [list(masks) for masks in scene.masks]
    for index, frame in enumerate(scene.frames):
        # How far it has yet to come, or has gone: 0 while it hides all.
        away = max(ARRIVES + SLIDE - index, index - (ARRIVES + SLIDE + STAY - 1), 0)
        shift = round(min(away / SLIDE, 1.0) * (y1 - y0)) if away < SLIDE else frame.height
        panel = np.zeros((frame.height, frame.width), np.bool_)
        panel[max(y0 - shift, 0) : max(y1 - shift, 0) if shift < frame.height else 0, max(x0, 0) : x1] = True
        image = np.where(panel[..., None], np.uint8((96, 88, 80)), frame.image)
        frames.append(Frame(image, frame.stamp_ns))
        for masks in truth:
            masks[index] = masks[index] & ~panel
    return Scene(scene.name, frames, truth, hidden)


def prompt(kind: str, name: str, mask: MaskArray) -> Prompt:
    """Point at a mask: by itself, its box, or its innermost point."""
    if kind == 'mask':
        return Prompt(name, mask=mask)
    if kind == 'box':
        box = mask_box(mask)
        assert box is not None
        return Prompt(name, box_xyxy=tuple(map(float, box)))
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), mask.shape)
    return Prompt(name, points=np.array([[column, row]], np.float32))


def follow(tracker: Tracker, scene: Scene, kind: str) -> tuple[list[list[MaskEstimate]], list[float]]:
    """Track all objects; returns estimates, [object][frame], and the seconds of each frame but the first."""
    tracker.reset()
    names = [str(k) for k in range(len(scene.masks))]
    prompts = [prompt(kind, name, masks[0]) for name, masks in zip(names, scene.masks, strict=True)]
    first = tracker.add(prompts, scene.frames[:1])
    found, seconds = [[first[name]] for name in names], []
    for frame in scene.frames[1:]:
        start = time.perf_counter()
        estimates = tracker.step(frame)
        seconds.append(time.perf_counter() - start)
        for own, name in zip(found, names, strict=True):
            own.append(estimates[name])
    return found, seconds


def scores(scene: Scene, found: Sequence[Sequence[MaskEstimate]]) -> list[SequenceScore]:
    """Score each object."""
    return [
        score_sequence(truth, [estimate.mask for estimate in own])
        for truth, own in zip(scene.masks, found, strict=True)
    ]


def identity_kept(scene: Scene, found: Sequence[Sequence[MaskEstimate]]) -> bool:
    """Return whether the object that was hidden is, at the end, where it truly is."""
    assert scene.hidden is not None
    own = found[scene.hidden][-1].mask
    fits = [mask_iou(masks[-1], own) for masks in scene.masks]
    return fits[scene.hidden] >= 0.5 and fits[scene.hidden] == max(fits)


def sheet(scene: Scene, found: Sequence[Sequence[MaskEstimate]]) -> ImageArray:
    """Return some frames of a scene side by side, its objects in colour."""
    colours = np.uint8([(230, 60, 60), (60, 200, 80), (70, 110, 240), (240, 200, 50), (200, 80, 220)])
    pictures = []
    for index in np.linspace(0, len(scene.frames) - 1, COLUMNS).astype(int):
        picture = scene.frames[index].image.copy()
        for k, own in enumerate(found):
            mask = own[index].mask
            picture[mask] = picture[mask] // 2 + colours[k % len(colours)] // 2
        pictures.append(picture)
    return np.hstack(pictures)


def evaluate(tracker: Tracker, scenes: Sequence[Scene], kind: str) -> tuple[dict[str, Any], list[ImageArray]]:
    """Return a row of means over all objects of all scenes, and the sheets of some scenes."""
    results: list[SequenceScore] = []
    seconds: list[float] = []
    sheets = []
    for number, scene in enumerate(scenes):
        found, own_seconds = follow(tracker, scene, kind)
        results += scores(scene, found)
        seconds += own_seconds
        if number < COLUMNS:
            sheets.append(sheet(scene, found))
    region, boundary = (
        float(np.mean([getattr(item, key) for item in results])) for key in ('region', 'boundary')
    )
    row = {
        'prompt': kind,
        'objects': len(results),
        'J': region,
        'F': boundary,
        'J&F': (region + boundary) / 2,
    }
    return row | {'frames/s': 1 / float(np.median(seconds))}, sheets


def through_panel(
    tracker: Tracker, scenes: Sequence[Scene], kind: str
) -> tuple[dict[str, Any], list[ImageArray]]:
    """Return how often the identity is kept through the panel, and how often the panel is taken for the object."""
    kept, silent, sheets = [], [], []
    for scene in scenes:
        covered = with_panel(scene)
        if covered is None or covered.hidden is None:
            continue
        found, _ = follow(tracker, covered, kind)
        kept.append(identity_kept(covered, found))
        middle = range(ARRIVES + SLIDE + 1, ARRIVES + SLIDE + STAY)
        silent.append(np.mean([not found[covered.hidden][index].mask.any() for index in middle]))
        if len(sheets) < COLUMNS:
            sheets.append(sheet(covered, found))
    row = {'prompt': kind, 'cases': len(kept), 'identity kept': float(np.mean(kept))}
    return row | {'no mask while hidden': float(np.mean(silent))}, sheets


def main() -> None:
    """Run all kinds of prompts and print the tables, and one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--clips', type=Path, required=True, metavar='DIR', help='folder of rendered clips')
    parser.add_argument('--count', type=int, default=30, help='clips, in order of their names')
    parser.add_argument('--objects', type=int, default=3, help='most objects a clip')
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=KINDS, help='kinds of prompts')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads')
    parser.add_argument('--output', type=Path, metavar='DIR', help='save contact sheets here')
    add_options(parser, Settings, ('tracker',))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    tracker = create_tracker(from_options(options, Settings()).tracker)
    folders = sorted(record.parent for record in options.clips.glob('*/clip.json'))[: options.count]
    scenes = [scene for folder in folders if (scene := read_scene(folder, options.objects)).masks]
    report: dict[str, Any] = {'clips': len(scenes), 'threads': options.threads, 'load': load_average()}
    for name, judge in (('tracking', evaluate), ('occlusion', through_panel)):
        results = [judge(tracker, scenes, kind) for kind in options.kinds]
        report[name] = [row for row, _ in results]
        print_rows([_rounded(row) for row, _ in results])
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
            for row, sheets in results:
                picture = cv2.cvtColor(np.vstack(sheets), cv2.COLOR_RGB2BGR)
                cv2.imwrite(str(options.output / f'{name}_{row["prompt"]}.png'), picture)
    print(json.dumps(report))


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: f'{value:.3f}' if isinstance(value, float) else value for key, value in row.items()}


if __name__ == '__main__':
    main()
