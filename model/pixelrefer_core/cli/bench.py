"""``pixelrefer bench``: how long a question takes here, and how much longer the official way of asking it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .rows import print_rows

SIZES = ('nano', '2b', '7b')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument('--checkpoint', metavar='DIR', help='model folder, or repository in the hub cache')
    weights.add_argument(
        '--random-weights', action='store_true', help='random weights of --config; so without --checkpoint'
    )
    parser.add_argument('--config', choices=SIZES, default='nano', help='size of random weights')
    parser.add_argument('--variant', choices=('lite', 'pixelrefer'), default='lite', help='of random weights')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    parser.add_argument('--dtype', default='auto', help='auto, float32, bfloat16 or float16')
    parser.add_argument('--threads', type=int, default=0, help='CPU threads; 0 = leave as they are')
    parser.add_argument('--frames', type=int, default=16, help='frames of the window')
    parser.add_argument('--objects', type=int, default=1, help='objects on every frame')
    parser.add_argument('--new-tokens', type=int, default=64, help='length of an answer')
    parser.add_argument('--repeats', type=int, default=5, help='runs that count')
    parser.add_argument('--warmup', type=int, default=1, help='runs before them that do not')
    parser.add_argument(
        '--no-reference',
        action='store_true',
        help='leave out the official way, hence also ratios and quality',
    )
    parser.add_argument('--results', type=Path, metavar='DIR', help='append the result to a file in here')


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Load, measure, print. Returns the result."""
    from ..benchmark import Benchmark, Scenario
    from ..checkpoint import load_model
    from ..errors import InvalidRequestError
    from ..measuring import append_result

    if (
        min(options.frames, options.objects, options.repeats) < 1
        or options.new_tokens < 2
        or options.warmup < 0
    ):
        raise InvalidRequestError(
            '--frames, --objects and --repeats must be positive, --new-tokens 2 or more'
        )
    prefix = 'random-' if options.variant == 'lite' else 'random-pixelrefer-'
    model = load_model(
        options.checkpoint or prefix + options.config,
        device=options.device,
        dtype=options.dtype,
        threads=options.threads,
    )
    scenario = Scenario(options.frames, options.objects, options.new_tokens, options.repeats, options.warmup)
    result = Benchmark(model, scenario).run(reference=not options.no_reference)
    _print(result)
    if options.results:
        print(f'appended to {append_result(options.results, result)}')
    return result


def _print(result: dict[str, Any]) -> None:
    settings = result['settings']
    print(
        f'{settings["model"]} ({settings["dtype"]}) on {result["machine"]}, {result["threads"]} threads, '
        f'load {result["load_average"]}, commit {result["commit"]}\n'
        f'{settings["objects"]} object(s) on {settings["frames"]} frame(s), {settings["new_tokens"]} new tokens, '
        f'{settings["repeats"]} repeats\n'
    )
    print_rows([{'stage': name, **times, '': 'ms'} for name, times in result['stages_ms'].items()])
    print(
        f'\n{result["tokens_per_s"]} tokens/s, {result["bandwidth_fraction"]:.0%} of what memory allows '
        f'({settings["bandwidth_gb_s"]} GB/s); peak {result["peak_rss_mb"]:.0f} MB'
    )
    if result['quality']:
        print('\nthe official way takes so many times longer:')
        print_rows([{'of': name, 'ratio': ratio} for name, ratio in result['ratios'].items()])
        print('\nboth ways agree:')
        print_rows([{'in': name, 'by': value} for name, value in result['quality'].items()])
