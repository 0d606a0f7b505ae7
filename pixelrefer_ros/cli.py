"""``ros2 run pixelrefer_ros ask``: one question to a running node, from a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pixelrefer_core.errors import CanceledError, PixelReferError

if TYPE_CHECKING:
    from pixelrefer_ros.client import PixelReferClient
    from pixelrefer_ros.msg import ObjectAnswer, WatchEvent


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask and print. Returns 0, or 2 with the node's error on stderr."""
    options = _parser().parse_args(arguments)
    # Imported here, so that --help needs no ROS to start.
    from pixelrefer_ros.client import PixelReferClient

    try:
        with PixelReferClient(namespace=options.namespace) as robot:
            robot.wait_until_ready(options.timeout)
            ids = chosen_objects(robot, options)
            answer = (_streamed if options.stream else _whole)(robot, ids, options)
    except PixelReferError as error:
        print(f'{error.code.name}: {error}', file=sys.stderr)
        return 2
    say_untrained(answer)
    print(f'{", ".join(answer.object_ids)}: {answer.question}')
    if not options.stream:
        print(answer.text)
    return 0


def chosen_objects(robot: PixelReferClient, options: argparse.Namespace) -> list[str]:
    """The objects that are named, and those that begin to be tracked now; all where there are none of these."""
    ids = list(options.object) + [robot.add_object(box=box) for box in options.box]
    ids += [robot.add_object(text=words) for words in options.text]
    return ids or [item.object_id for item in robot.get_objects()]


def say_untrained(message: ObjectAnswer | WatchEvent) -> None:
    """Warn that what a model without training says means nothing."""
    if not message.model_trained:
        print(f'({message.model} has random weights: what it says has no meaning)', file=sys.stderr)


def _whole(robot: PixelReferClient, ids: list[str], options: argparse.Namespace) -> ObjectAnswer:
    if options.predict:
        return robot.predict(ids, options.question, timeout_s=options.timeout)
    if options.question:
        return robot.ask(ids, options.question, timeout_s=options.timeout)
    return robot.describe(ids[0] if ids else '', timeout_s=options.timeout)


def _streamed(robot: PixelReferClient, ids: list[str], options: argparse.Namespace) -> ObjectAnswer:
    """Print the text as it comes; Ctrl-C stops the node's writing and keeps what there is."""
    from pixelrefer_ros.msg import ObjectAnswer

    kind = ObjectAnswer.KIND_ANSWER if options.question else ObjectAnswer.KIND_CAPTION
    if options.predict:
        kind = ObjectAnswer.KIND_PREDICTION
    elif kind == ObjectAnswer.KIND_CAPTION:
        ids = ids[:1]
    stream = robot.stream(ids, options.question, kind=kind, timeout_s=options.timeout)
    while True:
        try:
            for piece in stream:
                print(piece, end='', flush=True)
            break
        except KeyboardInterrupt:
            stream.cancel()
        finally:
            print(flush=True)
    if not stream.answers:
        raise CanceledError('stopped before anything was written')
    return stream.answers[-1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='ask', description='Ask a running pixelrefer_node about its objects.'
    )
    parser.add_argument('question', nargs='?', default='', help='empty = describe the first object')
    add_common_options(parser)
    parser.add_argument('--predict', action='store_true', help='ask what will happen next')
    parser.add_argument(
        '--stream', action='store_true', help='print the text as it is written; Ctrl-C stops it'
    )
    parser.add_argument('--timeout', type=float, default=30.0, metavar='SECONDS')
    return parser


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say which node and which objects are meant."""
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
    parser.add_argument(
        '--text', action='append', default=[], metavar='WORDS', help='look for this and track it; repeatable'
    )
    parser.add_argument('--namespace', default='', help='of the node')


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
