"""``ros2 run pixelrefer_ros watch``: wait until a running node sees that a condition holds, from a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pixelrefer_core.errors import PixelReferError, RequestTimeoutError
from pixelrefer_ros.cli import add_common_options, chosen_objects, say_untrained

if TYPE_CHECKING:
    from pixelrefer_ros.action import Watch
    from pixelrefer_ros.watch_stream import WatchStream


def main(arguments: Sequence[str] | None = None) -> int:
    """Watch and print each event. Returns 0 when there was one, 1 when there was none, or 2 with the node's error."""
    options = _parser().parse_args(arguments)
    from pixelrefer_ros.client import PixelReferClient

    try:
        with PixelReferClient(namespace=options.namespace) as robot:
            robot.wait_until_ready()
            ids = chosen_objects(robot, options)
            stream = robot.watch(
                ids,
                options.condition,
                window_s=options.window,
                on_threshold=options.on,
                off_threshold=options.off,
                hits=options.hits,
                of=options.of,
                cooldown_s=options.cooldown,
                repeat=options.repeat,
                timeout_s=options.timeout,
                on_check=_show if options.verbose else _ignore,
            )
            return 0 if _events(stream) else 1
    except RequestTimeoutError as error:
        print(error, file=sys.stderr)
        return 1
    except PixelReferError as error:
        print(f'{error.code.name}: {error}', file=sys.stderr)
        return 2


def _events(stream: WatchStream) -> int:
    """Print events as they come, until the goal ends or Ctrl-C; return how many there were."""
    while True:
        try:
            for event in stream:
                if event.number == 1:
                    say_untrained(event)
                stamp = event.header.stamp
                print(
                    f'{stamp.sec}.{stamp.nanosec:09d}  {event.probability:.2f}  '
                    f'{", ".join(event.object_ids)}: {event.condition}',
                    flush=True,
                )
            return stream.event.number if stream.event else 0
        except KeyboardInterrupt:
            stream.cancel()


def _show(feedback: Watch.Feedback) -> None:
    newest = feedback.frame_stamps[-1]
    print(f'{newest.sec}.{newest.nanosec:09d}  {feedback.probability:.2f}', file=sys.stderr)


def _ignore(feedback: Watch.Feedback) -> None:
    """Show no check."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='watch',
        description='Wait until a running pixelrefer_node sees that a condition holds; then print the stamp of the '
        'image, the probability, the objects and the condition. Exit status 1: it did not happen.',
    )
    parser.add_argument(
        'condition', help='a question of yes or no, or a statement, about <object1>, <object2>, ...'
    )
    add_common_options(parser)
    parser.add_argument('--repeat', action='store_true', help='go on after the first time, until Ctrl-C')
    for name, default, text in (
        ('--window', 0.0, 'seconds of the past that a check looks at; 0 = all that is held'),
        ('--on', 0.0, 'probability from which on it holds; 0 = as the node is configured'),
        ('--off', 0.0, 'probability up to which it does not; 0 = as the node is configured'),
        ('--cooldown', 0.0, 'seconds from one event to the next, at least'),
        ('--timeout', 0.0, 'seconds to watch; 0 = for ever'),
    ):
        parser.add_argument(name, type=float, default=default, metavar='NUMBER', help=text)
    parser.add_argument('--hits', type=int, default=1, help='so many ...')
    parser.add_argument('--of', type=int, default=0, help='... of so many last checks make it hold; 0 = hits')
    parser.add_argument(
        '--verbose', action='store_true', help='print the probability of every check to stderr'
    )
    return parser


if __name__ == '__main__':
    sys.exit(main())
