"""Chooses between float32 and bfloat16 for training."""

from __future__ import annotations

import functools
import time

import torch

from pixelrefer_core.device import choose_dtype

_ROWS, _SIZE, _TRIALS = 1024, 256, 5


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the precision of matrix products by name; ``auto`` is bfloat16 where that is the faster.

    Processors say in many ways that they multiply bfloat16, and some do so slowly: on them it is measured.
    """
    if name != 'auto':
        return choose_dtype(name, device)
    if device.type == 'cuda':
        is_fast = choose_dtype(name, device) == torch.bfloat16
    else:
        is_fast = _seconds(torch.bfloat16) < _seconds(torch.float32)
    return torch.bfloat16 if is_fast else torch.float32


@functools.cache
def _seconds(dtype: torch.dtype) -> float:
    """Return how long a product of the size of a small model's takes on a processor, at best."""
    left, right = torch.ones(_ROWS, _SIZE, dtype=dtype), torch.ones(_SIZE, _SIZE, dtype=dtype)
    took = []
    for _ in range(_TRIALS):
        start = time.perf_counter()
        left @ right
        took.append(time.perf_counter() - start)
    return min(took)
