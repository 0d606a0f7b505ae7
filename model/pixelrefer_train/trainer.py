"""Training by stages, as in the paper: foundational object perception, then visual instruction tuning."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.errors import ModelError
from pixelrefer_core.pixelrefer import PixelRefer

from .batches import load_batches, numbers, open_sources, order
from .curves import draw_curves
from .feature_cache import FeatureCache
from .frame_heads import hold_frame_heads
from .learner import Learner, PreparedBatch
from .optimisation import make_optimizer, rate_factor, set_rates
from .parallel import Processes
from .precision import choose_precision
from .recipe import Recipe, StageRecipe
from .reports import Meter, progress_line, validation_lines
from .run_folder import Progress, RunFolder
from .samples import SampleSource
from .starting import start_model
from .validation import Validation, validate

Say = Callable[[str], None]
_VALIDATION_SEED = 0


def train(
    recipe: Recipe,
    *,
    resume: bool = False,
    say: Say = lambda line: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Mapping[str, Any]:
    """Run a recipe; returns what was reached. The files are those of :mod:`~.run_folder`.

    ``resume``: go on after the newest checkpoint in the output folder, exactly as if nothing had happened.
    ``say`` is given lines for people. ``should_stop`` is asked after each step; when it says so, everything
    is saved and training ends early. Raises :class:`InvalidRequestError`, :class:`ModelError` or
    :class:`UnsupportedError` for what does not fit together.
    """
    if recipe.threads > 0:
        torch.set_num_threads(recipe.threads)
    return _Run(recipe, resume, say, should_stop).run()


class _Run:
    def __init__(self, recipe: Recipe, resume: bool, say: Say, should_stop: Callable[[], bool]) -> None:
        self.recipe, self.should_stop = recipe, should_stop
        self.processes = Processes(recipe.device)
        self.is_first = self.processes.rank == 0
        self.say = say if self.is_first else _silent
        self.folder = RunFolder(Path(recipe.output), resume=resume)
        self.progress = Progress()
        self.optimizer_state: Mapping[str, Any] | None = None
        self.model = self._model(resume)
        self.learner = Learner(self.model)
        self.held_back = open_sources(recipe.validation.data) if recipe.validation.data else None
        self.scores: dict[str, Any] = {}

    def _model(self, resume: bool) -> PixelRefer:
        device = self.processes.device
        if resume:
            self.progress, self.optimizer_state = self.folder.load_state()
            if self.is_first:
                self.folder.forget_after(self.progress.total_steps)
            model = load_model(str(self.folder.last), device=str(device), dtype='float32')
        else:
            # Of all stages: a vocabulary without the words of the last would spell them letter by letter.
            source = open_sources([data for stage in self.recipe.stages for data in stage.data])
            model = start_model(self.recipe.model, source, seed=self.recipe.seed, device=device)
            if self.is_first:
                self.folder.write_recipe(self.recipe)
        model.train()
        hold_frame_heads(model)
        if self.recipe.gradient_checkpointing:
            model.language_model.model.gradient_checkpointing_enable({'use_reentrant': False})
        return model

    def run(self) -> Mapping[str, Any]:
        stopped = False
        while self.progress.stage < len(self.recipe.stages) and not stopped:
            stopped = _Stage(self, self.recipe.stages[self.progress.stage]).run()
        return {
            'output': self.recipe.output,
            'steps': self.progress.total_steps,
            'finished': not stopped,
            'best_score': self.progress.best if self.progress.best >= 0 else None,
            'validation': self.scores,
        }

    def cache_features(self, *, is_frozen: bool) -> None:
        """Keep the encoder's features while it is frozen, if the recipe has room for them."""
        limit_mb = self.recipe.feature_cache_mb
        if not is_frozen:
            self.learner.cache = None
        elif limit_mb and self.learner.cache is None:
            self.learner.cache = FeatureCache(self.model.visual_model, limit_mb)

    def autocast(self) -> torch.autocast:
        device = self.processes.device
        enabled = choose_precision(self.recipe.precision, device) == torch.bfloat16
        return torch.autocast(device.type, torch.bfloat16, enabled=enabled)

    def validate(self) -> None:
        """Score the questions held back, report, and keep the model if it is the best so far."""
        if self.held_back is None or not self.is_first:
            return
        settings = self.recipe.validation
        chosen = order(len(self.held_back), _VALIDATION_SEED, 0)[: settings.samples]
        groups = [
            [(index, 0) for index in chosen[start : start + settings.batch]]
            for start in range(0, len(chosen), settings.batch)
        ]
        with self.autocast():
            result = validate(self.learner, self._batches(self.held_back, groups))
        self._keep(result)

    def _keep(self, result: Validation) -> None:
        progress = self.progress
        self.scores = {kind: asdict(score) for kind, score in result.kinds.items()}
        self.folder.append(
            self.place() | {'score': result.score, 'validation_loss': result.loss, 'kinds': self.scores}
        )
        for line in validation_lines(result):
            self.say(line)
        if result.score >= progress.best:
            progress.best = result.score
            self.folder.save_best(self.model)
        draw_curves(self.folder.read(), self.folder.curves)

    def place(self) -> dict[str, Any]:
        """Return where in the run we are, for the metrics."""
        stage = self.recipe.stages[self.progress.stage].name
        return {
            'stage': stage,
            'step': self.progress.step,
            'total_steps': self.progress.total_steps,
            'elapsed_s': round(self.progress.elapsed_s, 3),
        }

    def _batches(self, source: SampleSource, chosen: Any) -> Iterator[PreparedBatch]:
        model = self.model
        return load_batches(source, chosen, model.config, model.compat, workers=self.recipe.workers)

    def training_batches(self, stage: StageRecipe, source: SampleSource) -> Iterator[PreparedBatch]:
        """Yield the batches of a stage, from where it stands on."""
        chosen = numbers(
            len(source),
            stage.batch,
            seed=self.recipe.seed + self.progress.stage,
            start=self.progress.batches,
            rank=self.processes.rank,
            processes=self.processes.count,
        )
        return self._batches(source, chosen)


class _Stage:
    """One stage of a run."""

    def __init__(self, run: _Run, recipe: StageRecipe) -> None:
        self.owner, self.recipe, self.progress = run, recipe, run.progress
        run.cache_features(is_frozen=recipe.learning_rates.vision == 0)
        run.learner.guide(
            binding=recipe.binding,
            meaning=recipe.meaning,
            options=recipe.options,
            travel=recipe.travel,
            recall=recipe.recall,
        )
        self.optimizer = make_optimizer(run.model, recipe.learning_rates, recipe.weight_decay, recipe.beta2)
        # What was saved at the end of a stage is the optimiser of that stage; the next begins with a new one.
        if run.optimizer_state is not None and run.progress.step:
            self.optimizer.load_state_dict(dict(run.optimizer_state))
        run.optimizer_state = None
        self.parameters = [p for group in self.optimizer.param_groups for p in group['params']]
        self.learner = run.processes.share(run.learner)
        source = open_sources(recipe.data)
        self.batches = run.training_batches(recipe, source)
        per_step = recipe.batch * recipe.accumulate * run.processes.count
        self.steps = recipe.steps or math.ceil(recipe.epochs * len(source) / per_step)
        self.meter = Meter(recipe.batch * run.processes.count)

    def share(self) -> float:
        """Return how much of the stage is over, 0 to 1; the learning rate follows it."""
        if self.recipe.minutes:
            return self.owner.processes.agree(self.progress.elapsed_s / (60.0 * self.recipe.minutes))
        return self.progress.step / self.steps

    def run(self) -> bool:
        """Train to the end of the stage; returns whether training was stopped before it."""
        run, progress, clock = self.owner, self.progress, time.monotonic()
        next_validation, next_save = run.recipe.validation.minutes, run.recipe.checkpoint_minutes
        validated_s = saved_s = progress.elapsed_s
        stopped = False
        while not stopped and (share := self.share()) < 1.0:
            self._step(share)
            now = time.monotonic()
            progress.elapsed_s, clock = progress.elapsed_s + now - clock, now
            if progress.step % run.recipe.log_steps == 0:
                self._report()
            if self._is_due(validated_s, next_validation, run.recipe.validation.steps):
                run.validate()
                validated_s = progress.elapsed_s
            if self._is_due(saved_s, next_save, 0):
                self._save()
                saved_s = progress.elapsed_s
            stopped = bool(run.processes.agree(float(run.should_stop())))
        if not stopped:
            run.validate()
            self._finish()
        self._save()
        return stopped

    def _is_due(self, since_s: float, minutes: float, steps: int) -> bool:
        if steps:
            return self.progress.step % steps == 0
        return minutes > 0 and self.progress.elapsed_s - since_s >= 60.0 * minutes

    def _step(self, share: float) -> None:
        """One step of the optimiser."""
        set_rates(self.optimizer, rate_factor(share, self.recipe.warmup))
        for number in range(self.recipe.accumulate):
            batch = next(self.batches)
            last = number + 1 == self.recipe.accumulate
            with self.owner.processes.without_sync(self.learner, last=last):
                with self.owner.autocast():
                    outcome = self.learner(batch)
                (outcome.loss / self.recipe.accumulate).backward()
            self.meter.add(outcome.loss.detach(), outcome.correct)
            self.progress.batches += 1
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.progress.total_steps += 1

    def _report(self) -> None:
        line = self.owner.place() | self.meter.read() | {'lr': self._largest_rate()}
        if not math.isfinite(line['loss']):
            raise ModelError(f'the loss is {line["loss"]}: lower the learning rates, or train in float32')
        if self.owner.is_first:
            self.owner.folder.append(line)
        self.owner.say(progress_line(line, self.share()))

    def _largest_rate(self) -> float:
        return max(group['lr'] for group in self.optimizer.param_groups)

    def _finish(self) -> None:
        """Point to the beginning of the next stage."""
        progress = self.progress
        progress.stage += 1
        progress.step = progress.batches = 0
        progress.elapsed_s = 0.0

    def _save(self) -> None:
        if self.owner.is_first:
            self.owner.folder.save_last(self.owner.model, self.optimizer, self.progress)
        self.owner.processes.wait()


def _silent(line: str) -> None:
    """Say nothing."""
