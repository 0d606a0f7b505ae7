"""What a training run leaves behind.

``last/``: the newest checkpoint, with ``training_state.pt`` to resume from. ``best/``: the one that validated
best. ``metrics.jsonl``: a line per report. ``curves.png``: the same as a picture. ``recipe.json``: what was run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pixelrefer_core.checkpoint import save_pretrained
from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.pixelrefer import PixelRefer

from .recipe import Recipe

_STATE = 'training_state.pt'


@dataclass
class Progress:
    """How far training has come.

    ``step``, ``batches``, ``elapsed_s``: of the running stage. ``total_steps``: of all stages. ``best``: the
    highest score so far, -1 before the first.
    """

    stage: int = 0
    step: int = 0
    batches: int = 0
    elapsed_s: float = 0.0
    total_steps: int = 0
    best: float = -1.0


class RunFolder:
    """The files of one run."""

    def __init__(self, folder: Path, *, resume: bool) -> None:
        """Open the folder. Raises :class:`InvalidRequestError` for a run that is there already, or is not."""
        self.last, self.best = folder / 'last', folder / 'best'
        self.metrics, self.curves = folder / 'metrics.jsonl', folder / 'curves.png'
        self._recipe, self._old = folder / 'recipe.json', folder / 'last.old'
        if resume and self._old.is_dir() and not self.last.is_dir():
            self._old.rename(self.last)  # the last save was interrupted between its two renames
        if resume and not (self.last / _STATE).is_file():
            raise InvalidRequestError(f'{folder} holds no run to resume: {self.last / _STATE} is missing')
        if not resume and self.metrics.exists():
            raise InvalidRequestError(f'{folder} holds a run already: resume it, or choose another output')
        folder.mkdir(parents=True, exist_ok=True)

    def write_recipe(self, recipe: Recipe) -> None:
        """Keep what is run."""
        self._recipe.write_text(json.dumps(asdict(recipe), indent=2) + '\n', encoding='utf-8')

    def save_last(self, model: PixelRefer, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Replace ``last``; at any moment one complete checkpoint is there."""

        def write(folder: Path) -> None:
            save_pretrained(model, folder)
            state = {'optimizer': optimizer.state_dict(), 'progress': asdict(progress)}
            torch.save(state | {'random': torch.get_rng_state()}, folder / _STATE)

        _replace(self.last, self._old, write)

    def save_best(self, model: PixelRefer) -> None:
        """Replace ``best``."""
        _replace(self.best, self.best.with_name('best.old'), lambda folder: save_pretrained(model, folder))

    def load_state(self) -> tuple[Progress, Mapping[str, Any]]:
        """Return the progress and the optimiser's state that belong to ``last``; set the random state."""
        state = torch.load(self.last / _STATE, map_location='cpu', weights_only=True)
        torch.set_rng_state(state['random'])
        return Progress(**state['progress']), state['optimizer']

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line to the metrics."""
        with self.metrics.open('a', encoding='utf-8') as file:
            file.write(json.dumps(line) + '\n')

    def forget_after(self, total_steps: int) -> None:
        """Drop the lines of steps that a resumed run takes again."""
        kept = [line for line in self.read() if line['total_steps'] <= total_steps]
        self.metrics.write_text(''.join(json.dumps(line) + '\n' for line in kept), encoding='utf-8')

    def read(self) -> list[dict[str, Any]]:
        """Return the lines of the metrics."""
        if not self.metrics.exists():
            return []
        return [json.loads(line) for line in self.metrics.read_text(encoding='utf-8').splitlines()]


def _replace(folder: Path, old: Path, write: Callable[[Path], None]) -> None:
    partial = folder.with_name(folder.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    write(partial)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
