"""What every benchmark in this folder does: common options, a table, one line of JSON for the machine.

Run a benchmark as a script, from any directory: ``python benchmarks/object_tokens.py --help``. Measuring
itself is in :mod:`pixelrefer_core.measuring`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.cli.rows import print_rows
from pixelrefer_core.errors import ModelError
from pixelrefer_core.measuring import append_result, circumstances, peak_memory_mb
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


def load(options: argparse.Namespace) -> PixelRefer:
    """Load random weights, or end with the reason when the device is not there."""
    try:
        return load_model(
            f'random-{options.config}', device=options.device, dtype=options.dtype, threads=options.threads
        )
    except ModelError as error:
        print(f'skipped: {error}')
        sys.exit(0)


def report(
    name: str,
    options: argparse.Namespace,
    model: PixelRefer,
    rows: Sequence[Mapping[str, Any]],
    quality: Mapping[str, Any],
) -> None:
    """Print a table of ``rows`` and, with ``--save``, keep them with all that belongs to a figure."""
    device = torch.device(model.info.device)
    result = {
        'benchmark': name,
        **circumstances(device),
        'settings': {
            'model': model.info.name,
            'device': model.info.device,
            'dtype': model.info.dtype,
            'repeats': options.repeats,
            'warmup': options.warmup,
        },
        'rows': list(rows),
        **peak_memory_mb(device),
        'quality': dict(quality),
    }
    print(
        f'{name}: {model.info.name} ({model.info.dtype}) on {result["machine"]}, {result["threads"]} threads, '
        f'load {result["load_average"]}, commit {result["commit"]}\n'
    )
    print_rows(rows)
    print('\n' + ', '.join(f'{key} {value}' for key, value in quality.items()))
    if options.save:
        print(f'appended to {append_result(RESULTS, result)}')
