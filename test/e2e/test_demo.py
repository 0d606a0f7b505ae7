"""The demo does what the README promises, and the shipped clip is tracked as its ground truth says."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2
import pytest

from .conftest import DEMO_CLIP

pytestmark = pytest.mark.e2e


@pytest.mark.slow
def test_the_demo_answers_a_dozen_questions_and_saves_a_contact_sheet(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'pixelrefer_ros.demo', '--output', tmp_path / 'out'],
        capture_output=True, text=True, timeout=110, check=False, cwd=tmp_path, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert '12 of 12 questions answered' in done.stdout
    assert 'The weights of this model are random' in done.stdout
    for service in ('/describe_object', '/ask_objects', '/predict_event'):
        assert service in done.stdout
    sheet = cv2.imread(str(tmp_path / 'out' / 'contact_sheet.png'))
    assert sheet.shape[1] >= 1200
    assert sheet.std() > 20


def test_a_demo_of_a_clip_that_is_not_there_says_so_and_fails(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'pixelrefer_ros.demo', '--clip', '/no/such/clip', '--output', tmp_path],
        capture_output=True, text=True, timeout=60, check=False, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 2
    assert '/no/such/clip does not exist' in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'kind', 'least'),
    # One point on a box whose faces differ in colour finds a face, not the box.
    [('ball', 'mask', 0.85), ('mug', 'box', 0.8), ('box', 'point', 0.4)],
)
def test_an_object_of_the_shipped_clip_is_followed(session, name, kind, least):
    outcome = session.track(DEMO_CLIP, DEMO_CLIP / 'truth' / name, kind, play_hz=5.0)
    print(f'{name} by {kind}: J {outcome.region:.3f}, F {outcome.boundary:.3f} over {outcome.frames} frames')
    assert (outcome.region + outcome.boundary) / 2 > least
    stamps = [stamp.sec + 1e-9 * stamp.nanosec for stamp in outcome.answer.frame_stamps]
    assert stamps == sorted(stamps)
    assert stamps[0] == pytest.approx(1.0, abs=0.01)
