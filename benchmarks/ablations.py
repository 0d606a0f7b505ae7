"""What does each part of the object tokenizer and of the infusion give? (Paper, Tables 7 to 9, at nano scale.)

A trained vision encoder stays as it is; everything behind it is trained anew, each time with one thing changed, to
tell category, colour, size and place of objects from their tokens. Scored on clips held back, with exact masks.
No language model takes part, so these are figures of what the tokens hold, not of answers.

python benchmarks/ablations.py --visual training/visual/visual.safetensors --clips training/clips/stills \
  --validation training/clips/val
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import load_file

from pixelrefer_core import object_tokenizer
from pixelrefer_core.cli.rows import print_rows
from pixelrefer_core.geometry import object_scale
from pixelrefer_core.measuring import load_average
from pixelrefer_core.model_config import ModelConfig
from pixelrefer_core.object_tokenizer import CellBatch, ObjectTokenizer
from pixelrefer_core.visual_model import VisualModel
from pixelrefer_sim.record import WIDTH
from pixelrefer_sim.visual_pretraining import Pretraining
from pixelrefer_sim.visual_teacher import ATTRIBUTES, Lesson, Teacher
from pixelrefer_train.nano import nano_config

_ENCODER = 'vision_encoder.'
_FRAMES = 4  # pictures of a lesson
_CACHE_MB = 3000


class MaskPooling(ObjectTokenizer):
    """One token, the mean over an object's cells: what SAOT is compared with."""

    def forward(self, features: torch.Tensor, batch: CellBatch) -> torch.Tensor:
        """Return (B, 1, C)."""
        cells = features[batch.index] + self.pos_linear(batch.positions.to(features.dtype))  # (B, N, C)
        inside = batch.valid[..., None].to(features.dtype)
        return (cells * inside).sum(dim=1, keepdim=True) / inside.sum(dim=1, keepdim=True)


def _keep(model: VisualModel) -> None:
    """Change nothing."""


def _pool(model: VisualModel) -> None:
    pooling = MaskPooling(model.config.vision.hidden_size, model.config.rules)
    pooling.load_state_dict(model.object_tokenizer.state_dict())
    model.object_tokenizer = pooling


def _silence(*names: str) -> Callable[[VisualModel], None]:
    """Return a change after which these layers say zero and learn nothing."""

    def change(model: VisualModel) -> None:
        for name in names:
            layer = model.get_submodule(name)
            for parameter in layer.parameters():
                parameter.requires_grad_(False).zero_()

    return change


def _unscaled(area_px: int, num_tokens: int, large_cells: int) -> float:
    return min(object_scale(area_px, num_tokens, large_cells), 1.0)


@dataclass(frozen=True)
class Variant:
    """``tokens``: of an object. ``change``: of the new model. ``expands``: small objects are enlarged (eq. 2)."""

    name: str
    tokens: int = 8
    change: Callable[[VisualModel], None] = _keep
    expands: bool = True

    def crops(self) -> AbstractContextManager[object]:
        """Return the context in which its lessons are drawn."""
        return nullcontext() if self.expands else patch.object(object_tokenizer, 'object_scale', _unscaled)


_LOCAL, _GLOBAL = ('object_infusion.attention_local.out_proj', 'object_infusion.attention_global.out_proj')
VARIANTS = (
    Variant('8 tokens, everything'),
    Variant('1 token', 1),
    Variant('16 tokens', 16),
    Variant('32 tokens', 32),
    Variant('mask pooling', change=_pool),
    Variant('without expansion', expands=False),
    Variant('without position', change=_silence('object_tokenizer.pos_linear')),
    Variant('without local attention', change=_silence(_LOCAL)),
    Variant('without global attention', change=_silence(_GLOBAL)),
    Variant('without infusion', change=_silence(_LOCAL, _GLOBAL)),
)


def train(variant: Variant, options: argparse.Namespace) -> dict[str, float]:
    """Train one variant; returns its figures on the clips held back."""
    config = nano_config(1024)
    config = replace(config, rules=replace(config.rules, num_tokens=variant.tokens))
    with variant.crops():
        lessons = draw(options.clips, config, options.lessons, options.seed)
        exam = draw([options.validation], config, options.exam, options.seed, disturbed=False)
    run = Pretraining(config, seed=options.seed)
    encoder = {k: v for k, v in load_file(options.visual).items() if k.startswith(_ENCODER)}
    run.model.load_state_dict(encoder, strict=False)
    with torch.no_grad():
        variant.change(run.model)
    run.freeze_encoder(_CACHE_MB)
    steps = options.epochs * len(lessons)
    for step in range(steps):
        run.step(lessons[step % len(lessons)], step / steps)
    return examine(run, exam)


def draw(
    folders: Sequence[Path], config: ModelConfig, count: int, seed: int, *, disturbed: bool = True
) -> list[Lesson]:
    """Draw lessons; the same pictures and masks for every configuration."""
    teacher = Teacher(folders, config, seed=seed, disturbed=disturbed)
    return [teacher.draw(_FRAMES) for _ in range(count)]


@torch.no_grad()
def examine(run: Pretraining, exam: Sequence[Lesson]) -> dict[str, float]:
    """Return shares of right names, and the mean error of boxes in pixels of the picture's width."""
    reports = [run.judge(lesson)[1] for lesson in exam]
    sizes = [len(lesson.boxes) for lesson in exam]
    figures = {
        name: float(np.average([report[name] for report in reports], weights=sizes))
        for name in (*ATTRIBUTES, 'box')
    }
    return figures | {'box': figures['box'] * WIDTH}


def rows(options: argparse.Namespace) -> Iterator[dict[str, str]]:
    """Train all variants; yields a row each."""
    for variant in VARIANTS:
        figures = train(variant, options)
        line = {'variant': variant.name, **{name: round(value, 4) for name, value in figures.items()}}
        print(json.dumps(line), flush=True)
        yield {
            'variant': variant.name,
            **{name: f'{figures[name]:.3f}' for name in ATTRIBUTES},
            'box error (px)': f'{figures["box"]:.1f}',
        }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--visual', type=Path, required=True, metavar='FILE', help='with a trained encoder')
    parser.add_argument('--clips', type=Path, action='append', required=True, metavar='DIR')
    parser.add_argument('--validation', type=Path, required=True, metavar='DIR')
    parser.add_argument('--lessons', type=int, default=300, help=f'of {_FRAMES} pictures each')
    parser.add_argument('--epochs', type=int, default=4)
    parser.add_argument('--exam', type=int, default=40, help='lessons held back')
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = list(rows(options))
    print_rows(table)
    print(f'load average {load_average():.1f}')


if __name__ == '__main__':
    main()
