"""What every benchmark in this folder does: common options, a table, one line of JSON for the machine.

Run a benchmark as a script, from any directory: ``python benchmarks/object_tokens.py --help``. Measuring
itself is in :mod:`pixelrefer_core.measuring`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.cli.rows import print_rows
from pixelrefer_core.errors import ModelError
from pixelrefer_core.measuring import append_result, circumstances, load_average, peak_memory_mb
from pixelrefer_core.model_config import PRESETS
from pixelrefer_core.pixelrefer import PixelRefer

RESULTS = Path(__file__).parent / 'results'


def parser(question: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have; ``question``: what this one answers."""
    options = argparse.ArgumentParser(description=question)
    options.add_argument(
        '--config', choices=PRESETS, default='nano', help='size and variant of random weights'
    )
    options.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    options.add_argument('--dtype', default='auto', help='auto, float32, bfloat16 or float16')
    options.add_argument('--threads', type=int, default=0, help='CPU threads; 0 = leave as they are')
    options.add_argument('--repeats', type=int, default=5, help='runs that count')
    options.add_argument('--warmup', type=int, default=1, help='runs before them that do not')
    options.add_argument(
        '--save', action='store_true', help=f'append the result to {RESULTS.name}/MACHINE.jsonl'
    )
    return options


@dataclass(frozen=True)
class Run:
    """A benchmark under way: its options, a model with random weights, and what it runs on."""

    name: str
    options: argparse.Namespace
    model: PixelRefer
    circumstances: Mapping[str, Any]

    def report(self, rows: Sequence[Mapping[str, Any]], quality: Mapping[str, Any]) -> None:
        """Print a table of ``rows`` and, with ``--save``, keep them with all that belongs to a figure."""
        info = self.model.info
        result = {
            'benchmark': self.name,
            **self.circumstances,
            'load_average': load_average(),
            'settings': {
                'model': info.name,
                'device': info.device,
                'dtype': info.dtype,
                'repeats': self.options.repeats,
                'warmup': self.options.warmup,
            },
            'rows': list(rows),
            **peak_memory_mb(self.model.device),
            'quality': dict(quality),
        }
        print(
            f'{self.name}: {info.name} ({info.dtype}) on {result["machine"]}, {result["threads"]} threads, '
            f'load {result["load_average"]}, commit {result["commit"]}\n'
        )
        print_rows(rows)
        print('\n' + ', '.join(f'{key} {value}' for key, value in quality.items()))
        if self.options.save:
            print(f'appended to {append_result(RESULTS, result)}')


def start(name: str, options: argparse.Namespace) -> Run:
    """Load random weights, or end with the reason when the device is not there."""
    try:
        model = load_model(
            f'random-{options.config}', device=options.device, dtype=options.dtype, threads=options.threads
        )
    except ModelError as error:
        print(f'skipped: {error}')
        sys.exit(0)
    return Run(name, options, model, circumstances(model.device))
