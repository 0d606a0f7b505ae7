"""Entry point of ``pixelrefer``: finds the verb, runs it, prints its table and, if asked, its JSON line."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from types import ModuleType

from ..errors import PixelReferError, SettingError

# verb -> what it does. Its module is imported only when it is used, so that --help is instant. Each has
# add_arguments(parser) and run(args) -> dict, which prints for people and returns the values for programs;
# a false 'passed' in them makes the exit status 1.
VERBS = {
    'ask': 'track objects of a clip and answer a question about them',
    'track': 'track objects of a clip and score the masks',
    'parity': 'compare a checkpoint with golden tensors of the official code',
    'flops': "count operations and memory, the paper's way and ours",
    'bench': 'measure stages of a question, beside the official way of asking it',
    'eval': 'score answers on the simulated tabletop and on public benchmarks',
    'train': 'train a model by a recipe, from scratch or on your own data',
    'fetch': 'bring a model into the local hub cache, over the network',
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit status: 0 done, 1 a check failed, 2 the input was wrong."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    verb = next((word for word in arguments if not word.startswith('-')), None)
    parser = argparse.ArgumentParser(
        prog='pixelrefer', description='Object-level perception: track, ask, measure.'
    )
    commands = parser.add_subparsers(dest='verb', required=True, metavar='VERB')
    for name, text in VERBS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + '.')
        command.add_argument('--json', action='store_true', help='print one JSON object as the last line')
        if name == verb:
            _module(name).add_arguments(command)
    options = parser.parse_args(arguments)
    try:
        result = _module(options.verb).run(options)
    except (PixelReferError, SettingError, OSError) as error:
        print(f'pixelrefer {options.verb}: {error}', file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(result))
    return 0 if result.get('passed', True) else 1


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f'.{verb}', __package__)


if __name__ == '__main__':
    sys.exit(main())
