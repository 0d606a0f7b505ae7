"""Where a model runs, in which precision, and what happens when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from transformers.utils import is_flash_attn_2_available

from .errors import DeviceOutOfMemoryError, ModelError


def choose_device(name: str) -> torch.device:
    """Return a device by name; ``auto`` is the first GPU, else the CPU. Raises :class:`ModelError`."""
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f'{name!r} is no device; use auto, cpu, cuda or cuda:N') from error
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f'{name} is not there: torch sees {torch.cuda.device_count()} GPUs; use cpu or auto')
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return a precision by name; ``auto`` is the best that ``device`` computes in at full speed.

    Raises :class:`ModelError` for an unknown name.
    """
    if name == 'auto':
        if device.type != 'cuda':
            return torch.float32
        # Emulated bfloat16 is slower than float16.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    known = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
    if name not in known:
        raise ModelError(f'dtype must be auto, {", ".join(known)}, got {name!r}')
    return known[name]


def choose_attention(device: torch.device, dtype: torch.dtype) -> str:
    """Return flash-attention where it is installed and computes this precision, else torch's own attention."""
    half = dtype in (torch.float16, torch.bfloat16)
    return 'flash_attention_2' if device.type == 'cuda' and half and is_flash_attn_2_available() else 'sdpa'


@contextmanager
def memory_guard(give_up: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Turn running out of device memory into :class:`DeviceOutOfMemoryError`, and give the memory back.

    ``give_up`` drops what can be computed again.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        give_up()
        torch.cuda.empty_cache()
        raise DeviceOutOfMemoryError(
            'the device ran out of memory: track fewer objects, shorten the window or choose a smaller model'
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    """On a CPU torch has no type of its own for it, only the name of its allocator in the text."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or 'DefaultCPUAllocator' in str(error)
