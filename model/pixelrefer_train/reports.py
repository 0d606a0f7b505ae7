"""Lines for the person who watches a training run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from .validation import Validation


class Meter:
    """Means since the last reading."""

    def __init__(self, samples_per_pass: int) -> None:
        self._per_pass = samples_per_pass
        self._restart()

    def _restart(self) -> None:
        self._losses: list[torch.Tensor] = []
        self._correct: list[torch.Tensor] = []
        self._started_s = time.monotonic()

    def add(self, loss: torch.Tensor, correct: torch.Tensor) -> None:
        """Count one pass; nothing is fetched from the device yet."""
        self._losses.append(loss)
        self._correct.append(correct)

    def read(self) -> dict[str, float]:
        """Return mean loss, share of exact answers and samples per second, and start anew."""
        seconds = time.monotonic() - self._started_s
        values = {
            'loss': round(float(torch.stack(self._losses).mean()), 5),
            'exact': round(float(torch.cat(self._correct).float().mean()), 4),
            'samples_per_s': round(len(self._losses) * self._per_pass / seconds, 2),
        }
        self._restart()
        return values


def progress_line(line: Mapping[str, Any], share: float) -> str:
    """Return one line about a report of the metrics; ``share`` of the stage is over."""
    left_s = line['elapsed_s'] / share * (1.0 - share) if share else 0.0
    return (
        f'{line["stage"]} step {line["step"]} ({min(share, 1.0):.0%})  loss {line["loss"]:.4f}  '
        f'exact {line["exact"]:.3f}  {line["samples_per_s"]:.1f} samples/s  '
        f'lr {line["lr"]:.1e}  {_duration(left_s)} left'
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}'


def validation_lines(result: Validation) -> Iterator[str]:
    """Yield a table of the scores by kind."""
    yield f'validation  loss {result.loss:.4f}  score {result.score:.4f}'
    for kind, score in result.kinds.items():
        yield f'  {kind or "-":24} {score.accuracy:.3f}  (majority {score.majority:.3f}, n {score.count})'
