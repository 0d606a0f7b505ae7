"""``pixelrefer train``: run a recipe, from scratch or on from its newest checkpoint."""

from __future__ import annotations

import argparse
import signal
from contextlib import suppress
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from threading import Event
from typing import Any

from ..errors import InvalidRequestError

_RECIPES = files('pixelrefer_train') / 'recipes'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        'recipe', help='a YAML file, or the name of one that ships: nano_lite, finetune_official'
    )
    parser.add_argument(
        '--output', metavar='DIR', help="where the run is kept, instead of the recipe's place"
    )
    parser.add_argument('--resume', action='store_true', help='go on after the newest checkpoint')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train; an interrupt or a request to terminate saves everything first."""
    from pixelrefer_train.recipe import load_recipe
    from pixelrefer_train.trainer import train

    recipe = load_recipe(_find(args.recipe))
    if args.output:
        recipe = replace(recipe, output=args.output)
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(ValueError):  # not in the main thread, which alone may listen
            signal.signal(number, lambda *_: stop.set())
    return dict(train(recipe, resume=args.resume, say=_say, should_stop=stop.is_set))


def _find(name: str) -> Path:
    file = Path(name).expanduser()
    if file.is_file():
        return file
    shipped = Path(str(_RECIPES)) / f'{name}.yaml'
    if shipped.is_file():
        return shipped
    raise InvalidRequestError(f'there is no recipe {name}')


def _say(line: str) -> None:
    print(line, flush=True)
