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
from pixelrefer_core.errors import InvalidImageError
from pixelrefer_ros.middleware import profile_environment

STOP_S = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Start camera, node and overlay, then the operator; its exit status is the demo's."""
    share = Path(get_package_share_directory('pixelrefer_ros'))
    parser = argparse.ArgumentParser(
        prog='scripts/demo', description='Track objects of a clip and ask about them.'
    )
    parser.add_argument(
        '--clip', type=Path, default=share / 'config' / 'demo_clip', help='folder, video or bag'
    )
    parser.add_argument('--output', type=Path, default=Path('demo_output'))
    parser.add_argument('--box', action='append', default=[], metavar='X,Y,W,H', help='an object; repeatable')
    options = parser.parse_args(arguments)
    try:
        open_clip(options.clip)
    except InvalidImageError as error:
        parser.error(str(error))
    options.output.mkdir(parents=True, exist_ok=True)
    operator = [sys.executable, '-m', 'pixelrefer_ros.demo_operator']
    operator += ['--clip', str(options.clip), '--output', str(options.output)]
    operator += [part for box in options.box for part in ('--box', box)]
    with contextlib.ExitStack() as running:
        logs = {
            name: running.enter_context(_process(name, extra, share, options.output))
            for name, extra in (
                ('camera_node', ['-p', f'source:={options.clip.resolve()}']),
                ('pixelrefer_node', []),
                ('overlay_node', []),
            )
        }
        status = subprocess.run(operator, check=False).returncode
    if status:
        for name, log in logs.items():
            print(f'--- {name}: {log}', *log.read_text().splitlines()[-8:], sep='\n', file=sys.stderr)
    return status


@contextlib.contextmanager
def _process(name: str, extra: Sequence[str], share: Path, output: Path) -> Iterator[Path]:
    """Run a node until the block ends; yield its log file."""
    files = [share / 'config' / file for file in ('pixelrefer.yaml', 'demo.yaml')]
    parameters = [part for file in files for part in ('--params-file', str(file))]
    command = [sys.executable, '-m', f'pixelrefer_ros.{name}', '--ros-args', *parameters, *extra]
    log = output / f'{name}.log'
    environment = os.environ | profile_environment(share) | {'PYTHONUNBUFFERED': '1'}
    with log.open('w') as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env=environment)
        try:
            yield log
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                print(f'{name} did not stop within {STOP_S:g} s and was killed', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
