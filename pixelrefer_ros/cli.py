"""``ros2 run pixelrefer_ros ask``: one question to a running node, from a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pixelrefer_core.errors import PixelReferError


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask and print. Returns 0, or 2 with the node's error on stderr."""
    options = _parser().parse_args(arguments)
    # Imported here, so that --help needs no ROS to start.
    from pixelrefer_ros.client import PixelReferClient

    try:
        with PixelReferClient(namespace=options.namespace) as robot:
            robot.wait_until_ready(options.timeout)
            ids = list(options.object)
            for box in options.box:
                ids.append(robot.add_object(box=box))
            if not ids:
                ids = [item.object_id for item in robot.get_objects()]
            if options.predict:
                answer = robot.predict(ids, options.question, timeout_s=options.timeout)
            elif options.question:
                answer = robot.ask(ids, options.question, timeout_s=options.timeout)
            else:
                answer = robot.describe(ids[0] if ids else '', timeout_s=options.timeout)
    except PixelReferError as error:
        print(f'{error.code.name}: {error}', file=sys.stderr)
        return 2
    if not answer.model_trained:
        print(f'({answer.model} has random weights: the words have no meaning)', file=sys.stderr)
    print(f'{", ".join(answer.object_ids)}: {answer.question}\n{answer.text}')
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='ask', description='Ask a running pixelrefer_node about its objects.'
    )
    parser.add_argument('question', nargs='?', default='', help='empty = describe the first object')
    parser.add_argument(
        '--object', action='append', default=[], metavar='ID', help='tracked object; repeatable'
    )
    parser.add_argument(
        '--box',
        action='append',
        default=[],
        type=_box,
        metavar='X,Y,W,H',
        help='start tracking this; repeatable',
    )
    parser.add_argument('--predict', action='store_true', help='ask what will happen next')
    parser.add_argument('--namespace', default='', help='of the node')
    parser.add_argument('--timeout', type=float, default=30.0, metavar='SECONDS')
    return parser


def _box(text: str) -> list[int]:
    try:
        box = [int(part) for part in text.split(',')]
    except ValueError:
        box = []
    if len(box) != 4:
        raise argparse.ArgumentTypeError(f'{text!r} is not X,Y,WIDTH,HEIGHT in whole pixels')
    return box


if __name__ == '__main__':
    sys.exit(main())
