"""The tables of ``pixelrefer eval``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .rows import print_rows

if TYPE_CHECKING:
    from pixelrefer_train.evaluation.classification import ClassificationReport
    from pixelrefer_train.evaluation.scoring import SuiteScores


def print_scores(scores: SuiteScores, failures: Sequence[str]) -> None:
    """Print what came out; ``failures``: why questions could not be answered."""
    for title, reports in (('type', scores.types), ('held out', scores.tags)):
        if reports:
            print_rows([_row(title, name, report) for name, report in reports.items()])
            print('[]: 95 % of bootstrap draws of scenes, for balanced accuracy\n')
    if scores.texts:
        print_rows(
            [
                {
                    'score': name,
                    'model': f'{value:.4g}',
                    'one sentence for all': f'{scores.constant[name]:.4g}' if name in scores.constant else '',
                }
                for name, value in scores.texts.items()
            ]
        )
    for name, reason in scores.missing.items():
        print(f'{name} left out: {reason}')
    if failures:
        print(f'{len(failures)} questions could not be answered and count as wrong; the first: {failures[0]}')


def _row(title: str, name: str, report: ClassificationReport) -> dict[str, object]:
    low, high = report.balanced_interval
    return {
        title: name,
        'count': report.count,
        'accuracy': f'{report.accuracy:.3f}',
        'balanced': f'{report.balanced_accuracy:.3f}',
        '[]': f'[{low:.3f}, {high:.3f}]',
        'majority': f'{report.majority_rate:.3f}',
        'chance': f'{report.chance:.3f}',
        'undecided': f'{report.undecided:.3f}',
        'scenes': report.scenes,
    }
