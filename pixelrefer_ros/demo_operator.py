"""The person in the demo: points at objects on the first image, asks about them, keeps a contact sheet.

Of a simulated clip all is known: its answers are marked, the masks are scored, and what came next is shown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
from sensor_msgs.msg import Image

from pixelrefer_core.clip_objects import clip_prompts
from pixelrefer_core.errors import PixelReferError
from pixelrefer_core.sheet import Column, Row, contact_sheet
from pixelrefer_core.types import Prompt
from pixelrefer_ros.client import PixelReferClient, make_prompt
from pixelrefer_ros.demo_questions import SERVICES, Planned, questions_for
from pixelrefer_ros.demo_recorder import Recorder
from pixelrefer_ros.demo_truth import future_columns, tracking_line
from pixelrefer_ros.msg import NodeStatus, ObjectAnswer
from pixelrefer_ros.srv import AddObjects
from pixelrefer_ros.stamps import to_ns
from pixelrefer_sim.demo_tabletop import OBJECT_IDS, load_exam
from pixelrefer_sim.exam import Exam, is_right
from pixelrefer_sim.true_detector import name_of

# A longer clip is not watched to its end.
END_S = 8.0
COLUMNS = 6
# Nothing has come for so long: the clip has ended, or, in lockstep, the node is stuck.
PATIENCE_S, LOCKSTEP_PATIENCE_S = 1.0, 25.0
UNTRAINED = 'The weights of this model are random: the tracking is real, the words have no meaning yet.'
NANO_NOTE = (
    'Asked at {end:.1f} s; the model saw nothing later. Below the frames up to then: what really happened, with '
    'true masks. Scene {seed} was never used in training. nano is an early checkpoint, trained on simulated tabletops.'
)


def run(
    clip: Path,
    output: Path,
    boxes: Sequence[Sequence[float]],
    timeout_s: float,
    required: int = 0,
    *,
    in_words: bool = False,
) -> int:
    """Play the whole scene. ``in_words``: its objects are named, and the node's detector looks them up.

    Returns 0 when every question was answered, of a simulated clip at least ``required`` rightly; else 1.
    """
    exam = None if boxes else load_exam(clip)
    with PixelReferClient() as robot:
        recorder = Recorder(robot)
        first = recorder.wait_for_first(timeout_s)
        if in_words and exam:
            prompts = _named(exam)
        else:
            prompts = clip_prompts(clip, boxes, height=first.height, width=first.width)
        ids = _add(robot, prompts, first)
        recorder.go_on()
        robot.wait_until_ready(timeout_s)
        status = robot.status
        print(f'{status.model} on {status.device}, tracker {status.tracker}; objects: {", ".join(ids)}')
        rows, failures = _ask(
            robot, recorder, questions_for(ids, exam), LOCKSTEP_PATIENCE_S if exam else PATIENCE_S
        )
        if exam is None:
            recorder.wait_until(END_S, PATIENCE_S)
    right = sum(row.right is True for row in rows)
    result = (
        f'{right} of {len(rows)} answers right' if exam else f'{len(rows) - failures} of {len(rows)} answered'
    )
    sheet = _save(clip, output, recorder, rows, status, exam, result)
    if exam:
        print(tracking_line(exam, recorder.views, ids))
    if not status.model_trained:
        print(UNTRAINED)
    print(
        f'{len(rows) - failures} of {len(rows)} questions answered, {len(recorder.views)} frames tracked: {sheet}'
    )
    return _verdict(rows, failures, right if exam else None, required)


def _verdict(rows: Sequence[Row], failures: int, right: int | None, required: int) -> int:
    if not rows or failures:
        print(f'failed: {failures} questions were not answered' if rows else 'failed: nothing was asked')
        return 1
    if right is None:
        return 0
    print(f'{right} of {len(rows)} answers right')
    if right < required:
        print(f'failed: at least {required} answers must be right')
    return int(right < required)


def _add(robot: PixelReferClient, prompts: Sequence[Prompt], first: Image) -> list[str]:
    """Point at the objects on the first image, by its stamp: by now a camera may have moved on."""
    request = AddObjects.Request(header=first.header, prompts=[_message(prompt) for prompt in prompts])
    return list(robot.call('add_objects', request).object_ids)


def _named(exam: Exam) -> list[Prompt]:
    record = exam.view.record
    return [
        Prompt(object_id, text=name_of(record.objects[record.index(name)]))
        for object_id, name in zip(OBJECT_IDS, exam.objects, strict=True)
    ]


def _message(prompt: Prompt) -> Any:
    box = prompt.box_xyxy
    return make_prompt(
        prompt.object_id,
        label=prompt.label,
        box=None if box is None else (box[0], box[1], box[2] - box[0], box[3] - box[1]),
        points=() if prompt.points is None else prompt.points.tolist(),
        point_labels=() if prompt.point_labels is None else prompt.point_labels.tolist(),
        mask=prompt.mask,
        text=prompt.text,
    )


def _ask(
    robot: PixelReferClient, recorder: Recorder, plan: Sequence[Planned], patience_s: float
) -> tuple[list[Row], int]:
    """Ask in turn, each question when its second of the clip has come; return the rows and how many failed."""
    rows, failures = [], 0
    for planned in plan:
        recorder.wait_until(planned.at_s, patience_s)
        answer = planned.ask(robot)
        rows.append(_row(planned, answer, recorder))
        failures += isinstance(answer, PixelReferError)
        _print(recorder.now_s, rows[-1])
    return rows, failures


def _row(planned: Planned, answer: ObjectAnswer | PixelReferError, recorder: Recorder) -> Row:
    who = f'/{SERVICES[planned.service]}  {", ".join(planned.object_ids)}'
    known = planned.known
    truth = known.answer if known else ''
    if isinstance(answer, PixelReferError):
        text = f'{answer.code.name}: {answer}'
        return Row(who, planned.text, text, '', truth, False if known else None)
    stamps = [recorder.seconds(to_ns(stamp)) for stamp in answer.frame_stamps]
    timing = answer.timing
    note = (
        f'{len(stamps)} frames {stamps[0]:.1f}-{stamps[-1]:.1f} s; queue {1e3 * timing.queue:.0f}, '
        f'first token {1e3 * timing.first_token:.0f}, total {1e3 * timing.total:.0f} ms'
    )
    right = is_right(known, answer.text) if known else None
    return Row(who, answer.question, answer.text, note, truth, right)


def _print(now_s: float, row: Row) -> None:
    mark = {None: '', True: '   right', False: f'   WRONG, in truth: {row.truth}'}[row.right]
    print(
        f'[{now_s:4.1f} s] {row.who}: {row.question}\n         -> {row.answer}{mark}\n            ({row.note})'
    )


def _save(
    clip: Path,
    output: Path,
    recorder: Recorder,
    rows: Sequence[Row],
    status: NodeStatus,
    exam: Exam | None,
    result: str,
) -> Path:
    columns = _tracked(recorder, COLUMNS if exam is None else COLUMNS - 2)
    notes = [] if status.model_trained else [UNTRAINED]
    if exam:
        columns += future_columns(exam, clip)
        notes.append(NANO_NOTE.format(end=exam.view.end_s, seed=exam.view.record.seed))
    title = f'{status.model}: objects tracked by {status.tracker}, asked about over ROS 2, {result}'
    sheet = contact_sheet(title, columns, rows, ' '.join(notes))
    output.mkdir(parents=True, exist_ok=True)
    file = output / 'contact_sheet.png'
    cv2.imwrite(str(file), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    return file


def _tracked(recorder: Recorder, count: int) -> list[Column]:
    # On the first image nothing was pointed at yet.
    views = [view for view in recorder.views if view.objects] or recorder.views
    chosen = sorted({round(k * (len(views) - 1) / (count - 1)) for k in range(count)}) if views else []
    return [(views[k].image, views[k].objects, f'{views[k].second:.1f} s') for k in chosen]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator against a running node and camera."""
    parser = argparse.ArgumentParser(prog='demo_operator', description=__doc__)
    parser.add_argument('--clip', type=Path, required=True, help='the clip that the camera plays')
    parser.add_argument('--output', type=Path, default=Path('demo_output'))
    parser.add_argument('--box', action='append', default=[], metavar='X,Y,W,H', help='an object; repeatable')
    parser.add_argument('--words', action='store_true', help='name the objects instead of pointing at them')
    parser.add_argument('--require', type=int, default=0, metavar='N', help='fail with fewer right answers')
    parser.add_argument('--timeout', type=float, default=120.0, help='seconds to wait for the node')
    options = parser.parse_args(arguments)
    boxes = [[float(part) for part in box.split(',')] for box in options.box]
    try:
        return run(
            options.clip, options.output, boxes, options.timeout, options.require, in_words=options.words
        )
    except PixelReferError as error:
        print(f'{error.code.name}: {error}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
