"""Each suite turns answers and a judge's replies into its figures, worked out by hand, or says what it lacks."""

import json
from pathlib import Path

import numpy as np
import pytest

from pixelrefer_train.evaluation import captions
from pixelrefer_train.evaluation.item import Answered, EvaluationItem, Prediction
from pixelrefer_train.evaluation.judged import ASPECTS
from pixelrefer_train.evaluation.scoring import Tools
from pixelrefer_train.evaluation.suites import SUITES


class Oracle:
    """Replies with what was prepared, in turn, and remembers what it was asked."""

    name = 'oracle'

    def __init__(self, *replies: str) -> None:
        self.replies, self.asked = list(replies), []

    def ask(self, system: str, user: str) -> str:
        self.asked.append(user)
        return self.replies.pop(0)


def answered(*pairs: tuple[str, str], **fields: object) -> list[Answered]:
    return [
        Answered(
            EvaluationItem(str(number), 'x', '?', (), references=(right,), **fields),
            Prediction(str(number), said),
        )
        for number, (said, right) in enumerate(pairs)
    ]


def marks(*values: float) -> str:
    return json.dumps(dict(zip(ASPECTS, values, strict=True)))


def test_descriptions_get_the_means_of_the_marks_that_could_be_read():
    judge = Oracle(marks(5, 4, 3, 2), 'excellent!', marks(3, 2, 1, 0))
    found = SUITES['videorefer-d'].score(answered(*[('a', 'b')] * 3), Tools(judge=judge))
    assert [found.texts[name] for name in ASPECTS] == [4, 3, 2, 1]
    assert (found.texts['total'], found.texts['unread replies']) == (2.5, 1)


def test_clair_counts_replies_that_cannot_be_read_as_nothing():
    judge = Oracle('{"score": 90}', 'sure')
    found = SUITES['ref-l4-clair'].score(answered(('a', 'b'), ('c', 'd')), Tools(judge=judge))
    assert found.texts == {'CLAIR': pytest.approx(0.45), 'unread replies': 1}


def test_ferret_hands_the_judge_facts_question_and_both_answers(tmp_path: Path):
    (tmp_path / 'r.jsonl').write_text(json.dumps({'question_id': 0, 'text': 'to sit'}))
    (tmp_path / 'c.jsonl').write_text(json.dumps({'image': 'b.png', 'text': 'a chair at a table'}))
    judge = Oracle('6 8\nfine')
    items = answered(('to eat', ''), extra={'picture': 'b.png', 'question': 'What for?'})
    tools = Tools(judge=judge, references=tmp_path / 'r.jsonl', context=tmp_path / 'c.jsonl')
    assert SUITES['ferret'].score(items, tools).texts['ratio'] == pytest.approx(75.0)
    (asked,) = judge.asked
    places = [asked.index(text) for text in ('a chair at a table', 'What for?', 'to eat', 'to sit')]
    assert places == sorted(places)


def test_dlc_asks_about_the_objects_that_have_a_quiz(tmp_path: Path):
    question = {'question': 'What colour?', 'choices': [['White', 1], ['Black', -1]], 'type': 'positive'}
    (tmp_path / 'qa.json').write_text(json.dumps({'1': [question]}))
    (tmp_path / 'class_names.json').write_text(json.dumps({'1': 'mug'}))
    judge = Oracle('Yes', 'B')
    items = answered(('a', ''), ('a black mug', ''))
    found = SUITES['dlc'].score(items, Tools(judge=judge, data=tmp_path / 'annotations.json'))
    assert found.texts['Pos'] == -1.0
    assert all('a black mug' in text for text in judge.asked)


@pytest.mark.parametrize('name', ['videorefer-d', 'ref-l4-clair', 'dlc', 'ferret'])
def test_without_a_judge_its_scores_are_left_out(name):
    found = SUITES[name].score(answered(('a', 'b')), Tools())
    assert not found.texts
    assert 'judge' in ' '.join(found.missing.values())


def test_ssim_stands_beside_that_of_the_constant_answer():
    vectors = {'cup': (1.0, 0.0), 'mug': (0.6, 0.8), 'dog': (0.0, 1.0)}

    def embed(texts):
        return np.array([vectors[text] for text in texts], np.float32)

    found = SUITES['lvis'].score(answered(('mug', 'cup'), ('dog', 'cup'), ('dog', 'dog')), Tools(embed=embed))
    assert found.texts['SSim'] == pytest.approx((0.6 + 0 + 1) / 3)
    assert found.constant['SSim'] == pytest.approx((1 + 1 + 0) / 3)  # always "cup"
    assert found.texts['SIoU'] == pytest.approx(1 / 3)


@pytest.fixture
def no_java(monkeypatch):
    if captions.find_spec('pycocoevalcap') is None:
        pytest.skip('pycocoevalcap is not installed (extra "eval")')
    monkeypatch.setattr(captions, 'has_java', lambda: False)


@pytest.mark.usefixtures('no_java')
def test_long_captions_of_ref_l4_are_condensed_where_there_is_a_judge():
    pairs = [('there is a red cup on it', 'red cup'), ('black dog', 'black dog')]
    judge = Oracle('red cup')
    found = SUITES['ref-l4'].score(answered(*pairs), Tools(judge=judge))
    assert found.texts['BLEU-1'] == pytest.approx(1.0, abs=1e-6)
    assert judge.asked == ['there is a red cup on it']
    plain = SUITES['ref-l4'].score(answered(*pairs), Tools())
    assert plain.texts['BLEU-1'] == pytest.approx(4 / 9, abs=1e-6)  # 4 of 9 words
    assert plain.missing.keys() == {'condensed captions', 'METEOR'}


@pytest.mark.usefixtures('no_java')
def test_captions_stand_beside_a_constant_sentence():
    found = SUITES['vg'].score(answered(('a red cup', 'a red cup'), ('a dog', 'a dog')), Tools())
    assert found.texts['ROUGE-L'] == pytest.approx(1.0, abs=1e-6)
    assert found.constant['ROUGE-L'] < 1.0


def test_without_the_caption_package_scores_are_left_out(monkeypatch):
    monkeypatch.setattr(captions, 'find_spec', lambda name: None)
    found = SUITES['hc-stvg'].score(answered(('a', 'b')), Tools())
    assert not found.texts
    assert 'pip install' in found.missing['caption scores']
