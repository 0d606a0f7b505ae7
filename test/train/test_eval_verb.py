"""``pixelrefer eval`` from annotation file to JSON line, with random weights; runs stop and go on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.cli.main import main
from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.types import Frame, GenerationOptions, ObjectView
from pixelrefer_train.evaluation import suites
from pixelrefer_train.evaluation.ablation import geometry_only, shuffle_masks
from pixelrefer_train.evaluation.answering import Answerer, fingerprint
from pixelrefer_train.evaluation.item import Answered, Appearance, EvaluationItem, Prediction
from pixelrefer_train.evaluation.media import Shown
from pixelrefer_train.evaluation.prediction_file import PredictionFile
from pixelrefer_train.evaluation.scoring import Tools, score_closed, score_sim

SIDE = 56


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """VideoRefer-Bench-Q of three questions about a clip of three frames."""
    (tmp_path / 'clip').mkdir()
    noise = np.random.default_rng(0)
    for index in range(3):
        cv2.imwrite(
            str(tmp_path / 'clip' / f'{index}.png'), noise.integers(0, 255, (SIDE, SIDE, 3), np.uint8)
        )
    left = [[4, 4, 24, 4, 24, 30, 4, 30]]
    right = [[30, 20, 50, 20, 50, 50, 30, 50]]
    rows = [('Basic Questions', '(A) cup'), ('Basic Questions', '(B) dog'), ('Future Predictions', '(A) cup')]
    questions = [
        {
            'video': 'clip', 'type': kind, 'Answer': answer, 'frame_idx': '2', 'options': ['(A) cup', '(B) dog'],
            'Question': 'Is <object0><region> left of <object1><region>?',
            'annotation': [{k: {'segmentation': left} for k in '02'}, {'2': {'segmentation': right}}],
        }
        for kind, answer in rows
    ]  # fmt: skip
    (tmp_path / 'q.json').write_text(json.dumps(questions))
    return tmp_path


def evaluate(capsys, *arguments: str) -> dict:
    status = main(
        ['eval', *arguments, '--model', 'random-nano', '--device', 'cpu', '--max-new-tokens', '3', '--json']
    )
    printed = capsys.readouterr()
    assert status == 0, printed.err
    return json.loads(printed.out.splitlines()[-1])


def test_a_benchmark_runs_from_its_file_to_a_table_and_a_json_line(bench, capsys):
    found = evaluate(capsys, '--suite', 'videorefer-q', '--data', str(bench / 'q.json'))
    assert found['types'].keys() == {'Basic Questions', 'Future Predictions'}
    basic = found['types']['Basic Questions']
    assert (basic['count'], basic['majority_rate'], basic['chance']) == (2, 0.5, 0.5)
    assert {'accuracy', 'balanced_accuracy'} <= basic.keys()
    assert (found['seed'], found['split'], found['model_trained']) == (0, None, False)
    assert (found['count'], found['failures']) == (3, 0)


def test_probabilities_decide_and_are_kept(bench, capsys):
    file = bench / 'run.jsonl'
    arguments = ['--suite', 'videorefer-q', '--data', str(bench / 'q.json'), '--predictions', str(file)]
    found = evaluate(capsys, *arguments, '--decide', 'choose')
    _, *lines = map(json.loads, file.read_text().splitlines())
    assert len(lines) == 3
    for line in lines:
        assert sum(line['probabilities'].values()) == pytest.approx(1.0)
    assert found['types']['Basic Questions']['undecided'] == 0.0
    # The two basic questions differ in nothing but what is right.
    assert found['types']['Basic Questions']['accuracy'] == 0.5


def test_a_run_that_stopped_goes_on_and_asks_nothing_twice(bench, capsys, monkeypatch):
    file = bench / 'run.jsonl'
    arguments = ['--suite', 'videorefer-q', '--data', str(bench / 'q.json'), '--predictions', str(file)]
    first = evaluate(capsys, *arguments)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(''.join(lines[:3]) + lines[3][:20])  # killed while it wrote the last one
    asked = []
    answer = Answerer.answer
    monkeypatch.setattr(
        Answerer, 'answer', lambda self, item: asked.append(item.item_id) or answer(self, item)
    )
    assert evaluate(capsys, *arguments) == first
    assert asked == ['2']


def test_predictions_of_another_run_are_not_taken(tmp_path):
    file = PredictionFile(tmp_path / 'run.jsonl', {'suite': 'vg', 'weights': 1.5})
    file.keep(Prediction('0', 'a cup'))
    assert PredictionFile(tmp_path / 'run.jsonl', {'suite': 'vg', 'weights': 1.5}).done['0'].text == 'a cup'
    with pytest.raises(InvalidRequestError, match=r'weights was 1\.5, is 2\.5'):
        PredictionFile(tmp_path / 'run.jsonl', {'suite': 'vg', 'weights': 2.5})


def test_the_fingerprint_tells_weights_apart():
    model = load_model('random-nano', device='cpu')
    before = fingerprint(model)
    next(model.language_model.parameters()).data += 1.0
    assert fingerprint(model) != before


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--suite', 'videorefer-q'], '--data'),
        (['--suite', 'vg', '--data', '/no/such.json'], '/no/such.json'),
    ],
)
def test_what_is_missing_is_said_before_the_model_is_loaded(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr('pixelrefer_core.checkpoint.load_model', None)
    assert main(['eval', *arguments]) == 2
    assert message in capsys.readouterr().err


def test_without_the_simulator_the_sim_suite_names_what_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(suites, '_SIMULATOR', 'pixelrefer_sim.no_such_suite')
    assert main(['eval', '--suite', 'sim']) == 2
    assert 'pixelrefer_sim.no_such_suite' in capsys.readouterr().err


def test_pictures_that_are_not_there_stop_the_run(bench, capsys):
    data = str(bench / 'q.json')
    assert main(['eval', '--suite', 'videorefer-q', '--data', data, '--media', '/no/such/folder']) == 2
    assert '/no/such/folder' in capsys.readouterr().err


def test_a_mask_that_cannot_be_read_costs_its_question_alone(bench, capsys):
    questions = json.loads((bench / 'q.json').read_text())
    questions[1]['annotation'][0]['2']['segmentation'] = {'size': [1, 1], 'counts': [1]}
    (bench / 'q.json').write_text(json.dumps(questions))
    status = main(
        [
            'eval',
            '--suite',
            'videorefer-q',
            '--data',
            str(bench / 'q.json'),
            '--max-new-tokens',
            '2',
            '--json',
        ]
    )
    printed = capsys.readouterr().out
    assert status == 0
    assert json.loads(printed.splitlines()[-1])['failures'] == 1
    assert 'MaskSizeMismatchError' in printed


def test_categories_are_scored_without_the_encoder_but_for_ssim(bench, capsys):
    record = {
        'file_name': '0.png',
        'categories': ['cup'],
        'annotations': [{'segmentation': [[4, 4, 40, 4, 40, 40]]}],
    }
    (bench / 'lvis.json').write_text(json.dumps([record]))
    found = evaluate(
        capsys, '--suite', 'lvis', '--data', str(bench / 'lvis.json'), '--media', str(bench / 'clip'),
        '--sentence-encoder', 'nobody/no-such-encoder',
    )  # fmt: skip
    assert found['scores'].keys() == {'SIoU', 'exact'}
    assert found['constant'] == {'SIoU': 1.0, 'exact': 1.0}  # the constant answer is the only reference
    assert 'SSim' in found['missing']


# --- the simulator's interface ---


def sim_items() -> list[EvaluationItem]:
    noise = np.random.default_rng(1)
    frames = tuple(Frame(noise.integers(0, 255, (SIDE, SIDE, 3), np.uint8), round(k * 2e8)) for k in range(2))
    masks = np.zeros((2, SIDE, SIDE), bool)
    masks[0, 5:25, 5:25] = masks[1, 30:50, 20:50] = True
    seen = [tuple(Appearance(frame, mask) for frame in range(2)) for mask in masks]
    both = 'There are 2 objects in the video: <region>, <region>.\nWhich is larger?'
    one = 'There is one object in the video: <region>.\n'
    common = {'frames': frames, 'is_video': True, 'scene': '17'}
    return [
        EvaluationItem(
            '0', 'colour', one + 'What colour?', (seen[0],), expected='red', classes=('red', 'blue'), **common
        ),
        EvaluationItem(
            '1', 'fall', one + 'Will it fall?', (seen[1],), expected='Yes.', classes=('Yes.', 'No.'),
            tags=('texture',), **common,
        ),
        EvaluationItem('2', 'size', both, tuple(seen), expected='first', classes=('first', 'second'), **common),
        EvaluationItem('3', 'caption', one + 'Describe it.', (seen[0],), references=('a red cup',), **common),
    ]  # fmt: skip


@pytest.fixture
def sim_suite(monkeypatch):
    asked = []

    def items(split, seed, samples):
        asked.append((split, seed, samples))
        return iter(sim_items())

    monkeypatch.setattr('pixelrefer_train.evaluation.suites.simulator', lambda: items)
    return asked


def test_the_sim_suite_asks_the_simulator_for_its_items(sim_suite, capsys):
    found = evaluate(
        capsys, '--suite', 'sim', '--split', 'heldout', '--seed', '7', '--samples', '5', '--decide', 'choose'
    )
    assert sim_suite == [('heldout', 7, 5)]
    assert (found['seed'], found['split']) == (7, 'heldout')
    assert found['types'].keys() == {'colour', 'fall', 'size'}
    assert found['held_out'].keys() == {'texture: fall'}
    assert found['scores'].keys() == {'yes/no Brier score', 'yes/no ECE', 'caption SIoU', 'caption exact'}
    assert 'micro accuracy' not in found['scores']


def test_shuffled_masks_leave_questions_about_one_object_out(sim_suite, capsys):
    found = evaluate(capsys, '--suite', 'sim', '--ablate', 'shuffle-masks')
    assert found['types'].keys() == {'size'}
    assert found['ablate'] == 'shuffle-masks'


@pytest.mark.parametrize('model', ['random-nano', 'random-pixelrefer-nano'])
def test_both_variants_answer_and_views_are_encoded_once(model, monkeypatch):
    answerer = Answerer(load_model(model, device='cpu'), options=GenerationOptions(max_new_tokens=2))
    encoded = []
    encode = answerer.model.encode_objects
    monkeypatch.setattr(
        answerer.model, 'encode_objects', lambda views: encoded.extend(views) or encode(views)
    )
    items = sim_items()
    predictions = [answerer.answer(item) for item in items]
    assert [prediction.error for prediction in predictions] == [''] * 4
    assert len(encoded) == 4  # two objects on two frames


def test_taking_away_changes_what_the_model_says_as_it_should():
    model = load_model('random-nano', device='cpu')
    colour, _, size, _ = sim_items()
    options = GenerationOptions(max_new_tokens=2)

    def shares(item: EvaluationItem, ablation: str) -> list[float]:
        answerer = Answerer(model, options=options, probabilities=True, ablation=ablation)
        return list(answerer.answer(item).probabilities.values())

    darker = EvaluationItem(**{**vars(colour), 'frames': tuple(
        Frame(frame.image // 2, frame.stamp_ns) for frame in colour.frames)})  # fmt: skip
    assert shares(colour, '') != shares(darker, '')
    assert shares(colour, 'geometry-only') == shares(darker, 'geometry-only')
    assert shares(colour, 'question-only') == shares(darker, 'question-only')
    assert shares(size, 'shuffle-masks') != shares(size, '')


def test_shuffling_moves_masks_on_by_one_and_grey_keeps_them():
    frame = Frame(np.zeros((2, 2, 3), np.uint8), 5)
    views = [(ObjectView(frame, np.array([[k, 0], [0, 0]], bool)),) for k in range(3)]
    assert shuffle_masks(Shown(tuple(views))).objects == (views[1], views[2], views[0])
    grey = geometry_only(Shown(tuple(views)))
    assert {view.frame.image.mean() for views in grey.objects for view in views} == {127}
    assert grey.objects[1][0].mask is views[1][0].mask
    assert grey.objects[1][0].frame.stamp_ns == 5


def test_questions_that_could_not_be_answered_count_as_wrong():
    colour = sim_items()[0]
    answered = [
        Answered(colour, Prediction('0', 'red')),
        Answered(colour, Prediction('0', '', error='EmptyPromptError: no pixels')),
    ]
    found = score_closed(answered, Tools())
    assert found.types['colour'].accuracy == 0.5
    assert found.texts['micro accuracy'] == 0.5


def test_free_text_of_the_simulator_stands_beside_a_constant_sentence():
    base = vars(sim_items()[3])
    pairs = [('a red cup', 'a red cup'), ('a red cup', 'a blue cup'), ('a dog', 'a red cup')]
    answered = [
        Answered(EvaluationItem(**{**base, 'references': (right,)}), Prediction('3', said))
        for said, right in pairs
    ]
    found = score_sim(answered, Tools())
    # model: 1, {a, cup} of {a, red, blue, cup}, {a} of {a, dog, red, cup}; constant "a red cup": 1, 1/2, 1
    assert found.texts['caption SIoU'] == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)
    assert found.constant['caption SIoU'] == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert found.texts['caption exact'] == pytest.approx(1 / 3)
