"""Does the node live through what happens to robots, say what is wrong, and come back?

Real processes: the node, a camera, clients, killed and broken in turn; then a crowd of clients and a soak. Source
scripts/env.sh before, and run the folder: ``python benchmarks/reliability --minutes 0.5 --soak-minutes 1``. No other
node may run in the same ROS domain.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from camera_faults import camera_dies_and_returns, encoding_changes, size_changes, stamps_go_back
from crowd import endure, long_clip
from cycles import add_and_remove, live_and_die
from process_faults import (
    client_vanishes,
    everybody_calls_at_once,
    memory_is_full,
    node_is_killed,
    weights_are_cut,
    weights_are_missing,
)
from stage import HangError, Stage

from pixelrefer_core.cli.rows import print_rows
from pixelrefer_core.errors import PixelReferError
from pixelrefer_core.measuring import append_result, circumstances, load_average

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = ROOT / 'benchmarks' / 'results'
CLIP, OTHER_CLIP = (str(ROOT / 'config' / name) for name in ('demo_tabletop', 'demo_clip'))
WEIGHTS = ROOT / 'model' / 'weights' / 'nano' / 'pixelrefer_lite_nano'
Fault = Callable[[Stage], str]


def faults(options: argparse.Namespace, switch: Path) -> dict[str, Fault]:
    """Every fault by its name; each is made and undone, and returns what was said of it."""
    return {
        'camera dies and returns': camera_dies_and_returns,
        'stamps go backwards': stamps_go_back,
        'frame size changes': partial(size_changes, other=OTHER_CLIP),
        'encoding changes': encoding_changes,
        'client vanishes mid-answer': client_vanishes,
        'node is killed and restarted': node_is_killed,
        'model file is truncated': partial(weights_are_cut, weights=WEIGHTS),
        'weights folder is missing': partial(weights_are_missing, weights=options.model),
        '500 calls at once': everybody_calls_at_once,
        'add and remove': partial(add_and_remove, cycles=options.cycles),
        'life cycle in random order': partial(live_and_die, rounds=options.rounds, seed=options.seed),
        'out of memory': partial(memory_is_full, switch=switch, program=HERE / 'starved_node.py'),
    }


def suffer(stage: Stage, name: str, fault: Fault) -> dict[str, Any]:
    """Make a fault; tell whether the node lived, what was said, and how long it took until it answered again."""
    row: dict[str, Any] = {'fault': name, 'survived': 'yes'}
    begun_s = time.monotonic()
    try:
        stage.ready()
        # Kept with the results: the folder is of one machine and one run.
        row['said'] = fault(stage).replace(f'{stage.folder}/', '')
        undone_s = time.monotonic()
        stage.ready()
        stage.answered()
        row['recovered s'] = round(time.monotonic() - undone_s, 1)
    except HangError as error:
        row |= {'survived': 'hang', 'said': str(error)}
    except (AssertionError, PixelReferError) as error:
        row |= {'survived': 'no', 'said': f'{type(error).__name__}: {error}'}
    if not stage.is_alive('pixelrefer_node'):
        row['survived'] = 'crash'
    if row['survived'] != 'yes':
        stage.start_again()
    row['took s'] = round(time.monotonic() - begun_s, 1)
    print(row, flush=True)
    return row


def measure(stage: Stage, options: argparse.Namespace, switch: Path) -> dict[str, Any]:
    """Everything, in turns."""
    rows = []
    if not options.only_soak:
        rows = [suffer(stage, name, fault) for name, fault in faults(options, switch).items()]
    outcome: dict[str, Any] = {'rows': rows}
    for name, minutes, clients, pause_s in (
        ('crowd', options.minutes, options.clients, 0.0),
        ('soak', options.soak_minutes, 1, 5.0),
    ):
        if minutes:
            frames = round(60 * minutes * options.rate)
            clip = long_clip(stage.folder / name, CLIP, size=(1280, 720), frames=frames)
            outcome[name] = endure(
                stage, clip, frames=frames, rate_hz=options.rate, clients=clients, pause_s=pause_s
            )
            print(name, outcome[name], flush=True)
    return outcome


def report(outcome: dict[str, Any]) -> dict[str, int]:
    """Print the tables; return the counts."""
    rows = outcome['rows']
    if rows:
        print_rows(
            [{key: row.get(key, '') for key in ('fault', 'survived', 'recovered s', 'said')} for row in rows]
        )
    for name in ('crowd', 'soak'):
        if name in outcome:
            print(f'\n{name}')
            print_rows(outcome[name]['latencies'])
            print(', '.join(f'{key} {value}' for key, value in outcome[name].items() if key != 'latencies'))
    words = [row['survived'] for row in rows]
    return {
        'faults': len(rows),
        'survived': words.count('yes'),
        'crashes': words.count('crash'),
        'hangs': words.count('hang'),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite; the status is 0 when every fault was survived."""
    parser = argparse.ArgumentParser(prog='reliability', description=__doc__.partition('\n')[0])
    parser.add_argument('--minutes', type=float, default=5.0, help='of the crowd; 0 = leave it out')
    parser.add_argument('--soak-minutes', type=float, default=20.0, help='of the soak; 0 = leave it out')
    parser.add_argument('--clients', type=int, default=8, help='that ask at once')
    parser.add_argument(
        '--rate', type=float, default=30.0, help='images of 1280 x 720 per second; fewer on a busy machine'
    )
    parser.add_argument('--cycles', type=int, default=1000, help='of adding and removing')
    parser.add_argument('--rounds', type=int, default=50, help='of the life cycle')
    parser.add_argument('--seed', type=int, default=0, help='of the order of transitions')
    parser.add_argument('--model', default='nano', help='model.path of the node')
    parser.add_argument('--tracker', default='flow', help='tracker.backend of the node')
    parser.add_argument('--only-soak', action='store_true', help='no faults, only crowd and soak')
    parser.add_argument('--save', action='store_true', help='append the result to results/MACHINE.jsonl')
    options = parser.parse_args(arguments)
    os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
    with tempfile.TemporaryDirectory() as name:
        outcome = run(Path(name), options)
    counts = report(outcome)
    print('\n' + ', '.join(f'{key} {value}' for key, value in counts.items()) + f', load {load_average()}')
    if options.save:
        print(f'appended to {append_result(RESULTS, outcome | {"quality": counts})}')
    return int(counts['survived'] < counts['faults'])


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Start everybody, measure, end everybody."""
    switch = folder / 'starved'
    os.environ['PIXELREFER_STARVED'] = str(switch)
    begun = circumstances(torch.device('cpu'))
    node = {
        'model.path': options.model,
        'model.device': 'cpu',
        'model.threads': 1,
        'tracker.backend': options.tracker,
        'publish.status_rate_hz': 5.0,
    }
    stage = Stage(folder, node=node, camera={'source': CLIP, 'folder_rate_hz': 10.0})
    try:
        stage.start_node()
        stage.start_camera()
        try:
            stage.ready()
        except HangError as error:
            sys.exit(f'{error}\n{stage.log_since(0)}{stage.log_since(0, "camera_node")}')
        outcome = measure(stage, options, switch)
    finally:
        stage.close()
    return {
        'benchmark': 'reliability',
        **begun,
        'load_average': load_average(),
        'settings': {
            name: getattr(options, name)
            for name in ('model', 'tracker', 'clients', 'rate', 'minutes', 'soak_minutes')
        },
        **outcome,
    }


if __name__ == '__main__':
    sys.exit(main())
