"""How long does it take to start, and does a model ever take more memory than its weights?

Saves random weights in the official layout, then loads them in a process of their own, which is what a node or
a command does when it starts.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

START = time.perf_counter()

import harness  # noqa: E402 -- imports are part of what is measured
import torch  # noqa: E402
from torch import nn  # noqa: E402

from pixelrefer_core.checkpoint import load_model, save_pretrained  # noqa: E402

READ = '--read'


def read(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Load a model and read its weights once. Returns seconds, MB of memory, and a sum over the weights.

    Seconds of the processor stand beside those of the clock: they say more on a machine that does other things.
    """
    imported, imported_cpu, before = time.perf_counter(), time.process_time(), _memory_mb()
    model = load_model(str(folder), device=options.device, dtype=options.dtype, threads=options.threads)
    loaded, loaded_cpu = time.perf_counter(), time.process_time()
    peak = _memory_mb()['VmHWM']
    total = sum_of_weights(model)  # reads them all: mapped files take memory only when they are read
    after = _memory_mb()
    return {
        'import s': round(imported - START, 2),
        'cpu': round(imported_cpu, 2),
        'load s': round(loaded - imported, 2),
        'load cpu': round(loaded_cpu - imported_cpu, 2),
        'own MB': round(after['RssAnon'] - before['RssAnon']),
        'mapped MB': round(after['RssFile'] - before['RssFile']),
        'libraries MB': round(before['VmRSS']),
        'peak MB': round(peak),
        'sum': total,
    }


def sum_of_weights(model: nn.Module) -> float:
    """Return the sum of the weights' magnitudes: were all of them loaded, and rightly?"""
    plain = (weight.detach() for weight in model.parameters())
    plain = (weight.to_dense() if weight.is_mkldnn else weight for weight in plain)
    return sum(float(weight.abs().sum(dtype=torch.float64)) for weight in plain)


def _memory_mb() -> dict[str, float]:
    status = Path('/proc/self/status').read_text()
    return {name: int(kb) * 1024 / 1e6 for name, kb in re.findall(r'(\w+):\s+(\d+) kB', status)}


def measure(options: argparse.Namespace, folder: Path, dtype: str) -> list[dict[str, Any]]:
    """Load ``folder`` as often as asked, each time in a new process."""
    given = {READ: folder, '--device': options.device, '--dtype': dtype, '--threads': options.threads}
    command = [sys.executable, __file__, *(str(word) for pair in given.items() for word in pair)]
    runs = []
    for _ in range(options.warmup + options.repeats):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return runs[options.warmup :]


def compare(options: argparse.Namespace) -> None:
    """Save, load as saved and as float32, report."""
    run = harness.start('loading', options)
    expected = sum_of_weights(run.model)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        save_pretrained(run.model, Path(name))
        weights_mb = (Path(name) / 'model.safetensors').stat().st_size / 1e6
        rows = [
            {'loaded as': dtype, 'weights MB': round(weights_mb), **row}
            for dtype in dict.fromkeys((run.model.info.dtype, 'float32'))
            for row in measure(options, Path(name), dtype)
        ]
    worst = max(abs(row.pop('sum') / expected - 1.0) for row in rows)
    run.report(rows, {'sum_of_weights_relative_difference': worst})


def main() -> None:
    """Compare, or be one of the processes that load."""
    parser = harness.parser(__doc__)
    parser.add_argument('--folder', type=Path, help='where there is room for the weights')
    parser.add_argument(READ, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        print(json.dumps(read(options.read, options)))
    else:
        compare(options)


if __name__ == '__main__':
    main()
