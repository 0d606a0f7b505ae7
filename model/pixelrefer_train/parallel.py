"""One process or several: what differs is here, so that the trainer need not ask.

Several processes are started by ``accelerate launch`` (or ``torchrun``), one for each GPU.
"""

from __future__ import annotations

import contextlib
import os
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from pixelrefer_core.device import choose_device
from pixelrefer_core.errors import UnsupportedError


class Processes:
    """The processes of a run, seen from one of them. ``rank`` 0 is the one that writes files."""

    def __init__(self, device: str) -> None:
        """Join the others. Raises :class:`UnsupportedError` when there are others but no accelerate."""
        self._accelerator: Any = None
        if int(os.environ.get('WORLD_SIZE', '1')) > 1:
            self._accelerator = _accelerator(cpu=device == 'cpu')
        self.rank = self._accelerator.process_index if self._accelerator else 0
        self.count = self._accelerator.num_processes if self._accelerator else 1
        self.device = self._accelerator.device if self._accelerator else choose_device(device)

    def share(self, learner: nn.Module) -> nn.Module:
        """Return the module whose gradients are averaged over all processes."""
        return self._accelerator.prepare_model(learner) if self._accelerator else learner

    def without_sync(self, learner: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Return the context of one pass of several; gradients are averaged in the ``last`` alone."""
        if self._accelerator is None or last:
            return contextlib.nullcontext()
        context: AbstractContextManager[Any] = self._accelerator.no_sync(learner)
        return context

    def agree(self, value: float) -> float:
        """Return the value that rank 0 has, so that all stop at the same step."""
        if self._accelerator is None:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(told, src=0)
        return float(told)

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()


def _accelerator(*, cpu: bool) -> Any:
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise UnsupportedError(
            'training in several processes needs accelerate: pip install "pixelrefer-core[train]"'
        ) from error
    # A batch without objects leaves weights unused.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(cpu=cpu, kwargs_handlers=[unused])
