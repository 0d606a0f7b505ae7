"""The command line does what its help says, prints one JSON line for programs, and explains wrong input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from pixelrefer_core.cli.main import VERBS, main

DEMO_CLIP = Path(__file__).resolve().parents[2] / 'config' / 'demo_clip'


def last_json(text: str) -> dict:
    return json.loads(text.splitlines()[-1])


def test_help_lists_every_verb_without_loading_a_model():
    code = """
import sys
from pixelrefer_core.cli.main import main
try:
    main(['--help'])
finally:
    assert 'torch' not in sys.modules
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for verb, text in VERBS.items():
        assert verb in done.stdout
        assert text.split(',')[0].split()[0] in done.stdout


@pytest.mark.parametrize('verb', VERBS)
def test_every_verb_explains_its_options(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, '--help'])
    assert ended.value.code == 0
    assert '--json' in capsys.readouterr().out


@pytest.mark.parametrize('arguments', [[], ['nope'], ['--'], ['--json', 'ask'], ['flops', '--nope']])
def test_what_is_no_verb_or_option_ends_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert 'usage: pixelrefer' in capsys.readouterr().err


def test_tracking_the_shipped_clip_scores_well_and_saves_a_sheet(tmp_path, capsys):
    sheet = tmp_path / 'sheet.png'
    status = main(
        ['track', str(DEMO_CLIP), '--masks', str(DEMO_CLIP / 'truth'), '--output', str(sheet), '--json']
    )
    text = capsys.readouterr().out
    figures = last_json(text)
    assert status == 0
    assert set(figures) == {'J', 'F', 'J&F', 'fps', 'frames', 'rss_slope_mb_per_1000_frames'}
    assert figures['frames'] == 51
    assert figures['J&F'] > 0.75
    assert 'ball' in text
    assert cv2.imread(str(sheet)).shape[1] >= 1200


def test_asking_about_the_shipped_clip_prints_the_answer_and_its_frames(capsys):
    status = main(
        ['ask', str(DEMO_CLIP), '--frames', '15', 'Is <object1> red?',
         '--model.path', 'random-nano', '--model.device', 'cpu', '--generation.max_new_tokens', '4', '--json']
    )  # fmt: skip
    printed = capsys.readouterr()
    answer = last_json(printed.out)
    assert status == 0
    assert answer['objects'] == ['ball', 'mug', 'box']
    assert answer['question'] == 'Is <object1> red?'
    assert answer['frame_stamps_s'] == [0.0, 1.0]
    assert 'random weights, the words have no meaning' in printed.err
    assert answer['model_trained'] is False


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['track', '/no/such/clip', '--masks', str(DEMO_CLIP / 'truth')], '/no/such/clip does not exist'),
        (['ask', str(DEMO_CLIP), '--model.path', '/no/such/model'], '/no/such/model'),
        (
            ['ask', str(DEMO_CLIP), '--window.max_frames', '999'],
            'window.max_frames must lie in [1, 180] frames',
        ),
    ],
)
def test_wrong_input_ends_with_status_2_and_a_sentence(arguments, message, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert 'Traceback' not in printed.err


@pytest.mark.parametrize('verb', [['track', 'clip', '--masks', 'masks'], ['ask', 'clip', 'what is it?']])
def test_an_output_that_names_no_picture_is_refused_before_any_work(verb, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*verb, '--output', 'folder/sheet'])
    assert stopped.value.code == 2
    assert 'folder/sheet names no picture: end it in .png' in capsys.readouterr().err
