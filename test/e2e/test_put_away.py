"""The example behaviour as a user starts it, on the shipped scene with the shipped model."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from pixelrefer_ros import qos
from pixelrefer_ros.client import PixelReferClient
from pixelrefer_ros.msg import ObjectAnswer

from ..ros.waiting import wait_for
from .conftest import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]  # a busy machine
CLIP = ROOT / 'config' / 'demo_tabletop'
BOXES = {'hammer': (54, 163, 26, 31), 'cone': (135, 144, 28, 22)}
WAIT_S = 200.0
# Whatever the model says of the cue is enough: this is about the answers.
ANY = '0.001'


@pytest.fixture
def robot(processes):
    processes.start(
        'pixelrefer_node', model__path='nano', model__device='cpu', model__threads=1,
        window__max_frames=6, window__duration_s=1.1, window__sample_rate_hz=5.0, watches__off_threshold=0.0,
    )  # fmt: skip
    processes.start('camera_node', source=CLIP, rate_hz=2.0)
    with PixelReferClient(timeout_s=WAIT_S) as client:
        client.wait_until_ready(WAIT_S)
        for name, box in BOXES.items():
            client.add_object(name, box=box)
        yield client
    assert processes.stop('camera_node') == 0, processes.log('camera_node')
    assert processes.stop('pixelrefer_node') == 0, processes.log('pixelrefer_node')


def test_what_is_put_away_is_what_the_node_said_will_fall(robot, tmp_path):
    answers: list[ObjectAnswer] = []
    robot.node.create_subscription(ObjectAnswer, 'answers', answers.append, qos.latched(depth=10))
    options = ['--on', ANY, '--answer-seconds', '200']
    program = [sys.executable, '-m', 'pixelrefer_ros.examples.put_away', *options]
    told = tmp_path / 'told'
    with told.open('w') as sink:
        behaviour = subprocess.Popen(program, stdout=sink, stderr=subprocess.STDOUT, cwd=tmp_path)

    def falling() -> set[str]:
        return {item.object_ids[0] for item in answers if item.text.lower().startswith('yes')}

    def put_away() -> set[str]:
        return set(re.findall(r'^PUT_AWAY (\w+):', told.read_text(), re.MULTILINE))

    try:
        wait_for(
            lambda: {item.object_ids[0] for item in answers} == set(BOXES) and put_away() == falling(), WAIT_S
        )
        if falling() != set(BOXES):  # else there is nothing left to watch
            behaviour.send_signal(signal.SIGINT)
        assert behaviour.wait(WAIT_S) == (0 if falling() == set(BOXES) else 1), told.read_text()
    finally:
        behaviour.kill()
    assert {answer.question for answer in answers} == {'Will <object1> fall off the table?'}
    assert {answer.model for answer in answers} == {robot.status.model}
