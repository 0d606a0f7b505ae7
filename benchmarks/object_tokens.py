"""How long do object tokens take for many objects at once, beside one object after the other?

Both ways get the same pictures and must give the same tokens.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import harness
import numpy as np
import torch

from pixelrefer_core.measuring import measure_in_turns
from pixelrefer_core.object_views import plan_views
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.reference_pipeline import embed_one_by_one
from pixelrefer_core.synthetic_clip import synthetic_clip
from pixelrefer_core.types import ObjectView


@dataclass(frozen=True)
class Case:
    """A number of objects on each of a number of frames."""

    frames: int
    objects: int

    def __str__(self) -> str:
        return f'{self.objects} objects x {self.frames} frames'


DEFAULT_CASES = (Case(1, 1), Case(1, 5), Case(1, 20), Case(16, 1))


@torch.no_grad()
def one_after_the_other(model: PixelRefer, views: list[ObjectView]) -> list[torch.Tensor]:
    """Cut, encode, cluster and infuse each object by itself, the whole frame with it."""
    tokens: list[torch.Tensor] = []
    for view in views:
        plan = plan_views([view], model.config, model.compat)
        tokens += embed_one_by_one(model.visual_model, plan).unbind()
    return tokens


def run_case(model: PixelRefer, case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Measure both ways in turns; returns a row with medians, their ratio and the largest difference."""
    views = [view for frame in synthetic_clip(case.frames, case.objects) for view in frame]
    together: list[torch.Tensor] = []
    apart: list[torch.Tensor] = []

    def at_once() -> None:
        together[:] = [made.tokens for made in model.encode_objects(views)]

    def in_a_loop() -> None:
        apart[:] = one_after_the_other(model, views)

    ways = {'at once': at_once, 'in a loop': in_a_loop}
    times = measure_in_turns(ways, model.device, repeats=options.repeats, warmup=options.warmup)
    batch, loop = times['at once'], times['in a loop']
    worst = max(float((a - b).float().abs().max()) for a, b in zip(together, apart, strict=True))
    return {
        'case': str(case),
        'at once ms': round(batch.p50 * 1e3, 1),
        'p95': round(batch.p95 * 1e3, 1),
        'in a loop ms': round(loop.p50 * 1e3, 1),
        'loop p95': round(loop.p95 * 1e3, 1),
        'ratio': round(loop.p50 / batch.p50, 2),
        'of processor time': round(float(np.median(loop.processor) / np.median(batch.processor)), 2),
        'per object-frame ms': round(batch.p50 * 1e3 / len(views), 1),
        'max difference': worst,
        'largest': float(max(tokens.abs().max() for tokens in together)),
    }


def main() -> None:
    """Run the cases and report them."""
    parser = harness.parser(__doc__)
    parser.add_argument(
        '--case', action='append', type=_case, metavar='OBJECTSxFRAMES', help='repeatable; 20x1, 1x16, ...'
    )
    options = parser.parse_args()
    run = harness.start('object_tokens', options)
    rows = [run_case(run.model, case, options) for case in options.case or DEFAULT_CASES]
    run.report(rows, {'object_tokens_max_abs': max(row['max difference'] for row in rows)})


def _case(text: str) -> Case:
    objects, frames = (int(part) for part in text.split('x'))
    return Case(frames, objects)


if __name__ == '__main__':
    main()
