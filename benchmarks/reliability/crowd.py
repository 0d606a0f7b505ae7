"""Clients that ask without pause while a camera runs: latencies, images lost, memory and processor of each process."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from stage import OBJECT, HangError, Stage, usage_of, wait_for

from pixelrefer_core.clip import open_clip
from pixelrefer_core.errors import PixelReferError
from pixelrefer_core.types import NANOSECONDS
from pixelrefer_ros import qos
from pixelrefer_ros.client import PixelReferClient
from pixelrefer_ros.msg import GenerationOptions, TrackedObjectArray
from pixelrefer_ros.stamps import to_ns

QUESTIONS = (
    'What is <object1>?',
    'What is <object1> doing?',
    'What will happen next?',
    'Is <object1> moving?',
)
ANSWER = GenerationOptions(max_new_tokens=24)
ANSWER_S = 60.0
# Every so many questions one is cancelled in the middle.
CANCEL_EVERY = 4
# The start of a process says nothing about its slope.
WARM_SHARE = 0.2
SAMPLE_S = 2.0


@dataclass
class Heard:
    """What the clients have seen; seconds. ``ends``: how many questions ended how."""

    to_track_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    end_s: list[float] = field(default_factory=list)
    stop_s: list[float] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)

    def percentiles(self) -> list[dict[str, Any]]:
        """One row a latency, milliseconds."""
        named = {
            'image to track': self.to_track_s,
            'question to first token': self.first_s,
            'question to end': self.end_s,
            'cancel to stop': self.stop_s,
        }
        return [
            {'latency': name, 'count': len(taken)}
            | {f'p{share} ms': round(float(np.percentile(taken, share)) * 1e3) for share in (50, 95) if taken}
            for name, taken in named.items()
        ]


def long_clip(folder: Path, source: str, *, size: tuple[int, int], frames: int) -> str:
    """A folder of so many images of (width, height); played once, the camera knows how many it has sent."""
    folder.mkdir()
    images = [frame.image for frame in open_clip(source)]
    for number, image in enumerate(images):
        cv2.imwrite(
            str(folder / f'{number:06d}.jpg'), cv2.cvtColor(cv2.resize(image, size), cv2.COLOR_RGB2BGR)
        )
    # To and fro, so that nothing jumps.
    order = [*range(len(images)), *range(len(images) - 2, 0, -1)]
    for number in range(len(images), frames):
        os.symlink(f'{order[number % len(order)]:06d}.jpg', folder / f'{number:06d}.jpg')
    return str(folder)


class Camera:
    """Hears when images come back as tracks, and how many the node says have arrived and were dropped."""

    def __init__(self, stage: Stage, heard: Heard) -> None:
        self.arrived = self.dropped = 0
        self._heard = heard
        self._clock = stage.robot.node.get_clock()
        node = stage.robot.node
        node.create_subscription(TrackedObjectArray, 'objects', self._on_objects, qos.results())
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def _on_objects(self, message: TrackedObjectArray) -> None:
        late_ns = self._clock.now().nanoseconds - to_ns(message.header.stamp)
        self._heard.to_track_s.append(late_ns / NANOSECONDS)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for entry in message.status:
            if entry.name == 'pixelrefer_node: images':
                values = {pair.key: pair.value for pair in entry.values}
                self.arrived = int(values.get('arrived', 0))
                self.dropped = int(values.get('dropped for a newer one', 0))


def ask_on_and_on(heard: Heard, ends_s: float, pause_s: float) -> None:
    """One client: a question, its answer, the next; now and then it changes its mind."""
    with PixelReferClient(timeout_s=ANSWER_S) as robot:
        number = 0
        while time.monotonic() < ends_s:
            number += 1
            try:
                _ask_once(robot, heard, QUESTIONS[number % len(QUESTIONS)], number % CANCEL_EVERY == 0)
            except PixelReferError as error:
                heard.ends[error.code.name] += 1
            time.sleep(pause_s)


def _ask_once(robot: PixelReferClient, heard: Heard, question: str, changes_its_mind: bool) -> None:
    asked_s = time.monotonic()
    stream = robot.stream([OBJECT], question, options=ANSWER, timeout_s=ANSWER_S)
    pieces = iter(stream)
    if next(pieces, None) is not None:
        heard.first_s.append(time.monotonic() - asked_s)
    if changes_its_mind:
        cancelled_s = time.monotonic()
        stream.cancel()
        stream.wait()
        heard.stop_s.append(time.monotonic() - cancelled_s)
        heard.ends['CANCELED' if stream.error else 'NONE'] += 1
    else:
        stream.wait()
        heard.end_s.append(time.monotonic() - asked_s)
        heard.ends['NONE'] += 1


def endure(
    stage: Stage, clip: str, *, frames: int, rate_hz: float, clients: int, pause_s: float
) -> dict[str, Any]:
    """Play a clip of so many frames once while so many clients ask; return what it did to everybody."""
    heard = Heard()
    stage.robot.reset()
    camera = Camera(stage, heard)
    stage.stop('camera_node')
    mark = stage.mark('camera_node')
    wait_for(lambda: camera.arrived, 'diagnostics')
    wait_for(lambda: 'nobody publishes' in stage.robot.status.reason, 'the end of the camera')
    before, dropped = camera.arrived, camera.dropped
    stage.start_camera(source=clip, loop=False, rate_hz=rate_hz, wait_for_subscribers=1)
    stage.ready()
    begun_s = time.monotonic()
    seconds = frames / rate_hz
    # Until shortly before the camera ends, so that nobody asks into an empty window.
    asking = [
        threading.Thread(target=ask_on_and_on, args=(heard, begun_s + seconds, pause_s))
        for _ in range(clients)
    ]
    sampler = Sampler(stage)
    for thread in asking:
        thread.start()
    end = f'after {frames} frames'
    # A busy machine may be slower than the rate.
    wait_for(
        lambda: sampler.sample() or end in stage.log_since(mark, 'camera_node'), end, 3 * seconds + 120.0
    )
    played_s = time.monotonic() - begun_s
    for thread in asking:
        thread.join(2 * ANSWER_S)
        if thread.is_alive():
            raise HangError('a client waits for ever')
    wait_for(
        lambda: 'nobody publishes' in stage.robot.status.reason or not stage.robot.status.ready, 'the end'
    )
    arrived = camera.arrived - before
    return {
        'clients': clients,
        'minutes': round(played_s / 60, 2),
        'images sent': frames,
        'sent per s': round(frames / played_s, 1),
        'lost on the way': frames - arrived,
        'replaced by a newer one': camera.dropped - dropped,
        'tracked': len(heard.to_track_s),
        'questions': dict(heard.ends),
        'latencies': heard.percentiles(),
        **sampler.report(),
    }


class Sampler:
    """Looks at the processes from time to time."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._begun_s = time.monotonic()
        self._last_s = 0.0
        self._samples: list[tuple[float, float]] = []
        self._first = {name: self._usage(name) for name in ('pixelrefer_node', 'camera_node', 'clients')}
        self._newest = dict(self._first)

    def sample(self) -> None:
        """Note what the processes use, if it is time."""
        now_s = time.monotonic()
        if now_s - self._last_s < SAMPLE_S:
            return
        self._last_s = now_s
        self._newest = {name: self._usage(name) for name in self._first}
        self._samples.append(((now_s - self._begun_s) / 60, self._newest['pixelrefer_node'].rss_mb))

    def report(self) -> dict[str, Any]:
        """Slope of the node's memory after the warm-up, and the share of a core that each process took."""
        taken_s = self._last_s - self._begun_s
        minutes, rss_mb = np.array(self._samples).T
        settled = minutes >= WARM_SHARE * minutes[-1]
        slope, _ = np.polyfit(minutes[settled], rss_mb[settled], 1)
        return {
            'node MB': round(float(rss_mb[-1]), 1),
            'node MB per 10 minutes': round(float(slope) * 10, 2),
            'node threads': self._newest['pixelrefer_node'].threads,
            'cores': {
                name: round((self._newest[name].cpu_s - first.cpu_s) / taken_s, 2)
                for name, first in self._first.items()
            },
        }

    def _usage(self, name: str) -> Any:
        return usage_of(os.getpid()) if name == 'clients' else self._stage.usage(name)
