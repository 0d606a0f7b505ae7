"""Measuring speed: warm-up, repeats, a synchronised device, and on which machine it was.

A figure of speed belongs to a machine, a commit and settings, so a result always carries them.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

_PROBE_BYTES = 1 << 30
_PROBE_ROUNDS = 5


@dataclass(frozen=True)
class Durations:
    """Seconds that repeated runs of one thing took, by the clock and of this process's share of the processor.

    On a machine that does other things the second say more; what a GPU does is in the first alone.
    """

    seconds: tuple[float, ...]
    processor: tuple[float, ...] = ()

    @property
    def p50(self) -> float:
        """Median, seconds."""
        return float(np.quantile(self.seconds, 0.5))

    @property
    def p95(self) -> float:
        """95th percentile, seconds; near the slowest run when there are few."""
        return float(np.quantile(self.seconds, 0.95))

    def milliseconds(self) -> dict[str, float]:
        """Return both percentiles in ms."""
        return {'p50': round(self.p50 * 1e3, 3), 'p95': round(self.p95 * 1e3, 3)}


def measure(
    function: Callable[[], object], device: torch.device, *, repeats: int, warmup: int = 1
) -> Durations:
    """Time ``function`` after ``warmup`` runs that do not count; each run ends when the device is done."""
    return measure_in_turns({'': function}, device, repeats=repeats, warmup=warmup)['']


def measure_in_turns(
    functions: Mapping[str, Callable[[], object]], device: torch.device, *, repeats: int, warmup: int = 1
) -> dict[str, Durations]:
    """Time several functions one after the other, over and over: what else the machine does hits all alike."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for _ in range(warmup + repeats):
        for name, function in functions.items():
            synchronize(device)
            start, start_cpu = time.perf_counter(), time.process_time()
            function()
            synchronize(device)
            taken[name].append((time.perf_counter() - start, time.process_time() - start_cpu))
    return {name: Durations(*zip(*values[warmup:], strict=True)) for name, values in taken.items()}


def synchronize(device: torch.device) -> None:
    """Wait until the device has nothing left to do."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


@dataclass
class PartClock:
    """Times the forward passes of named parts of a model while :meth:`running`."""

    device: torch.device
    seconds: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def running(self, parts: Mapping[str, nn.Module]) -> Iterator[None]:
        """Clock ``parts``; the device is synchronised around each, so wholes are timed without this."""
        hooks = [hook for name, part in parts.items() for hook in self._attach(name, part)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _attach(self, name: str, part: nn.Module) -> list[torch.utils.hooks.RemovableHandle]:
        runs = self.seconds.setdefault(name, [])

        def begin(*_: object) -> None:
            synchronize(self.device)
            runs.append(-time.perf_counter())

        def end(*_: object) -> None:
            synchronize(self.device)
            runs[-1] += time.perf_counter()

        return [part.register_forward_pre_hook(begin), part.register_forward_hook(end)]


def peak_memory_mb(device: torch.device) -> dict[str, float]:
    """Return the most memory that this process has held so far, host and GPU, in 10^6 bytes."""
    unit = 1 if platform.system() == 'Darwin' else 1024
    peak = {'peak_rss_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6}
    if device.type == 'cuda':
        peak['peak_gpu_mb'] = torch.cuda.max_memory_allocated(device) / 1e6
    return {name: round(value, 1) for name, value in peak.items()}


def memory_bandwidth(device: torch.device) -> float:
    """Return how fast this machine moves memory, bytes/s: the best of summing and of copying 1 GiB.

    Summing reads every byte once; a copy reads and writes it, which counts twice.
    """
    source = torch.zeros(_PROBE_BYTES // 4, device=device)
    target = torch.empty_like(source)
    read = measure(source.sum, device, repeats=_PROBE_ROUNDS)
    copied = measure(lambda: target.copy_(source), device, repeats=_PROBE_ROUNDS)
    return max(_PROBE_BYTES / min(read.seconds), 2 * _PROBE_BYTES / min(copied.seconds))


# --- where and with what ---


def machine(device: torch.device) -> str:
    """Return a name for the kind of machine, fit for a file: its GPU, or its processor and cores."""
    if device.type == 'cuda':
        name = torch.cuda.get_device_name(device)
    else:
        name = f'{_processor()} {os.cpu_count()} cores'
    return re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')


def _processor() -> str:
    cpuinfo = Path('/proc/cpuinfo')
    found = re.search(r'model name\s*:\s*(.+)', cpuinfo.read_text()) if cpuinfo.is_file() else None
    return found[1] if found else platform.machine()


def commit() -> str:
    """Return the commit of this package, ``-dirty`` when its files differ from it; ``unknown`` outside git."""
    try:
        name = _git('rev-parse', '--short=12', 'HEAD')
        changes = _git('status', '--porcelain', '--untracked-files=no', '.')
    except (OSError, subprocess.SubprocessError):
        return 'unknown'
    return f'{name}-dirty' if changes else name


def _git(*words: str) -> str:
    command = ['git', '-C', str(Path(__file__).resolve().parent), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


def circumstances(device: torch.device) -> dict[str, Any]:
    """Return what a reader must know to compare a figure with another: machine, commit, versions, threads.

    Ask before measuring: the files of a commit may be edited while what was read from them runs.
    """
    return {
        'machine': machine(device),
        'commit': commit(),
        'time': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
        'python': platform.python_version(),
        'torch': torch.__version__,
        'transformers': transformers.__version__,
        'threads': torch.get_num_threads(),
    }


def load_average() -> float:
    """Return how many processes wanted the processor over the last minute; ask right after measuring."""
    return round(os.getloadavg()[0], 1)


def append_result(folder: Path, result: Mapping[str, Any]) -> Path:
    """Append one JSON line to the file of the result's machine; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f'{result["machine"]}.jsonl'
    with file.open('a', encoding='utf-8') as stream:
        stream.write(json.dumps(result) + '\n')
    return file
