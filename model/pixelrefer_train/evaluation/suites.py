"""The benchmarks by name: how each is read and how it is scored."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pixelrefer_core.errors import InvalidRequestError, UnsupportedError

from . import judged_scoring, scoring
from .image_readers import (
    read_dlc,
    read_ferret,
    read_lvis,
    read_paco,
    read_ref_l4,
    read_ref_l4_detail,
    read_vg,
)
from .item import EvaluationItem
from .video_readers import read_hc_stvg, read_videorefer_d, read_videorefer_q

Reader: TypeAlias = Callable[[Path, Path, str], list[EvaluationItem]]
# (split, seed, samples of each type) -> items
Generator: TypeAlias = Callable[[str, int, int], Iterable[EvaluationItem]]

_SIMULATOR = 'pixelrefer_sim.suite'


@dataclass(frozen=True)
class Suite:
    """A benchmark. ``read``: from public files, or None for the simulator, which makes its own items.

    ``new_tokens``: the longest answer. ``needs``: ``judge``, ``encoder``.
    """

    help: str
    read: Reader | None
    score: scoring.Scorer
    new_tokens: int
    needs: tuple[str, ...] = ()


SUITES = {
    'sim': Suite('the simulated tabletop', None, scoring.score_sim, 48),
    'videorefer-q': Suite('VideoRefer-Bench-Q', read_videorefer_q, scoring.score_closed, 16),
    'videorefer-d': Suite(
        'VideoRefer-Bench-D', read_videorefer_d, judged_scoring.score_aspects, 512, ('judge',)
    ),
    'lvis': Suite('LVIS categories', read_lvis, scoring.score_categories, 32, ('encoder',)),
    'paco': Suite('PACO categories', read_paco, scoring.score_categories, 32, ('encoder',)),
    'vg': Suite('Visual Genome captions', read_vg, scoring.score_captions, 128),
    'ref-l4': Suite('Ref-L4 captions', read_ref_l4, scoring.score_ref_l4, 128, ('judge',)),
    'ref-l4-clair': Suite(
        'Ref-L4 detailed captions', read_ref_l4_detail, judged_scoring.score_clair, 512, ('judge',)
    ),
    'dlc': Suite('DLC-Bench', read_dlc, judged_scoring.score_dlc, 512, ('judge',)),
    'ferret': Suite('Ferret-Bench', read_ferret, judged_scoring.score_pairs, 512, ('judge',)),
    'hc-stvg': Suite('HC-STVG captions', read_hc_stvg, scoring.score_captions, 128),
}


def simulator() -> Generator:
    """Return ``items`` of the simulator's suite. Raises :class:`UnsupportedError` when it is not installed."""
    try:
        module = importlib.import_module(_SIMULATOR)
    except ImportError as error:
        raise UnsupportedError(
            f'the sim suite needs {error.name or _SIMULATOR}, which is not installed; --suite names the others'
        ) from error
    generator: Generator = module.items
    return generator


def read_suite(suite: Suite, data: Path | None, media: Path | None, variant: str) -> list[EvaluationItem]:
    """Read the items of a public benchmark. Raises :class:`InvalidRequestError` for what is no such file."""
    if suite.read is None or data is None:
        raise InvalidRequestError('name the annotation file with --data')
    items = suite.read(data, media or data.parent, variant)
    if not items:
        raise InvalidRequestError(f'{data} holds no items')
    return items
