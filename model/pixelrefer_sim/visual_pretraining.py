"""Gives the seeing half of a small model its eyes before it meets a language model.

A vision transformer from scratch learns what things are slowly when words are its only teacher. Here every
patch is asked what it shows, and the object tokens, as the language model will be given them, what the object
is, in which colour and size, and where. The heads that answer are thrown away.

python -m pixelrefer_sim.visual_pretraining --clips DIR [--clips DIR] --validation DIR --output FOLDER --minutes 30
``T`` patches, ``C`` channels, ``N`` object-frames, ``K`` object tokens, ``D`` width of the language model.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from pixelrefer_core.model_config import ModelConfig
from pixelrefer_core.visual_model import VisualModel
from pixelrefer_train.feature_cache import FeatureCache
from pixelrefer_train.nano import nano_config, new_visual_model

from .visual_teacher import ATTRIBUTES, MIXED, UNASKED, Lesson, Teacher

_FRAMES = 4  # pictures of a step
_VALIDATION_FRAMES = 100
_WARM_UP = 300
_ENCODER_RATE, _REST_RATE, _LAST_RATE = 5e-4, 1e-3, 0.02
_WEIGHT_DECAY = 0.02
_CLIP_NORM = 1.0
_BOX_WEIGHT = 20.0  # an error of a twentieth of the picture then costs as much as a wrong name
_REPORT_STEPS, _SAVE_STEPS = 100, 500


class Heads(nn.Module):
    """Questions to patches and to object tokens, as linear layers."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.patch_category = nn.Linear(channels, len(ATTRIBUTES['category']) + 1)
        self.patch_colour = nn.Linear(channels, len(ATTRIBUTES['colour']) + 1)
        self.attributes = nn.ModuleDict(
            {name: nn.Linear(width, len(values)) for name, values in ATTRIBUTES.items()}
        )
        self.box = nn.Linear(width, 4)


class Pretraining:
    """Model, heads and optimizer; one step at a time."""

    def __init__(self, config: ModelConfig, *, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = new_visual_model(config, seed=seed)
        self.heads = Heads(config.vision.hidden_size, config.language.hidden_size)
        encoder = list(self.model.vision_encoder.parameters())
        known = {id(parameter) for parameter in encoder}
        rest = [p for p in (*self.model.parameters(), *self.heads.parameters()) if id(p) not in known]
        self._optimizer = torch.optim.AdamW(
            [{'params': encoder, 'peak': _ENCODER_RATE}, {'params': rest, 'peak': _REST_RATE}],
            betas=(0.9, 0.98),
            weight_decay=_WEIGHT_DECAY,
        )
        self._parameters = [*encoder, *rest]
        self.steps, self.spent_s = 0, 0.0
        self._features: VisualModel | FeatureCache = self.model

    def freeze_encoder(self, cache_mb: int) -> None:
        """Leave the encoder as it is from now on, and keep what it says of each picture."""
        self.model.vision_encoder.requires_grad_(False)
        self._features = FeatureCache(self.model, cache_mb)

    def step(self, lesson: Lesson, share: float = 0.0) -> dict[str, float]:
        """Learn from a lesson; returns losses and shares of right answers.

        ``share``: how much of the run is over, 0 to 1; the learning rate falls along a cosine.
        """
        started = time.process_time()
        factor = min(1.0, (self.steps + 1) / _WARM_UP)
        factor *= 0.5 + 0.5 * math.cos(math.pi * min(share, 1.0))
        for group in self._optimizer.param_groups:
            group['lr'] = group['peak'] * max(factor, _LAST_RATE)
        loss, report = self.judge(lesson)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, _CLIP_NORM)
        self._optimizer.step()
        self.steps += 1
        self.spent_s += time.process_time() - started
        return report

    def judge(self, lesson: Lesson) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss and the report of a lesson; ``box`` is the mean error in units of the picture."""
        features, grids = self._features.encode_pictures(lesson.plan.pictures)  # (T, C)
        tokens = self.model.tokenize_views(lesson.plan, features, grids).tokens  # (N, K, D)
        loss = torch.zeros(())
        for logits, labels in (
            (self.heads.patch_category(features), lesson.patch_category),
            (self.heads.patch_colour(features), lesson.patch_colour),
        ):
            loss = loss + _cost(logits, torch.from_numpy(labels), MIXED)
        report = {'patches': float(loss.detach())}
        pooled = tokens.mean(dim=1)  # (N, D)
        for name, head in self.heads.attributes.items():
            logits, truth = head(pooled), torch.from_numpy(lesson.attributes[name])
            loss = loss + _cost(logits, truth, UNASKED)
            right = (logits.argmax(dim=1) == truth)[truth != UNASKED]
            report[name] = float(right.float().mean()) if len(right) else math.nan
        wrong = (self.heads.box(pooled) - torch.from_numpy(lesson.boxes)).abs()  # (N, 4)
        report |= {'box': float(wrong.detach().mean()), 'spread': float(tokens.detach().std())}
        return loss + _BOX_WEIGHT * wrong.mean(), report

    def save(self, folder: Path) -> None:
        """Write ``visual.safetensors`` (for the model) and ``state.pt`` (to go on from)."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.model.state_dict(), folder / 'visual.safetensors')
        state = {
            'model': self.model.state_dict(),
            'heads': self.heads.state_dict(),
            'optimizer': self._optimizer.state_dict(),
            'steps': self.steps,
            'spent_s': self.spent_s,
        }
        torch.save(state, folder / 'state.pt')

    def load(self, folder: Path) -> None:
        """Go on from where :meth:`save` was."""
        state = torch.load(folder / 'state.pt', weights_only=True)
        self.model.load_state_dict(state['model'])
        self.heads.load_state_dict(state['heads'])
        self._optimizer.load_state_dict(state['optimizer'])
        self.steps, self.spent_s = state['steps'], state['spent_s']


def train(options: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Train until the time is up; yields means over a hundred steps, and validation before each save."""
    config = nano_config(1024)
    teacher = Teacher(options.clips, config, seed=options.seed)
    examiner = Teacher([options.validation], config, seed=options.seed, disturbed=False)
    exam = [examiner.draw(_FRAMES) for _ in range(_VALIDATION_FRAMES // _FRAMES)]
    run = Pretraining(config, seed=options.seed)
    if (options.output / 'state.pt').exists():
        run.load(options.output)
    elif options.encoder:
        run.model.vision_encoder.model.load_state_dict(load_file(options.encoder))
    recent: list[dict[str, float]] = []
    while (share := run.spent_s / (60 * options.minutes)) < 1:
        recent.append(run.step(teacher.draw(_FRAMES), share))
        if run.steps % _REPORT_STEPS == 0:
            yield {'steps': run.steps, 'minutes': run.spent_s / 60, **_means(recent)}
            recent = []
        if run.steps % _SAVE_STEPS == 0:
            yield _examine(run, exam)
            run.save(options.output)
    yield _examine(run, exam)
    run.save(options.output)


@torch.no_grad()
def _examine(run: Pretraining, exam: Sequence[Lesson]) -> dict[str, float]:
    reports = [run.judge(lesson)[1] for lesson in exam]
    return {'steps': run.steps, **{f'validation_{name}': value for name, value in _means(reports).items()}}


def _cost(logits: torch.Tensor, labels: torch.Tensor, ignored: int) -> torch.Tensor:
    """Return the mean cross-entropy over labels that are not ``ignored``, 0 where all are."""
    total = functional.cross_entropy(logits, labels, ignore_index=ignored, reduction='sum')
    return total / (labels != ignored).sum().clamp(min=1)


def _means(reports: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.nanmean([report[name] for report in reports])) for name in reports[0]}


def main() -> None:
    """Train, printing a line every hundred steps."""
    parser = argparse.ArgumentParser(
        prog='python -m pixelrefer_sim.visual_pretraining', description=(__doc__ or '').split('\n')[0]
    )
    parser.add_argument('--clips', type=Path, action='append', required=True, metavar='DIR')
    parser.add_argument('--validation', type=Path, required=True, metavar='DIR', help='clips held back')
    parser.add_argument('--output', type=Path, required=True, metavar='DIR')
    parser.add_argument('--encoder', type=Path, metavar='FILE', help='encoder weights to begin with')
    parser.add_argument('--minutes', type=float, default=30.0, help='of processor time')
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with (options.output / 'metrics.jsonl').open('a') as log:
        for report in train(options):
            line = json.dumps({key: round(value, 4) for key, value in report.items()})
            print(line, flush=True)
            log.write(line + '\n')


if __name__ == '__main__':
    main()
