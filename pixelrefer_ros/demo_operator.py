"""The person in the demo: points at objects on the first image, asks about them, keeps a contact sheet."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import Image

from pixelrefer_core.clip_objects import clip_prompts
from pixelrefer_core.errors import NoImageError, NotReadyError, PixelReferError
from pixelrefer_core.sheet import contact_sheet
from pixelrefer_core.types import NANOSECONDS, Prompt, TrackedObject
from pixelrefer_ros import conversions, qos
from pixelrefer_ros.client import PixelReferClient, make_prompt
from pixelrefer_ros.diagnostics import CONFIGURE_FAILED
from pixelrefer_ros.msg import NodeStatus, ObjectAnswer, TrackedObjectArray
from pixelrefer_ros.srv import AddObjects
from pixelrefer_ros.stamp_join import StampJoin

# Seconds of the clip after which a question is asked, how, about which of the objects, and the question.
QUESTIONS = (
    (1.0, 'describe', (0,), ''),
    (1.0, 'describe', (1,), ''),
    (1.0, 'describe', (2,), ''),
    (2.0, 'ask', (0,), 'What colour is <object1>?'),
    (2.0, 'ask', (1,), 'What is <object1> used for?'),
    (2.0, 'ask', (0, 1), 'Which is bigger, <object1> or <object2>?'),
    (3.0, 'ask', (0,), 'Is <object1> moving?'),
    (3.0, 'ask', (0, 2), 'Where is <object1> relative to <object2>?'),
    (3.0, 'ask', (0,), 'What did <object1> do before?'),
    (4.0, 'predict', (0,), ''),
    (4.0, 'predict', (0, 1), 'Will <object1> hit <object2>?'),
    (4.0, 'predict', (2,), 'Will <object1> stay where it is?'),
)
# A longer clip is not watched to its end.
END_S = 8.0
COLUMNS = 6
UNTRAINED = 'The weights of this model are random: the tracking is real, the words have no meaning yet.'


class Recorder:
    """Keeps what the node published about each image: the image, the masks, the objects."""

    def __init__(self, client: PixelReferClient) -> None:
        self._client = client
        self.first: Image | None = None
        self.views: list[tuple[int, np.ndarray, list[TrackedObject]]] = []
        self._news = threading.Condition()
        self._join = StampJoin(('image', 'labels', 'objects'), self._on_view, limit=100)
        for kind, topic, part, profile in (
            (Image, 'image', 'image', qos.image('reliable')),
            (Image, 'label_image', 'labels', qos.results()),
            (TrackedObjectArray, 'objects', 'objects', qos.results()),
        ):
            client.node.create_subscription(kind, topic, partial(self._put, part), profile)

    def wait_for_first(self, timeout_s: float) -> Image:
        """Block until the camera's first image, which waits for the node.

        Raises :class:`NotReadyError` when the node cannot start, else :class:`NoImageError`.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._news:
            while self.first is None and time.monotonic() < deadline_s:
                self._news.wait(0.5)
                reason = self._client.status.reason
                if reason.startswith(CONFIGURE_FAILED):
                    raise NotReadyError(reason)
            if self.first is None:
                raise NoImageError(f'no image within {timeout_s:g} s: is the camera running?')
            return self.first

    def wait_until(self, clip_s: float, timeout_s: float) -> None:
        """Block until objects of that second of the clip were published, or nothing has come for a while."""
        with self._news:
            while not self.views or self.views[-1][0] < self._start_ns + clip_s * NANOSECONDS:
                if not self._news.wait(timeout_s):
                    return

    @property
    def now_s(self) -> float:
        """Second of the clip that was published last."""
        return self.seconds(self.views[-1][0]) if self.views else 0.0

    def seconds(self, stamp_ns: int) -> float:
        """Seconds from the first image to a stamp."""
        return (stamp_ns - self._start_ns) / NANOSECONDS

    @property
    def _start_ns(self) -> int:
        return conversions.to_ns(self.first.header.stamp) if self.first is not None else 0

    def _put(self, part: str, message: Any) -> None:
        if part == 'image' and self.first is None:
            with self._news:
                self.first = message
                self._news.notify_all()
        self._join.put(part, message)

    def _on_view(self, image: Image, labels: Image, objects: TrackedObjectArray) -> None:
        found = conversions.from_tracked_objects(objects, conversions.from_label_image(labels))
        view = (conversions.to_ns(image.header.stamp), conversions.to_frame(image).image, found)
        with self._news:
            # The answers rest on few of them; a long clip must not fill the memory.
            if len(self.views) >= 400:
                del self.views[1::2]
            self.views.append(view)
            self._news.notify_all()


def run(clip: Path, output: Path, boxes: Sequence[Sequence[float]], timeout_s: float) -> int:
    """Play the whole scene. Returns 0 when every question was answered, else 1."""
    with PixelReferClient() as robot:
        recorder = Recorder(robot)
        first = recorder.wait_for_first(timeout_s)
        prompts = clip_prompts(clip, boxes, height=first.height, width=first.width)
        ids = _add(robot, prompts, first)
        robot.wait_until_ready(timeout_s)
        print(
            f'{robot.status.model} on {robot.status.device}, tracker {robot.status.tracker}; objects: {", ".join(ids)}'
        )
        rows, failures = [], 0
        for service, names, answer in _ask(robot, recorder, ids):
            rows.append(_row(service, names, answer, recorder))
            failures += isinstance(answer, PixelReferError)
            _print(recorder.now_s, rows[-1])
        recorder.wait_until(END_S, 1.0)
        status = robot.status
    note = '' if status.model_trained else UNTRAINED
    print(note)
    sheet = _save(output, recorder, rows, status, note)
    print(
        f'{len(rows) - failures} of {len(rows)} questions answered, {len(recorder.views)} frames tracked: {sheet}'
    )
    return 0 if rows and not failures else 1


def _add(robot: PixelReferClient, prompts: Sequence[Prompt], first: Image) -> list[str]:
    """Point at the objects on the first image, by its stamp: by now the camera has moved on."""
    request = AddObjects.Request(header=first.header, prompts=[_message(prompt) for prompt in prompts])
    return list(robot.call('add_objects', request).object_ids)


def _message(prompt: Prompt) -> Any:
    box = prompt.box_xyxy
    return make_prompt(
        prompt.object_id,
        label=prompt.label,
        box=None if box is None else (box[0], box[1], box[2] - box[0], box[3] - box[1]),
        points=() if prompt.points is None else prompt.points.tolist(),
        point_labels=() if prompt.point_labels is None else prompt.point_labels.tolist(),
        mask=prompt.mask,
    )


def _ask(
    robot: PixelReferClient, recorder: Recorder, ids: Sequence[str]
) -> Iterator[tuple[str, list[str], ObjectAnswer | PixelReferError]]:
    for at_s, service, numbers, question in QUESTIONS:
        if max(numbers) >= len(ids):
            continue
        recorder.wait_until(at_s, 1.0)
        names = [ids[number] for number in numbers]
        answer: ObjectAnswer | PixelReferError
        try:
            if service == 'describe':
                answer = robot.describe(names[0], question)
            else:
                answer = getattr(robot, service)(names, question)
        except PixelReferError as error:
            answer = error
        yield service, names, answer


def _row(
    service: str, names: Sequence[str], answer: ObjectAnswer | PixelReferError, recorder: Recorder
) -> tuple[str, str, str, str]:
    who = f'/{ {"describe": "describe_object", "ask": "ask_objects", "predict": "predict_event"}[service] }'
    who = f'{who}  {", ".join(names)}'
    if isinstance(answer, PixelReferError):
        return who, '', f'{answer.code.name}: {answer}', ''
    stamps = [recorder.seconds(conversions.to_ns(stamp)) for stamp in answer.frame_stamps]
    timing = answer.timing
    note = (
        f'{len(stamps)} frames {stamps[0]:.1f}-{stamps[-1]:.1f} s; queue {1e3 * timing.queue:.0f}, '
        f'first token {1e3 * timing.first_token:.0f}, total {1e3 * timing.total:.0f} ms'
    )
    return who, answer.question, answer.text, note


def _print(now_s: float, row: tuple[str, str, str, str]) -> None:
    who, question, text, note = row
    print(f'[{now_s:4.1f} s] {who}: {question}\n         -> {text}\n            ({note})')


def _save(
    output: Path, recorder: Recorder, rows: Sequence[tuple[str, str, str, str]], status: NodeStatus, note: str
) -> Path:
    # On the first image nothing was pointed at yet.
    views = [view for view in recorder.views if view[2]] or recorder.views
    chosen = sorted({round(k * (len(views) - 1) / (COLUMNS - 1)) for k in range(COLUMNS)}) if views else []
    columns = [
        (views[index][1], views[index][2], f'{recorder.seconds(views[index][0]):.1f} s') for index in chosen
    ]
    title = f'{status.model}: objects tracked by {status.tracker}, asked about over ROS 2'
    sheet = contact_sheet(title, columns, rows, note)
    output.mkdir(parents=True, exist_ok=True)
    file = output / 'contact_sheet.png'
    cv2.imwrite(str(file), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    return file


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator against a running node and camera."""
    parser = argparse.ArgumentParser(prog='demo_operator', description=__doc__)
    parser.add_argument('--clip', type=Path, required=True, help='the clip that the camera plays')
    parser.add_argument('--output', type=Path, default=Path('demo_output'))
    parser.add_argument('--box', action='append', default=[], metavar='X,Y,W,H', help='an object; repeatable')
    parser.add_argument('--timeout', type=float, default=120.0, help='seconds to wait for the node')
    options = parser.parse_args(arguments)
    boxes = [[float(part) for part in box.split(',')] for box in options.box]
    try:
        return run(options.clip, options.output, boxes, options.timeout)
    except PixelReferError as error:
        print(f'{error.code.name}: {error}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
