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
    verb, options = _parse(list(sys.argv[1:] if arguments is None else arguments))
    try:
        result = _module(verb).run(options)
    except (PixelReferError, SettingError, OSError) as error:
        print(f'pixelrefer {verb}: {error}', file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(result))
    return 0 if result.get('passed', True) else 1


def _parse(arguments: list[str]) -> tuple[str, argparse.Namespace]:
    """Return the verb and its options; ends the process for --help and for options that do not exist."""
    parser = argparse.ArgumentParser(
        prog='pixelrefer', description='Object-level perception: track, ask, measure.'
    )
    commands = parser.add_subparsers(required=True, metavar='VERB')
    for name, text in VERBS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + '.')
        command.add_argument('--json', action='store_true', help='print one JSON object as the last line')
    parser.parse_args(arguments[:1])  # ends, with help or what is wrong, unless this is a verb
    verb = arguments[0]
    chosen = commands.choices[verb]
    _module(verb).add_arguments(chosen)
    # Options may stand between the clip and the question, which parse_args understands from Python 3.12 on.
    return verb, chosen.parse_intermixed_args(arguments[1:])


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f'.{verb}', __package__)


if __name__ == '__main__':
    sys.exit(main())
