"""What does SAM 2 cost a frame for 1, 2, 4 and 8 objects: one after the other, and together in one batch?

Both are measured in turns in one run, with full memories; on a CPU in processor time. Speed does not depend on what the
weights have learnt, but on objects being seen; as untrained weights see nothing, the decoder's verdict is replaced:
every object is in sight.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from harness import RESULTS

from pixelrefer_core.cli.rows import print_rows
from pixelrefer_core.measuring import Durations, append_result, circumstances, load_average, measure_in_turns
from pixelrefer_core.settings import Settings, TrackerSettings
from pixelrefer_core.settings_text import add_options, from_options
from pixelrefer_core.tracker.sam2 import Sam2Tracker
from pixelrefer_core.tracker.sam2_loading import RANDOM_NANO, load_sam2
from pixelrefer_core.types import Frame, Prompt

COUNTS = (1, 2, 4, 8)
STEP_NS = 100_000_000


class Camera:
    """Gives frames of noise without end; size in pixels."""

    def __init__(self, height: int = 480, width: int = 640) -> None:
        random = np.random.default_rng(0)
        self._images = random.integers(0, 256, (4, height, width, 3), dtype=np.uint8)
        self._count = 0

    def frame(self) -> Frame:
        """The next frame."""
        self._count += 1
        return Frame(self._images[self._count % len(self._images)], self._count * STEP_NS)

    def prompt(self, name: str) -> Prompt:
        """A mask in the middle of the picture, where :func:`keep_in_sight` sees every object."""
        height, width = self._images.shape[1:3]
        mask = np.zeros((height, width), np.bool_)
        mask[height // 3 : height * 2 // 3, width // 3 : width * 7 // 12] = True
        return Prompt(name, mask=mask)


def keep_in_sight(model: torch.nn.Module) -> None:
    """Let the decoder report every object as a blob in the middle of the picture, with certainty."""

    def verdict(_module: Any, _inputs: Any, output: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        masks, quality, tokens, scores = output
        side = masks.shape[-1]
        blob = torch.full_like(masks, -8.0)
        blob[..., side // 3 : side * 2 // 3, side // 3 : side * 7 // 12] = 8.0
        return blob, quality, tokens, torch.full_like(scores, 8.0)

    model.mask_decoder.register_forward_hook(verdict)


def tracker_with(settings: TrackerSettings, model: torch.nn.Module, count: int) -> tuple[Sam2Tracker, Camera]:
    """A tracker of ``count`` objects whose memories are full."""
    tracker, camera = Sam2Tracker(settings, model), Camera()
    frame = camera.frame()
    tracker.add([camera.prompt(f'object {k}') for k in range(count)], [frame])
    for _ in range(settings.window_frames):
        tracker.step(camera.frame())
    return tracker, camera


def figures(taken: Mapping[str, Durations], *, on_processor: bool) -> dict[str, float]:
    """Return the row of one number of objects: ms a frame, of processor time where that is what counts."""
    looped, batched = (
        1000 * float(np.median(taken[name].processor if on_processor else taken[name].seconds))
        for name in ('looped', 'batched')
    )
    return {
        'looped ms': round(looped, 1),
        'batched ms': round(batched, 1),
        'ratio': round(looped / batched, 2),
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--frames', type=int, default=10, help='frames that count, for each figure')
    parser.add_argument('--save', action='store_true', help=f'append to {RESULTS.name}/MACHINE.jsonl')
    add_options(parser, Settings, ('tracker',))
    options = parser.parse_args()
    defaults = replace(Settings(), tracker=TrackerSettings(backend='sam2', path=RANDOM_NANO))
    settings = from_options(options, defaults).tracker
    model = load_sam2(settings)
    keep_in_sight(model)
    rows = []
    for count in COUNTS:
        runs = {}
        for name, batched in (('looped', False), ('batched', True)):
            tracker, camera = tracker_with(replace(settings, batched=batched), model, count)
            runs[name] = lambda tracker=tracker, camera=camera: tracker.step(camera.frame())
        taken = measure_in_turns(runs, model.device, repeats=options.frames)
        rows.append({'objects': count, **figures(taken, on_processor=model.device.type == 'cpu')})
    result = {
        'benchmark': 'tracker_objects',
        **circumstances(model.device),
        'load_average': load_average(),
        'settings': {
            'path': settings.path,
            'image_size': model.config.image_size,
            'dtype': str(model.dtype),
            'frames': options.frames,
        },
        'rows': rows,
    }
    print(
        f'{result["machine"]}, {result["threads"]} threads, load {result["load_average"]}, {settings.path}, '
    )
    print(f'{model.config.image_size} px, {model.dtype}\n')
    print_rows(rows)
    if options.save:
        print(f'appended to {append_result(RESULTS, result)}')


if __name__ == '__main__':
    main()
