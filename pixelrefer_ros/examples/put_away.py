"""An example of a behaviour that uses answers: put away what will fall.

    ros2 run pixelrefer_ros put_away --object cup        # without --object: all that is tracked
    ros2 topic echo /decisions

Each object has a small state machine that is ticked like a leaf of a behaviour tree and never blocks::

    WATCHING --the cue: it moves--> ASKING --yes--> PUT_AWAY, done
        ^                             |
        +---------------no------------+---neither yes nor no, or no answer in time--> CHECK: somebody should look
        +--BUSY, NOT_READY, ...: again after a pause;  any other error --> GIVE_UP, done

An answer is data: here it may choose between three harmless words and nothing else. A robot that acts on ``PUT_AWAY``
still checks, by other means, that there is something to grasp.
"""

from __future__ import annotations

import argparse
import enum
import sys
import time
from collections.abc import Callable, Sequence

from std_msgs.msg import String

from pixelrefer_core.errors import ErrorCode, PixelReferError
from pixelrefer_ros import qos
from pixelrefer_ros.answer_stream import AnswerStream
from pixelrefer_ros.cli import add_common_options, chosen_objects, say_untrained
from pixelrefer_ros.client import PixelReferClient
from pixelrefer_ros.msg import ObjectAnswer
from pixelrefer_ros.watch_stream import WatchStream

CUE = 'Is <object1> moving?'
QUESTION = 'Will <object1> fall off the table?'
TICK_S = 0.05
# Errors that pass: the device is busy, the node restarts, the object is hidden for a moment.
PASSING = {
    ErrorCode.BUSY,
    ErrorCode.NOT_READY,
    ErrorCode.NO_IMAGE,
    ErrorCode.OUT_OF_MEMORY,
    ErrorCode.OBJECT_NEVER_SEEN,
    ErrorCode.WINDOW_EMPTY,
}


class Status(enum.Enum):
    """What a leaf of a behaviour tree says when it is ticked."""

    RUNNING = enum.auto()
    SUCCESS = enum.auto()
    FAILURE = enum.auto()


class PutAway:
    """Looks after one object until it is to be put away (SUCCESS), or until that cannot be done (FAILURE).

    ``decide`` gets each decision, ``PUT_AWAY``, ``CHECK`` or ``GIVE_UP``, and its reason. ``on_threshold``: probability
    of the cue; 0 = as the node is configured. ``answer_s``: how long an answer may take before it is of no use.
    ``pause_s``: from one round to the next.
    """

    def __init__(
        self,
        robot: PixelReferClient,
        object_id: str,
        decide: Callable[[str, str, str], None],
        *,
        on_threshold: float = 0.0,
        watch_s: float = 60.0,
        answer_s: float = 5.0,
        pause_s: float = 1.0,
    ) -> None:
        self.object_id = object_id
        self._robot = robot
        self._decide = decide
        self._on_threshold = on_threshold
        self._watch_s, self._answer_s, self._pause_s = watch_s, answer_s, pause_s
        self._goal: WatchStream | AnswerStream | None = None
        self._resume_s = 0.0
        self._status = Status.RUNNING

    def tick(self) -> Status:
        """Go on with what there is to do; returns at once."""
        goal = self._goal
        if self._status is not Status.RUNNING or time.monotonic() < self._resume_s:
            return self._status
        if goal is None:
            self._begin(self._watch)
        elif goal.is_done:
            self._goal = None
            if goal.error is not None:
                self._fail(goal.error, is_asking=isinstance(goal, AnswerStream))
            elif isinstance(goal, WatchStream):
                self._begin(self._ask)
            else:
                self._judge(goal.answers[0])
        return self._status

    def halt(self) -> None:
        """Be pre-empted: the node stops what it does for this object."""
        if self._goal is not None:
            self._goal.cancel()
            self._goal = None

    def _begin(self, goal: Callable[[], WatchStream | AnswerStream]) -> None:
        try:
            self._goal = goal()
        except PixelReferError as error:
            self._fail(error)

    def _watch(self) -> WatchStream:
        return self._robot.watch(
            [self.object_id], CUE, on_threshold=self._on_threshold, timeout_s=self._watch_s
        )

    def _ask(self) -> AnswerStream:
        # What may fall is more urgent than what people want to know.
        return self._robot.stream(
            [self.object_id],
            QUESTION,
            kind=ObjectAnswer.KIND_PREDICTION,
            timeout_s=self._answer_s,
            priority=1,
        )

    def _judge(self, answer: ObjectAnswer) -> None:
        say_untrained(answer)
        word = answer.text.lower().replace(',', ' ').replace('.', ' ').partition(' ')[0]
        if word == 'yes':
            self._end(Status.SUCCESS, 'PUT_AWAY', f'{answer.question} {answer.text}')
            return
        if word != 'no':
            self._decide(self.object_id, 'CHECK', f'neither yes nor no: {answer.text}')
        self._pause()

    def _fail(self, error: PixelReferError, *, is_asking: bool = False) -> None:
        if error.code not in PASSING | {ErrorCode.TIMEOUT}:
            self._end(Status.FAILURE, 'GIVE_UP', f'{error.code.name}: {error}')
            return
        # That a watch ends without an event is good news, and the next one begins.
        if error.code is ErrorCode.TIMEOUT and is_asking:
            self._decide(self.object_id, 'CHECK', f'{error.code.name}: {error}')
        self._pause()

    def _pause(self) -> None:
        """Leave the device to others before the next watch begins."""
        self._resume_s = time.monotonic() + self._pause_s

    def _end(self, status: Status, decision: str, reason: str) -> None:
        self._status = status
        self._decide(self.object_id, decision, reason)


def main(arguments: Sequence[str] | None = None) -> int:
    """Look after objects. Returns 0 when all that could be watched is put away, 1 after the time, or 2 on errors."""
    options = _parser().parse_args(arguments)
    try:
        with PixelReferClient(namespace=options.namespace) as robot:
            robot.wait_until_ready()
            decide = _announcer(robot, options.namespace)
            leaves = [
                PutAway(robot, object_id, decide, on_threshold=options.on, answer_s=options.answer_seconds)
                for object_id in chosen_objects(robot, options)
            ]
            return _run(leaves, options.seconds)
    except PixelReferError as error:
        print(f'{error.code.name}: {error}', file=sys.stderr)
        return 2


def _run(leaves: Sequence[PutAway], seconds: float) -> int:
    """Tick until all are done, for so many seconds (0 = for ever) or until Ctrl-C."""
    ends_s = time.monotonic() + seconds if seconds else float('inf')
    try:
        while time.monotonic() < ends_s:
            statuses = [leaf.tick() for leaf in leaves]
            if Status.RUNNING not in statuses:
                return 2 if Status.FAILURE in statuses else 0
            time.sleep(TICK_S)
    except KeyboardInterrupt:
        print('stopped', file=sys.stderr)
    finally:
        for leaf in leaves:
            leaf.halt()
    return 1


def _announcer(robot: PixelReferClient, namespace: str) -> Callable[[str, str, str], None]:
    topic = f'{namespace.rstrip("/")}/decisions' if namespace else 'decisions'
    publisher = robot.node.create_publisher(String, topic, qos.latched(depth=10))

    def announce(object_id: str, decision: str, reason: str) -> None:
        print(f'{decision} {object_id}: {reason}', flush=True)
        publisher.publish(String(data=f'{decision} {object_id}'))

    return announce


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='put_away',
        description='An example behaviour: watch objects; when one moves, ask whether it will fall; publish on '
        'the topic decisions what to do.',
    )
    add_common_options(parser)
    parser.add_argument(
        '--on',
        type=float,
        default=0.0,
        metavar='NUMBER',
        help='probability from which on it moves; 0 = as the node is configured',
    )
    parser.add_argument(
        '--answer-seconds', type=float, default=5.0, help='an answer that takes longer is of no use'
    )
    parser.add_argument('--seconds', type=float, default=0.0, help='how long; 0 = until Ctrl-C')
    return parser


if __name__ == '__main__':
    sys.exit(main())
