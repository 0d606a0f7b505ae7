"""A question becomes an instruction in the words the model was tuned on; a bad one is refused."""

import pytest

from pixelrefer_core.errors import InvalidQuestionError, InvalidRequestError, QuestionTooLongError
from pixelrefer_core.questions import compose, plain_text, question_of
from pixelrefer_core.types import Prompt, Query, QueryKind


def ask(question: str, *ids: str, kind: QueryKind = QueryKind.ANSWER, **fields) -> Query:
    return Query(kind, ids, question, **fields)


def checked(query: Query) -> str:
    return question_of(query, max_chars=20, max_objects=2)


def test_one_object_is_introduced_as_in_the_official_evaluation():
    question, instruction = compose(ask('', 'cup', kind=QueryKind.CAPTION), '', count=1, is_video=True)
    assert instruction == (
        'There is one object in the video: <region>.\nPlease describe in detail the marked object in the video.'
    )
    assert question == 'Please describe in detail the marked object in the video.'


def test_several_objects_come_first_and_are_named_from_zero():
    query = ask('Is <object2> on <object1>?', 'a', 'b')
    question, instruction = compose(query, query.question, count=2, is_video=False)
    assert instruction == (
        'There are 2 objects in the image: <object0><region>, <object1><region>.\nIs <object1> on <object0>?'
    )
    assert question == 'Is <object2> on <object1>?'


def test_a_prediction_has_a_standard_question_and_states_its_horizon():
    _, instruction = compose(
        ask('', 'a', kind=QueryKind.PREDICTION, horizon_s=1.5), '', count=1, is_video=True
    )
    assert instruction.endswith('\nWhat will happen next? Consider the next 1.5 seconds.')


@pytest.mark.parametrize(
    ('query', 'error', 'message'),
    [
        (ask('What?'), InvalidRequestError, 'no object is named'),
        (
            ask('What?', 'a', 'b', 'c'),
            InvalidRequestError,
            '3 objects in one question; limits.question_objects is 2',
        ),
        (ask('What?', 'a', 'a'), InvalidRequestError, 'named twice'),
        (ask('  ', 'a'), InvalidQuestionError, 'empty'),
        (ask('x' * 21, 'a'), QuestionTooLongError, 'has 21 characters; limits.question_chars is 20'),
        (ask('See <object3>?', 'a', 'b'), InvalidQuestionError, '<object3> is not among the 2 objects'),
        (ask('See <object0>?', 'a'), InvalidQuestionError, '<object0> is not among'),
    ],
)
def test_a_bad_question_is_refused(query, error, message):
    with pytest.raises(error, match=message):
        checked(query)


def test_an_empty_question_stands_for_the_standard_one_where_there_is_one():
    assert checked(ask('', 'a', kind=QueryKind.CAPTION)) == ''
    assert checked(Query(QueryKind.CAPTION, (), visual_prompt=Prompt(box_xyxy=(0, 0, 1, 1)))) == ''


def test_what_a_model_writes_cannot_steer_a_terminal():
    assert plain_text('red\x1b[2J\x07 cup\u202e\nnext\tline') == 'red[2J cup\nnext\tline'
