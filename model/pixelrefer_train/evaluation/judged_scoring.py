"""From answered items to the figures of the suites that a language model judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pixelrefer_core.errors import PixelReferError

from .dlc import benchmark_score, judge_object, read_quizzes
from .item import Answered
from .judge import Judge
from .judged import (
    aspect_question,
    clair_question,
    mean_aspects,
    pair_question,
    parse_aspects,
    parse_clair,
    parse_pair,
    ratio_score,
)
from .records import read_texts
from .scoring import SuiteScores, Tools

Value = TypeVar('Value')


def score_clair(answered: Sequence[Answered], tools: Tools) -> SuiteScores:
    """Let the judge tell how likely captions and references mean the same (Ref-L4-CLAIR); unread replies are 0."""
    if tools.judge is None:
        return _no_judge('CLAIR')
    marks = _judge_each(
        answered,
        tools,
        tools.judge,
        lambda item: clair_question(item.prediction.text, item.item.references),
        parse_clair,
    )
    read = [0.0 if mark is None else mark for mark in marks]
    return SuiteScores(texts={'CLAIR': sum(read) / len(read), 'unread replies': marks.count(None)})


def score_aspects(answered: Sequence[Answered], tools: Tools) -> SuiteScores:
    """Let the judge mark four aspects (VideoRefer-Bench-D); unread replies are left out of the means."""
    if tools.judge is None:
        return _no_judge('four aspects')
    marks = _judge_each(
        answered,
        tools,
        tools.judge,
        lambda item: aspect_question(item.prediction.text, item.item.references[0]),
        parse_aspects,
    )
    read = [mark for mark in marks if mark is not None]
    means = mean_aspects(read) if read else {}
    return SuiteScores(texts={**means, 'unread replies': float(len(marks) - len(read))})


def score_pairs(answered: Sequence[Answered], tools: Tools) -> SuiteScores:
    """Let the judge mark answers beside reference answers (Ferret-Bench)."""
    if tools.judge is None or tools.references is None or tools.context is None:
        return SuiteScores(
            missing={'ratio': 'a judge, --references and --context are needed'},
        )
    references = read_texts(tools.references, 'question_id', 'text')
    context = read_texts(tools.context, 'image', 'text')
    pairs = []
    for done, item in enumerate(answered, start=1):
        extra = item.item.extra
        question = pair_question(
            context.get(extra['picture'], ''),
            extra['question'],
            item.prediction.text,
            references.get(item.item.item_id, ''),
        )
        pairs.append(parse_pair(tools.judge.ask(*question)))
        tools.on_step(done, len(answered))
    score = ratio_score(pairs)
    return SuiteScores(
        texts={'ratio': score.ratio, 'official ratio': score.official, 'unread replies': score.failures}
    )


def score_dlc(answered: Sequence[Answered], tools: Tools) -> SuiteScores:
    """Let the judge answer DLC-Bench's questions from the descriptions alone."""
    if tools.judge is None:
        return _no_judge('Pos, Neg, Avg')
    quizzes = read_quizzes(tools.data.parent)
    asked = [item for item in answered if item.item.item_id in quizzes]
    scores = []
    for done, item in enumerate(asked, start=1):
        scores.append(judge_object(tools.judge, quizzes[item.item.item_id], item.prediction.text))
        tools.on_step(done, len(asked))
    return SuiteScores(texts=benchmark_score(scores))


def _judge_each(
    answered: Sequence[Answered],
    tools: Tools,
    judge: Judge,
    question: Callable[[Answered], tuple[str, str]],
    parse: Callable[[str], Value],
) -> list[Value | None]:
    """Ask about every answer; None where the reply cannot be read."""
    marks: list[Value | None] = []
    for done, item in enumerate(answered, start=1):
        reply = judge.ask(*question(item))
        try:
            marks.append(parse(reply))
        except PixelReferError:
            marks.append(None)
        tools.on_step(done, len(answered))
    return marks


def _no_judge(score: str) -> SuiteScores:
    return SuiteScores(missing={score: 'no judge'})
