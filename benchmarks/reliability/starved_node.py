"""pixelrefer_node whose language model runs out of memory while a file lies there; all else is real."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch

from pixelrefer_core.generation import Decoder
from pixelrefer_ros.pixelrefer_node import main

SWITCH = Path(os.environ['PIXELREFER_STARVED'])
_generate = Decoder.generate_in_steps


def _starved(self: Decoder, *arguments: Any, **options: Any) -> Any:
    if SWITCH.exists():
        raise torch.OutOfMemoryError('injected')
    return (yield from _generate(self, *arguments, **options))


if __name__ == '__main__':
    Decoder.generate_in_steps = _starved
    sys.exit(main())
