"""``pixelrefer eval``: how good are a model's answers, on the simulated tabletop and on the paper's benchmarks?"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidRequestError, PixelReferError
from ..setting import with_values
from ..settings import Settings
from ..settings_text import tracker_values
from ..types import GenerationOptions
from .eval_tables import print_scores
from .progress import Progress

if TYPE_CHECKING:
    from pixelrefer_train.evaluation.answering import Answerer
    from pixelrefer_train.evaluation.item import Answered, EvaluationItem
    from pixelrefer_train.evaluation.judge import Judge
    from pixelrefer_train.evaluation.scoring import SuiteScores, Tools
    from pixelrefer_train.evaluation.suites import Suite

    from ..pixelrefer import PixelRefer

SIM_SAMPLES = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from pixelrefer_train.evaluation.ablation import ABLATIONS
    from pixelrefer_train.evaluation.suites import SUITES

    parser.add_argument('--suite', required=True, choices=SUITES, help='; '.join(_suite_lines(SUITES)))
    parser.add_argument('--data', type=Path, metavar='FILE', help='annotations of a public benchmark')
    parser.add_argument(
        '--media', type=Path, metavar='DIR', help='its pictures or videos; default: where FILE is'
    )
    parser.add_argument('--model', default='random-nano', metavar='PATH', help='folder, repository or preset')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    parser.add_argument('--dtype', default='auto', help='auto, float32, bfloat16 or float16')
    parser.add_argument('--threads', type=int, default=0, help='CPU threads; 0 = leave as they are')
    parser.add_argument('--split', default='heldout', help='of the simulator')
    parser.add_argument('--seed', type=int, default=0, help='of scenes, of --samples and of intervals')
    parser.add_argument(
        '--samples',
        type=int,
        default=0,
        help=f'questions: of the simulator for each type (0 = {SIM_SAMPLES}), else in all, drawn by --seed (0 = all)',
    )
    parser.add_argument('--max-new-tokens', type=int, default=0, help='of an answer; 0 = as the suite says')
    parser.add_argument(
        '--decide',
        choices=('text', 'choose'),
        default='text',
        help='closed questions: by text or probability',
    )
    parser.add_argument(
        '--ablate',
        default='',
        choices=ABLATIONS,
        help='; '.join(f'{name}: {text}' for name, text in ABLATIONS.items()),
    )
    parser.add_argument(
        '--tracker',
        default='',
        metavar='flow|sam2:PATH',
        help='of videos in memory (sim): show the masks that this tracker finds, given the first true ones',
    )
    parser.add_argument(
        '--predictions', type=Path, metavar='FILE.jsonl', help='keep answers here, and go on from them'
    )
    parser.add_argument('--sentence-encoder', metavar='PATH', help='all-MiniLM-L6-v2, for SSim')
    parser.add_argument('--references', type=Path, metavar='FILE', help="Ferret-Bench's reference answers")
    parser.add_argument('--context', type=Path, metavar='FILE', help="Ferret-Bench's facts about its images")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Ask, score, print. Returns the figures."""
    from pixelrefer_train.evaluation.ablation import is_ablated
    from pixelrefer_train.evaluation.answering import variant_of
    from pixelrefer_train.evaluation.suites import SUITES

    from ..checkpoint import load_model

    suite = SUITES[options.suite]
    make = _generator(options)
    tools = _tools(suite, options)
    model = load_model(options.model, device=options.device, dtype=options.dtype, threads=options.threads)
    if not model.info.trained:
        print(f'{model.info.name}: random weights, the words have no meaning', file=sys.stderr)
    items = make(variant_of(model))
    total = len(items) if isinstance(items, Sized) and not options.ablate else 0
    if options.tracker:
        items = _tracked(items, options.tracker)
    asked = (item for item in items if is_ablated(item, options.ablate))
    answered = _ask(_answerer(model, suite, options), asked, total, options)
    if not answered:
        raise InvalidRequestError('no question is left to ask')
    scores = suite.score(answered, tools)
    failures = [item.prediction.error for item in answered if item.prediction.error]
    print_scores(scores, failures)
    return _result(options, model, scores, len(answered), len(failures))


def _suite_lines(suites: Mapping[str, Suite]) -> Iterable[str]:
    return (f'{name}: {suite.help}' for name, suite in suites.items())


def _generator(options: argparse.Namespace) -> Callable[[str], Iterable[EvaluationItem]]:
    """Return what makes the items for a model's variant; what is missing is said before the model is loaded."""
    from pixelrefer_train.evaluation.suites import SUITES, read_suite, simulator

    suite = SUITES[options.suite]
    if suite.read is None:
        items = simulator()
        return lambda variant: items(options.split, options.seed, options.samples or SIM_SAMPLES)
    if options.data is None or not options.data.is_file():
        raise InvalidRequestError(
            f'name the annotation file of {suite.help} with --data; got {options.data or "none"}'
        )

    def read(variant: str) -> Sequence[EvaluationItem]:
        found = read_suite(suite, options.data, options.media, variant)
        if 0 < options.samples < len(found):
            return random.Random(options.seed).sample(found, options.samples)
        return found

    return read


def _tracked(items: Iterable[EvaluationItem], name: str) -> Iterable[EvaluationItem]:
    from pixelrefer_train.evaluation.tracked import track_masks

    from ..tracker import create_tracker

    return track_masks(items, create_tracker(with_values(Settings(), tracker_values(name)).tracker))


def _tools(suite: Suite, options: argparse.Namespace) -> Tools:
    """Bring what the scores need; what is not there is said now, and its scores are left out."""
    from pixelrefer_train.evaluation.scoring import Tools
    from pixelrefer_train.evaluation.sentence_similarity import SENTENCE_ENCODER, load_sentence_encoder

    embed = judge = None
    try:
        if 'encoder' in suite.needs:
            embed = load_sentence_encoder(options.sentence_encoder or SENTENCE_ENCODER)
        if 'judge' in suite.needs:
            judge = _judge(options)
    except PixelReferError as error:
        print(error, file=sys.stderr)
    return Tools(
        embed=embed,
        judge=judge,
        data=options.data or Path(),
        references=options.references,
        context=options.context,
        by_probability=options.decide == 'choose',
        seed=options.seed,
        on_step=Progress('judged'),
    )


def _judge(options: argparse.Namespace) -> Judge:
    from pixelrefer_train.evaluation.judge import RememberingJudge, judge_from_environment

    judge = judge_from_environment()
    if options.predictions is None:
        return judge
    return RememberingJudge(judge, options.predictions.with_suffix('.judge.jsonl'))


def _answerer(model: PixelRefer, suite: Suite, options: argparse.Namespace) -> Answerer:
    from pixelrefer_train.evaluation.answering import Answerer

    return Answerer(
        model,
        options=GenerationOptions(max_new_tokens=options.max_new_tokens or suite.new_tokens),
        probabilities=options.decide == 'choose',
        ablation=options.ablate,
    )


def _ask(
    answerer: Answerer, items: Iterable[EvaluationItem], total: int, options: argparse.Namespace
) -> list[Answered]:
    from pixelrefer_train.evaluation.answering import answer_all

    file = _prediction_file(answerer, options)
    done, keep = (file.done, file.keep) if file else ({}, _forget)
    progress, answered = Progress('answered'), []
    for entry in answer_all(answerer, items, done, keep):
        answered.append(entry)
        progress(len(answered), total)
    return answered


def _prediction_file(answerer: Answerer, options: argparse.Namespace) -> Any:
    from pixelrefer_train.evaluation.answering import fingerprint
    from pixelrefer_train.evaluation.prediction_file import PredictionFile

    if options.predictions is None:
        return None
    named = ('suite', 'split', 'seed', 'samples', 'decide', 'ablate', 'tracker')
    run = {key: getattr(options, key) for key in named}
    run |= {'data': options.data and options.data.name, 'max_new_tokens': answerer.options.max_new_tokens}
    return PredictionFile(options.predictions, {**run, 'weights': fingerprint(answerer.model)})


def _forget(prediction: object) -> None:
    """Keep nothing."""


def _result(
    options: argparse.Namespace, model: PixelRefer, scores: SuiteScores, count: int, failures: int
) -> dict[str, Any]:
    return {
        'suite': options.suite,
        'seed': options.seed,
        'split': options.split if options.suite == 'sim' else None,
        'model': model.info.name,
        'model_trained': model.info.trained,
        'ablate': options.ablate or None,
        'tracker': options.tracker or None,
        'decide': options.decide,
        'count': count,
        'failures': failures,
        'types': {name: report.figures() for name, report in scores.types.items()},
        'held_out': {name: report.figures() for name, report in scores.tags.items()},
        'scores': _finite(scores.texts),
        'constant': _finite(scores.constant),
        'missing': dict(scores.missing),
    }


def _finite(scores: Mapping[str, float]) -> dict[str, float | None]:
    """Return scores for JSON, which knows no NaN: what cannot be computed is null."""
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}
