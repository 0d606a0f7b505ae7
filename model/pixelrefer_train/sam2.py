"""Trains a small SAM 2: ``python -m pixelrefer_train.sam2 RECIPE.yaml [--resume]``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pixelrefer_core.errors import PixelReferError

from .sam2_recipe import load_sam2_recipe
from .sam2_trainer import train_sam2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a recipe; returns the exit status."""
    parser = argparse.ArgumentParser(prog='python -m pixelrefer_train.sam2', description=__doc__)
    parser.add_argument('recipe', type=Path, help='a YAML file; see recipes/sam2_nano.yaml')
    parser.add_argument('--resume', action='store_true', help='go on with the run in the output folder')
    options = parser.parse_args(arguments)
    try:
        progress = train_sam2(load_sam2_recipe(options.recipe), resume=options.resume, say=_say)
    except (PixelReferError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    _say(f'done: {progress.total_steps} steps, best score {progress.best:.3f}')
    return 0


def _say(line: str) -> None:
    print(time.strftime('%H:%M:%S'), line, flush=True)


if __name__ == '__main__':
    sys.exit(main())
