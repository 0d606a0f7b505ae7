"""Trains SAM 2-nano: single frames first, then clips; resumable at any moment."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Sam2VideoModel

from pixelrefer_core.errors import InvalidRequestError

from .optimisation import rate_factor
from .sam2_batches import ClipBatch
from .sam2_clips import find_clips
from .sam2_curves import draw_sam2_curves
from .sam2_losses import FrameLoss, frame_loss
from .sam2_prompts import KINDS
from .sam2_recipe import Sam2Recipe, Sam2Stage
from .sam2_source import BatchSource
from .sam2_steps import Sam2Student
from .sam2_validation import validate_tracking, validation_batches
from .sam2_weights import new_model, resized, save_model

Say = Callable[[str], None]
# How often boxes, a point, several points and masks are prompts; a mask teaches the image encoder least.
KIND_SHARES = (0.35, 0.3, 0.2, 0.15)
# Share of the clips whose objects are prompted a second time on their way.
CORRECTED = 0.2


@dataclass
class Sam2Progress:
    """``step`` and ``elapsed_s``: of the running stage. ``total_steps``: of all. ``best``: score, -1 = none yet."""

    stage: int = 0
    step: int = 0
    elapsed_s: float = 0.0
    total_steps: int = 0
    best: float = -1.0


def train_sam2(recipe: Sam2Recipe, *, resume: bool = False, say: Say = lambda line: None) -> Sam2Progress:
    """Run a recipe. In its output folder lie ``last.pt`` (to resume from), ``best/`` (a model for the tracker),
    ``metrics.jsonl``, ``curves.png`` and ``recipe.json``. Raises :class:`InvalidRequestError`.
    """
    torch.set_num_threads(recipe.threads)
    return _Run(recipe, resume, say).run()


class _Run:
    def __init__(self, recipe: Sam2Recipe, resume: bool, say: Say) -> None:
        self.recipe, self.say = recipe, say
        self.folder = Path(recipe.output)
        self.roots = [Path(root) for root in recipe.clips]
        self.source = BatchSource(self.roots, recipe.seed)
        self.progress = Sam2Progress()
        self.held_back: list[ClipBatch] | None = None
        self.saved = self.validated = time.monotonic()
        self.model = self._first_model()
        self.optimizer = self._optimizer()
        if resume:
            self._load()
        elif self._file('last.pt').exists():
            raise InvalidRequestError(
                f'{self.folder} holds a run already: resume it, or choose another output'
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file('recipe.json').write_text(json.dumps(asdict(recipe), indent=2) + '\n')

    def run(self) -> Sam2Progress:
        while self.progress.stage < len(self.recipe.stages):
            self._run_stage(self.recipe.stages[self.progress.stage])
            self.progress.stage += 1
            self.progress.step, self.progress.elapsed_s = 0, 0.0
            self._save()
        return self.progress

    def _run_stage(self, stage: Sam2Stage) -> None:
        student = Sam2Student(self._at_size(stage.image_size))
        self.say(f'stage {stage.name}: {stage.minutes:g} minutes at {stage.image_size} px')
        recent: list[tuple[float, float]] = []
        while (share := _share_done(stage, self.progress)) < 1:
            started = time.monotonic()
            factor = rate_factor(share, stage.warmup)
            for group in self.optimizer.param_groups:
                group['lr'] = stage.learning_rate * max(
                    factor, stage.last_rate if share > stage.warmup else 0
                )
            recent.append(self._step(student, stage))
            self.progress.step += 1
            self.progress.total_steps += 1
            self.progress.elapsed_s += time.monotonic() - started
            if self.progress.step % self.recipe.log_steps == 0:
                self._report(stage, recent)
                recent.clear()
            self._look_after(stage)
        self._validate(stage)

    def _step(self, student: Sam2Student, stage: Sam2Stage) -> tuple[float, float]:
        """Take one step; returns loss and mean overlap."""
        batch = self.source.batch(stage, self.progress.total_steps)
        losses = clip_losses(
            student, batch, np.random.default_rng((self.recipe.seed, self.progress.total_steps, 1))
        )
        total = torch.stack([loss.total for loss in losses]).mean()
        overlaps = torch.cat([loss.overlaps for loss in losses])
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(student.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        return float(total.detach()), float(overlaps.mean())

    # --- models and files ---

    def _first_model(self) -> Sam2VideoModel:
        size = self.recipe.stages[0].image_size
        if not self.recipe.start:
            return new_model(size, self.recipe.seed)
        model = Sam2VideoModel.from_pretrained(self.recipe.start, dtype=torch.float32)
        return resized(model.eval(), size)

    def _optimizer(self) -> torch.optim.AdamW:
        return torch.optim.AdamW(
            self.model.parameters(), lr=0.0, weight_decay=self.recipe.weight_decay, fused=True
        )

    def _at_size(self, image_size: int) -> Sam2VideoModel:
        """Carry weights and the optimiser's moments over to a model for this input size."""
        state = self.optimizer.state_dict()
        self.model = resized(self.model, image_size)
        self.optimizer = self._optimizer()
        self.optimizer.load_state_dict(state)
        return self.model

    def _file(self, name: str) -> Path:
        return self.folder / name

    def _save(self) -> None:
        state = {
            'model': self.model.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'progress': asdict(self.progress),
            'image_size': self.model.config.image_size,
        }
        torch.save(state, self._file('last.pt.partial'))
        self._file('last.pt.partial').rename(self._file('last.pt'))
        self.saved = time.monotonic()

    def _load(self) -> None:
        if not self._file('last.pt').exists():
            raise InvalidRequestError(f'{self.folder} holds no run to resume: last.pt is missing')
        state = torch.load(self._file('last.pt'), map_location='cpu', weights_only=True)
        self.model = resized(self.model, state['image_size'])
        self.model.load_state_dict(state['model'])
        self.optimizer = self._optimizer()
        self.optimizer.load_state_dict(state['optimizer'])
        self.progress = Sam2Progress(**state['progress'])
        self._forget_after(self.progress.total_steps)

    # --- looking after the run ---

    def _look_after(self, stage: Sam2Stage) -> None:
        now = time.monotonic()
        if now - self.saved >= 60 * self.recipe.checkpoint_minutes:
            self._save()
        if now - self.validated >= 60 * self.recipe.validation.minutes:
            self._validate(stage)

    def _validate(self, stage: Sam2Stage) -> None:
        """Score the clips kept back, and keep the model if it is the best so far."""
        settings = self.recipe.validation
        if self.held_back is None:
            # Read once, so that all scores of a run are of the same clips.
            self.held_back = validation_batches(find_clips(self.roots, validation=True), settings)
        model = resized(self.model, settings.image_size)
        score = validate_tracking(Sam2Student(model), self.held_back)
        self._append({'stage': stage.name, **{f'validation_{k}': v for k, v in asdict(score).items()}})
        self.say('validation: ' + ', '.join(f'{name} {value:.3f}' for name, value in asdict(score).items()))
        if score.total > self.progress.best:
            self.progress.best = score.total
            save_model(model, self._file('best'))
        draw_sam2_curves(self._metrics(), self._file('curves.png'))
        self.validated = time.monotonic()

    def _report(self, stage: Sam2Stage, recent: list[tuple[float, float]]) -> None:
        loss, overlap = np.nanmean(np.array(recent), axis=0)
        progress = self.progress
        self._append({'stage': stage.name, 'loss': float(loss), 'overlap': float(overlap)})
        self.say(
            f'{stage.name} step {progress.step}, {progress.elapsed_s / 60:.1f} of {stage.minutes:g} minutes: '
            f'loss {loss:.3f}, overlap {overlap:.3f}'
        )

    def _append(self, line: Mapping[str, Any]) -> None:
        known = {'total_steps': self.progress.total_steps, 'elapsed_s': round(self.progress.elapsed_s, 1)}
        with self._file('metrics.jsonl').open('a', encoding='utf-8') as file:
            file.write(json.dumps(known | dict(line)) + '\n')

    def _metrics(self) -> list[dict[str, Any]]:
        file = self._file('metrics.jsonl')
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def _forget_after(self, total_steps: int) -> None:
        """Drop the lines of steps that a resumed run takes again."""
        kept = [line for line in self._metrics() if line['total_steps'] <= total_steps]
        self._file('metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in kept))


def clip_losses(student: Sam2Student, batch: ClipBatch, random: np.random.Generator) -> list[FrameLoss]:
    """Prompt, follow and score a batch: one loss for each of its frames."""
    kind, frames = KINDS[int(random.choice(len(KINDS), p=KIND_SHARES))], len(batch.pixels)
    again = int(random.integers(1, frames)) if frames > 1 and random.random() < CORRECTED else 0
    guesses = student.track(batch, kind, random, again=again)
    return [
        frame_loss(guess.logits, guess.quality, guess.scores, covers)
        for guess, covers in zip(guesses, batch.covers, strict=True)
    ]


def _share_done(stage: Sam2Stage, progress: Sam2Progress) -> float:
    by_steps = progress.step / stage.steps if stage.steps else 0.0
    return max(by_steps, progress.elapsed_s / (60 * stage.minutes))
