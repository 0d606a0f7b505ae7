"""The demo does what the README promises, and the shipped clip is tracked as its ground truth says."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import cv2
import pytest

from pixelrefer_core.sheet import RIGHT, WRONG

from .conftest import DEMO_CLIP, ROOT

pytestmark = pytest.mark.e2e
WEIGHTS = ROOT / 'model' / 'weights' / 'nano'


def play(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, '-m', 'pixelrefer_ros.demo', '--output', tmp_path / 'out', *arguments],
        capture_output=True, text=True, timeout=280, check=False, cwd=tmp_path, env=os.environ,
    )  # fmt: skip


def pixels(sheet, colour) -> int:
    return int((sheet == colour[::-1]).all(axis=-1).sum())


@pytest.mark.slow
@pytest.mark.timeout(300)  # a busy machine
def test_the_demo_answers_its_questions_and_saves_a_contact_sheet(tmp_path):
    missing = [name for name in ('sam2_nano', 'pixelrefer_lite_nano') if not (WEIGHTS / name).is_dir()]
    if missing:
        pytest.skip(f'there are no trained weights {" and ".join(missing)} in {WEIGHTS}')
    done = play(tmp_path)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '12 of 12 questions answered' in done.stdout
    assert re.search(r'^\d+ of 12 answers right$', done.stdout, re.MULTILINE)
    # Each answer rests on the window that the model was trained on: six frames of the second before 1.8 s.
    assert done.stdout.count('(6 frames 0.8-1.8 s') == 12
    overlaps = re.search(
        r'tracking, .*: obj_1 ([\d.]+), obj_2 ([\d.]+), obj_3 ([\d.]+) over 18 frames', done.stdout
    )
    assert min(float(overlap) for overlap in overlaps.groups()) > 0.5
    sheet = cv2.imread(str(tmp_path / 'out' / 'contact_sheet.png'))
    assert sheet.shape[1] == 2000
    assert pixels(sheet, RIGHT) > 1000


@pytest.mark.slow
@pytest.mark.timeout(300)  # a busy machine
@pytest.mark.xfail(reason='the shipped PixelRefer-Lite-nano is an early checkpoint; see its model card')
def test_ten_of_the_twelve_answers_are_right(tmp_path):
    done = play(tmp_path, '--require', '10')
    print(done.stdout)
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(300)  # a busy machine
def test_objects_that_are_named_in_words_are_found_and_followed(tmp_path):
    done = play(tmp_path, '--model', 'random-nano', '--tracker', 'flow', '--words')
    assert done.returncode == 0, done.stdout + done.stderr
    overlaps = re.search(r'obj_1 ([\d.]+), obj_2 ([\d.]+), obj_3 ([\d.]+) over 18 frames', done.stdout)
    assert min(float(overlap) for overlap in overlaps.groups()) > 0.5


def test_words_without_a_simulated_scene_are_refused(tmp_path):
    done = play(tmp_path, '--words', '--box', '1,1,9,9')
    assert done.returncode == 2
    assert '--words names the objects of a simulated scene' in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)  # a busy machine
def test_wrong_answers_are_marked_and_fail_a_demo_that_requires_right_ones(tmp_path):
    done = play(tmp_path, '--model', 'random-nano', '--tracker', 'flow', '--require', '10')
    assert done.returncode == 1, done.stdout + done.stderr
    for service in ('/describe_object', '/ask_objects', '/predict_event'):
        assert service in done.stdout
    assert 'WRONG, in truth: a small blue cone' in done.stdout
    assert 'The weights of this model are random' in done.stdout
    assert 'failed: at least 10 answers must be right' in done.stdout
    # Without weights the masks are good all the same, and every frame up to the questions was tracked.
    overlaps = re.search(r'obj_1 ([\d.]+), obj_2 ([\d.]+), obj_3 ([\d.]+) over 18 frames', done.stdout)
    assert min(float(overlap) for overlap in overlaps.groups()) > 0.8
    assert done.stdout.count('(6 frames 0.8-1.8 s') == 12
    sheet = cv2.imread(str(tmp_path / 'out' / 'contact_sheet.png'))
    assert pixels(sheet, WRONG) > 1000


@pytest.mark.slow
@pytest.mark.timeout(300)  # a busy machine
def test_a_clip_of_the_user_is_asked_about_without_marks(tmp_path):
    done = play(tmp_path, '--clip', DEMO_CLIP, '--model', 'random-nano', '--tracker', 'flow')
    assert done.returncode == 0, done.stdout + done.stderr
    assert '12 of 12 questions answered' in done.stdout
    assert 'answers right' not in done.stdout
    assert 'WRONG' not in done.stdout


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
