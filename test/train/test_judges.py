"""Judges: what they are asked, how replies are read, how scores add up, and what a client does when one is silent."""

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pixelrefer_core.errors import InvalidRequestError, RequestTimeoutError, UnsupportedError
from pixelrefer_train.evaluation import judged
from pixelrefer_train.evaluation.dlc import (
    ObjectScore,
    Question,
    Quiz,
    benchmark_score,
    judge_object,
    object_score,
    parse_choice,
)
from pixelrefer_train.evaluation.judge import ChatJudge, RememberingJudge, judge_from_environment


class Oracle:
    """Replies with what was prepared, in turn, and remembers what it was asked."""

    name = 'oracle'

    def __init__(self, *replies: str) -> None:
        self.replies, self.asked = list(replies), []

    def ask(self, system: str, user: str) -> str:
        self.asked.append(user)
        return self.replies.pop(0)


# --- four aspects ---


def test_four_marks_are_read_and_averaged():
    first = judged.parse_aspects('Here: ' + json.dumps(dict(zip(judged.ASPECTS, (5, 4, 3, 2), strict=True))))
    second = judged.parse_aspects(json.dumps(dict(zip(judged.ASPECTS, (1, 2, 0.5, 2), strict=True))))
    means = judged.mean_aspects([first, second])
    assert [means[name] for name in judged.ASPECTS] == [3.0, 3.0, 1.75, 2.0]
    assert means['total'] == pytest.approx((3 + 3 + 1.75 + 2) / 4)


@pytest.mark.parametrize('mark', [6, -1, '5', None, True])
def test_marks_outside_their_range_are_refused(mark):
    marks = dict.fromkeys(judged.ASPECTS, 3) | {'Appearance Description': mark}
    with pytest.raises(InvalidRequestError, match='Appearance Description'):
        judged.parse_aspects(json.dumps(marks))


def test_replies_without_an_object_are_refused():
    with pytest.raises(InvalidRequestError, match='JSON'):
        judged.parse_aspects('five out of five')


# --- pairs ---


@pytest.mark.parametrize(
    ('reply', 'marks'),
    [
        ('7 8\nbecause', (7, 8)),
        ('7.5, 9', (7.5, 9)),
        ('7', (-1, -1)),
        ('7 8 9', (-1, -1)),
        ('a b', (-1, -1)),
        ('', (-1, -1)),
    ],
)
def test_marks_of_a_pair_are_on_the_first_line(reply, marks):
    assert judged.parse_pair(reply) == marks


def test_the_ratio_is_that_of_mean_marks_with_and_without_unread_replies():
    score = judged.ratio_score([(6.0, 8.0), (3.0, 10.0), (-1.0, -1.0)])
    assert score.ratio == pytest.approx(100 * 9 / 18)
    assert score.official == pytest.approx(100 * 8 / 17)  # the -1 are averaged, too
    assert score.failures == 1
    assert math.isnan(judged.ratio_score([]).ratio)


# --- likeness ---


def test_clair_is_a_hundredth_of_the_score():
    assert judged.parse_clair('{"score": 85, "reason": "both mugs"}') == pytest.approx(0.85)
    with pytest.raises(InvalidRequestError, match='score'):
        judged.parse_clair('{"score": 850}')


def test_the_judge_reads_whole_references():
    _, user = judged.clair_question('a mug', ['a red cup', 'cup'])
    assert '- a red cup\n- cup' in user


def test_captions_of_more_than_five_words_are_condensed():
    assert not judged.is_long('a tall white coffee mug')
    assert judged.is_long('a tall white coffee mug here')


# --- DLC-Bench ---


@pytest.mark.parametrize(
    ('reply', 'index'),
    [
        ('B', 1),
        ('b. Black', 1),
        ('Black.', 1),
        ('It is white', 0),
        ('C. neither white nor black', 2),  # two are contained: the letter decides
        ('first white, then black', 1),  # the last one named
        ('not ment', 2),  # part of one choice
        ('purple', None),
        ('', None),
    ],
)
def test_a_choice_is_read_from_letter_or_text(reply, index):
    assert parse_choice(reply, ('White', 'Black', 'Not mentioned')) == index


def test_an_object_that_was_not_recognised_scores_nothing_above_zero():
    kinds, scores = ['positive', 'positive', 'negative'], [1.0, -0.5, 1.0]
    assert object_score(kinds, scores, recognised=True) == ObjectScore(0.25, 1.0)
    assert object_score(kinds, scores, recognised=False) == ObjectScore(-0.25, 0.0)


def test_objects_without_negative_questions_are_left_out_of_neg():
    score = benchmark_score([ObjectScore(0.5, 1.0), ObjectScore(0.0, None), ObjectScore(0.25, 0.0)])
    assert score == {'Pos': 0.25, 'Neg': 0.5, 'Avg': 0.375}


def test_a_quiz_asks_for_recognition_and_then_every_question():
    quiz = Quiz(
        'mug',
        (
            Question('What colour?', ('White', 'Black'), (1.0, -1.0), 'positive'),
            Question('Is there a spoon?', ('Yes', 'No', 'Not said'), (-1.0, 1.0, 1.0), 'negative'),
        ),
    )
    oracle = Oracle('Yes', 'A', 'no idea at all')
    assert judge_object(oracle, quiz, 'a white mug') == ObjectScore(1.0, 1.0)
    assert 'mug' in oracle.asked[0]
    assert 'A. White\nB. Black' in oracle.asked[1]
    assert judge_object(Oracle('No', 'A', 'C'), quiz, 'a dog') == ObjectScore(0.0, 0.0)


# --- the client ---


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers['Content-Length'])
        self.server.seen.append((self.path, dict(self.headers), json.loads(self.rfile.read(length))))
        status, body = self.server.answers.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        """Keep the output of the tests clean."""


@pytest.fixture
def server():
    with HTTPServer(('127.0.0.1', 0), Handler) as server:
        server.seen, server.answers = [], []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def client(server, waits: list[float]) -> ChatJudge:
    url = f'http://127.0.0.1:{server.server_port}/v1/'
    return ChatJudge(url, 'some-model', 'secret', timeout_s=5.0, wait=waits.append)


REPLY = json.dumps({'choices': [{'message': {'content': 'B'}}]})


def test_the_client_asks_as_the_protocol_says(server):
    server.answers = [(200, REPLY)]
    assert client(server, []).ask('be brief', 'which?') == 'B'
    path, headers, body = server.seen[0]
    assert path == '/v1/chat/completions'
    assert headers['Authorization'] == 'Bearer secret'
    assert body['model'] == 'some-model'
    assert [message['content'] for message in body['messages']] == ['be brief', 'which?']


def test_a_busy_server_is_asked_again_after_longer_and_longer_waits(server):
    server.answers, waits = [(503, ''), (429, ''), (200, REPLY)], []
    assert client(server, waits).ask('', '') == 'B'
    assert waits == [1.0, 2.0]


def test_a_server_that_stays_busy_is_given_up(server):
    server.answers, waits = [(503, '')] * 9, []
    with pytest.raises(RequestTimeoutError, match='503'):
        client(server, waits).ask('', '')
    assert waits == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    'answer', [(401, ''), (200, 'hello'), (200, '{"choices": []}'), (200, REPLY.replace('"B"', 'null'))]
)
def test_refusals_and_other_protocols_are_not_tried_again(server, answer):
    server.answers = [answer]
    with pytest.raises(InvalidRequestError):
        client(server, []).ask('', '')


def test_the_key_is_not_printed():
    assert 'secret' not in repr(ChatJudge('http://x', 'm', 'secret'))


def test_without_a_judge_the_message_says_what_to_set(monkeypatch):
    monkeypatch.delenv('PIXELREFER_JUDGE_URL', raising=False)
    monkeypatch.setenv('PIXELREFER_JUDGE_MODEL', 'm')
    with pytest.raises(UnsupportedError, match='PIXELREFER_JUDGE_URL'):
        judge_from_environment()
    monkeypatch.setenv('PIXELREFER_JUDGE_URL', 'file:///etc/passwd')
    with pytest.raises(UnsupportedError, match='http'):
        judge_from_environment()


def test_kept_replies_are_not_asked_for_again(tmp_path):
    file = tmp_path / 'judge.jsonl'
    first = RememberingJudge(Oracle('yes', 'no'), file)
    assert [first.ask('s', 'a'), first.ask('s', 'b'), first.ask('s', 'a')] == ['yes', 'no', 'yes']
    assert RememberingJudge(Oracle(), file).ask('s', 'b') == 'no'
