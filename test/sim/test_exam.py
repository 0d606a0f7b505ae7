"""The demo's examination: a scene in which something happens, questions of every kind, marks that are fair."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pixelrefer_core.clip import open_clip
from pixelrefer_core.clip_objects import clip_prompts
from pixelrefer_core.masks import mask_box
from pixelrefer_sim import demo_tabletop
from pixelrefer_sim.demo_tabletop import OBJECT_IDS, load_exam, read_future, render_scene, true_mask
from pixelrefer_sim.exam import QUESTIONS, is_right, make_exam
from pixelrefer_sim.generate import FIRST_SEED
from pixelrefer_sim.questions.question import SimQuestion
from pixelrefer_sim.record import FUTURE_S, HEIGHT, INSTANTS, RATE_HZ, WIDTH, WINDOW_FRAMES

from .clips_by_hand import clip, thing

ROOT = Path(__file__).parents[2]
CLIP = ROOT / 'config' / 'demo_tabletop'
SCENE = 3


@pytest.fixture(scope='module')
def exam():
    return load_exam(CLIP)


def question(answer: str, classes: tuple[str, ...] = ()) -> SimQuestion:
    return SimQuestion('colour', 'colour', 'open', 'Basic', ('object0',), 'What?', answer, answer, classes)


# --- the shipped clip ---


def test_the_shipped_clip_is_small_and_of_a_seed_that_no_other_split_has(exam):
    assert sum(file.stat().st_size for file in CLIP.rglob('*') if file.is_file()) < 700_000
    assert exam.view.record.split == 'demo'
    assert exam.view.record.seed >= FIRST_SEED['demo'] == max(FIRST_SEED.values())


def test_the_camera_plays_up_to_the_questions_and_no_further(exam):
    frames = list(open_clip(CLIP))
    assert len(frames) == exam.end + 1
    assert {frame.image.shape for frame in frames} == {(HEIGHT, WIDTH, 3)}
    assert len(exam.view.frames) == WINDOW_FRAMES
    assert len(list((CLIP / 'future').iterdir())) == INSTANTS - len(frames)
    last = exam.end + round(FUTURE_S * RATE_HZ)
    assert read_future(CLIP, last).shape == (HEIGHT, WIDTH, 3)


def test_three_objects_are_pointed_at_by_a_box_by_points_and_by_a_mask(exam):
    boxed, dotted, masked = clip_prompts(CLIP, height=HEIGHT, width=WIDTH)
    assert tuple(prompt.object_id for prompt in (boxed, dotted, masked)) == OBJECT_IDS
    masks = [true_mask(exam.view.record, name, 0) for name in exam.objects]
    assert boxed.box_xyxy == mask_box(masks[0])
    assert len(dotted.points) == 3
    assert all(masks[1][int(y), int(x)] for x, y in dotted.points)
    assert (masked.mask == masks[2]).all()


def test_what_is_asked_about_the_shipped_clip_is_what_its_pictures_show(exam):
    # Read off the frames and the events by a person.
    truths = {
        'phrase': 'a small blue cone',
        'category': 'ring',
        'colour': 'white',
        'position': 'in the middle',
        'bigger': 'the first',
        'doing': 'It is sliding to the right.',
        'moving': 'No.',
        'before': 'It stood still.',
        'why': 'The rod pushed it.',
        'next': 'It will hit another object.',
        'will_hit_it': 'Yes.',
    }
    found = {item.question.topic: item.question.answer for item in exam.questions}
    assert {topic: found.get(topic) for topic in truths} == truths
    actor, struck, _ = exam.objects
    hits = [e for e in exam.view.record.events if (e.kind, e.subject, e.other) == ('hit', actor, struck)]
    assert [exam.view.end_s < event.start_s < exam.view.end_s + FUTURE_S for event in hits] == [True]


# --- any examination ---


def test_a_dozen_questions_of_many_kinds_come_from_what_is_there_to_what_will_be(exam):
    kinds = [item.question.kind for item in exam.questions]
    assert len(kinds) == QUESTIONS == 12
    assert len(set(kinds)) >= 8
    assert kinds[-2:] == ['future', 'future']
    assert {item.service for item in exam.questions} == {'describe', 'ask', 'predict'}
    unseen = [item for item in exam.questions if 'phrasing' in item.question.held_out]
    assert len(unseen) == 2
    assert all(name in exam.objects for item in exam.questions for name in item.question.objects)


def test_the_same_record_is_asked_about_in_the_same_words(exam):
    again = make_exam(exam.view.record)
    assert [item.question.text for item in again.questions] == [item.question.text for item in exam.questions]


def test_a_scene_in_which_nothing_happens_is_no_examination():
    still = [(0.0, 0.2 * place, 0.0) for place in range(3)]
    record = clip({thing(f'object{k}', 'box', 'red'): [still[k]] for k in range(3)}, end=20)
    assert make_exam(record) is None


def test_a_folder_that_is_no_simulated_clip_has_no_examination(tmp_path):
    assert load_exam(tmp_path) is None


@pytest.mark.parametrize(
    ('text', 'right'),
    [
        ('red', True),
        ('Red.', True),
        ('It is red.', True),
        ('blue', False),
        ('red or blue', False),
        ('', False),
    ],
)
def test_an_answer_is_right_when_it_names_the_true_class_alone(text, right):
    assert is_right(question('red', ('red', 'blue')), text) is right


def test_free_text_is_right_word_for_word():
    truth = question('A small red ball, on the left of the video.')
    assert is_right(truth, 'a small red ball on the left of the video')
    assert not is_right(truth, 'A small red ball.')


# --- rendering ---


def test_where_nothing_can_be_rendered_it_is_said_what_to_do(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'pixelrefer_sim.demo_tabletop', '--output', tmp_path / 'scene'],
        capture_output=True, text=True, check=False,
        env=os.environ | {'MUJOCO_GL': 'nothing', 'PYTHONPATH': str(ROOT / 'model')},
    )  # fmt: skip
    assert done.returncode == 1
    assert 'scenes cannot be rendered here' in done.stderr
    assert 'docs/troubleshooting.md' in done.stderr


def test_scenes_in_which_nothing_happens_are_passed_over(tmp_path, monkeypatch):
    tried = []

    def dull(seed: int, folder: Path) -> None:
        folder.mkdir()
        tried.append(seed)

    monkeypatch.setattr(demo_tabletop, '_render', dull)
    monkeypatch.setattr(demo_tabletop, 'make_exam', lambda _: None)
    with pytest.raises(demo_tabletop.UnsupportedError, match='take another number'):
        render_scene(2, tmp_path / 'scene')
    assert tried == list(range(FIRST_SEED['demo'] + 200, FIRST_SEED['demo'] + 300))


@pytest.mark.slow
def test_the_shipped_clip_is_what_its_number_renders(tmp_path, exam):
    try:
        folder = render_scene(SCENE, tmp_path / 'scene')
    except demo_tabletop.UnsupportedError as error:
        pytest.skip(f'MuJoCo cannot render here: {error}')
    again = load_exam(folder)
    assert again.view.record.events == exam.view.record.events
    assert again.view.record.poses == exam.view.record.poses
    assert (folder / 'objects.json').read_text() == (CLIP / 'objects.json').read_text()
    ours, theirs = (list(open_clip(path)) for path in (folder, CLIP))
    assert len(ours) == len(theirs)
    differences = [np.abs(a.image.astype(int) - b.image).mean() for a, b in zip(ours, theirs, strict=True)]
    assert max(differences) < 2
