"""Runs the demo without the ``launch`` package: the processes and the YAML of ``launch/demo.launch.py``."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

from pixelrefer_core.clip import open_clip
from pixelrefer_core.errors import InvalidImageError, UnsupportedError
from pixelrefer_core.settings_text import tracker_values
from pixelrefer_ros.building import CLIP_RECORD
from pixelrefer_ros.middleware import profile_environment
from pixelrefer_ros.node_process import NodeProcess, parameter_arguments
from pixelrefer_sim.demo_tabletop import render_scene

STOP_S = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Start camera, node and overlay, then the operator; its exit status is the demo's."""
    share = Path(get_package_share_directory('pixelrefer_ros'))
    parser = argparse.ArgumentParser(
        prog='scripts/demo', description='Track objects of a clip and ask about them.'
    )
    options = _parse(parser, share, arguments)
    operator = [sys.executable, '-m', 'pixelrefer_ros.demo_operator']
    operator += ['--clip', str(options.clip), '--output', str(options.output)]
    operator += ['--require', str(options.require)]
    operator += [part for box in options.box for part in ('--box', box)]
    operator += ['--words'] if options.words else []
    with contextlib.ExitStack() as running:
        logs = {
            name: running.enter_context(_process(name, extra, share, options.output))
            for name, extra in (
                ('camera_node', ['-p', f'source:={options.clip.resolve()}']),
                ('pixelrefer_node', _models(options)),
                ('overlay_node', []),
            )
        }
        status = subprocess.run(operator, check=False).returncode
    if status:
        for name, log in logs.items():
            print(f'--- {name}: {log}', *log.read_text().splitlines()[-8:], sep='\n', file=sys.stderr)
    return status


def _parse(
    parser: argparse.ArgumentParser, share: Path, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Read the options, render the scene that they ask for, and see that there is a clip."""
    what = parser.add_mutually_exclusive_group()
    shipped = share / 'config' / 'demo_tabletop'
    what.add_argument(
        '--clip', type=Path, default=shipped, help='folder, video or bag instead of the shipped scene'
    )
    what.add_argument('--seed', type=int, help='render another scene; needs MuJoCo and OpenGL')
    parser.add_argument('--output', type=Path, default=Path('demo_output'))
    parser.add_argument('--box', action='append', default=[], metavar='X,Y,W,H', help='an object; repeatable')
    parser.add_argument(
        '--require', type=int, default=0, metavar='N', help='fail with fewer right answers than this'
    )
    parser.add_argument(
        '--words',
        action='store_true',
        help='name the objects of a simulated scene instead of pointing at them',
    )
    parser.add_argument('--model', default='', help='another model, as model.path')
    parser.add_argument('--tracker', default='', metavar='flow|sam2:PATH', help='another tracker')
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        if options.seed is not None:
            print(f'rendering scene {options.seed} ...')
            options.clip = render_scene(options.seed, options.output / f'scene_{options.seed}')
        open_clip(options.clip)
    except (InvalidImageError, UnsupportedError) as error:
        parser.error(str(error))
    if options.words and (options.box or not (options.clip / CLIP_RECORD).is_file()):
        parser.error('--words names the objects of a simulated scene: leave out --box, and play such a scene')
    return options


def _models(options: argparse.Namespace) -> list[str]:
    values = tracker_values(options.tracker)
    if options.model:
        values['model.path'] = options.model
    if options.words:
        values['detector.path'] = str(options.clip.resolve())
    return parameter_arguments(values)


@contextlib.contextmanager
def _process(name: str, extra: Sequence[str], share: Path, output: Path) -> Iterator[Path]:
    """Run a node until the block ends; yield its log file."""
    files = [share / 'config' / file for file in ('pixelrefer.yaml', 'demo.yaml')]
    parameters = [part for file in files for part in ('--params-file', str(file))]
    log = output / f'{name}.log'
    log.unlink(missing_ok=True)
    environment = os.environ | profile_environment(share) | {'PYTHONUNBUFFERED': '1'}
    process = NodeProcess(name, log, [*parameters, *extra], environment=environment)
    try:
        yield log
    finally:
        if process.stop(STOP_S) == -signal.SIGKILL:
            print(f'{name} did not stop within {STOP_S:g} s and was killed', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
