"""The simulated suite of ``pixelrefer eval``: questions about clips of seeds that no training ever sees.

Clips are rendered when they are first needed and kept in the user's cache. ``PIXELREFER_SIM_CLIPS`` names a folder
of rendered ones instead, as ``python -m pixelrefer_sim.generate --output`` writes it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import numpy as np

from pixelrefer_core.errors import InvalidRequestError, UnsupportedError
from pixelrefer_core.types import Frame
from pixelrefer_train.evaluation.item import Appearance, EvaluationItem

from .questions.make import facts_about, question_about
from .questions.question import Fact, SimQuestion
from .questions.quota import Asked, Shown, balanced
from .questions.view import still, windows
from .record import GENERATOR_VERSION, HEIGHT, WIDTH, load_record
from .samples import draw_marked, find_clips, read_frames, turn_of

_logger = logging.getLogger(__name__)

CLIPS_VARIABLE = 'PIXELREFER_SIM_CLIPS'
SPLITS = ('train', 'val', 'heldout')
# So many clips for each question of a kind, and at least.
_CLIPS_PER_SAMPLE, _FEWEST_CLIPS = 0.5, 16
_SEEDS_APART, _MOST_SEEDS = 10_000, 1000
# Of a held-out split, the share of questions in words that training never sees.
_HELD_OUT_PHRASINGS = 0.25


def items(split: str, seed: int, samples: int) -> Iterator[EvaluationItem]:
    """Yield ``samples`` questions of each kind, or fewer where the clips do not allow more even ones.

    The same arguments give the same items; those about the same frames follow one another and share them.
    Raises :class:`InvalidRequestError` for another split than ``train``, ``val`` and ``heldout``, and what
    :func:`find_or_render` raises.
    """
    if split not in SPLITS:
        raise InvalidRequestError(f'the simulator has no split {split!r}; it has {", ".join(SPLITS)}')
    clips = find_or_render(split, seed, max(_FEWEST_CLIPS, round(_CLIPS_PER_SAMPLE * samples)))
    rng = np.random.default_rng([seed, samples])
    offers = [offer for clip in clips for offer in _offers(clip, rng)]
    held_out = _HELD_OUT_PHRASINGS if split == 'heldout' else 0.0
    chosen = balanced([(shown, fact) for _, shown, fact in offers], samples, rng, held_out=held_out)
    folders = {id(shown): clip for clip, shown, _ in offers}
    order = {id(shown): number for number, (_, shown, _) in enumerate(offers)}
    yield from _items(sorted(chosen, key=lambda asked: order[id(asked.shown)]), folders, rng)


def find_or_render(split: str, seed: int, count: int) -> list[Path]:
    """Return clips of a split: of the folder that the environment names, else rendered where they are missing.

    Raises :class:`InvalidRequestError` for a folder without clips, :class:`UnsupportedError` without MuJoCo, and
    what MuJoCo raises when there is no OpenGL.
    """
    if CLIPS_VARIABLE in os.environ:
        found = find_clips(Path(os.environ[CLIPS_VARIABLE]).expanduser() / split)
        first = seed * count % len(found)
        return (found + found)[first : first + min(count, len(found))]
    try:
        from .generate import FIRST_SEED, Split, make_clips
    except ImportError as error:
        raise UnsupportedError(
            f'rendering clips needs {error.name}: install it, or name rendered ones in {CLIPS_VARIABLE}'
        ) from error
    named = cast(Split, split)
    start = FIRST_SEED[named] + seed % _MOST_SEEDS * _SEEDS_APART
    seeds = range(start, start + count)
    clips = [_cache() / split / str(number) for number in seeds]
    if not all((clip / 'clip.json').exists() for clip in clips):
        _logger.info('rendering clips into %s', _cache())
        list(make_clips(named, seeds, _cache() / split, processes=min(os.cpu_count() or 1, count)))
    return clips


def _cache() -> Path:
    home = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    return home / 'pixelrefer' / f'simulated_clips_{GENERATOR_VERSION}'


def _offers(clip: Path, rng: np.random.Generator) -> Iterator[tuple[Path, Shown, Fact]]:
    """Yield what may be asked about a clip: each of its windows and its first frame, some objects on each."""
    record = load_record(clip)
    for view in (*windows(record), still(record)):
        marked = draw_marked(view, rng)
        if marked:
            shown = Shown(view, marked)
            yield from ((clip, shown, fact) for fact in facts_about(view, marked))


def _items(
    chosen: Iterable[Asked], folders: dict[int, Path], rng: np.random.Generator
) -> Iterator[EvaluationItem]:
    shown: Shown | None = None
    frames: tuple[Frame, ...] = ()
    for number, asked in enumerate(chosen):
        if asked.shown is not shown:
            shown = asked.shown
            frames = read_frames(shown.view, folders[id(shown)])
        question = question_about(asked.shown.view, asked.fact, asked.shown.marked, asked.manner, rng)
        yield _item(number, asked.shown, question, frames)


def _item(number: int, shown: Shown, question: SimQuestion, frames: tuple[Frame, ...]) -> EvaluationItem:
    view = shown.view
    return EvaluationItem(
        item_id=f'{view.record.split}-{view.record.seed}-{view.frames[-1]}-{number}',
        type=question.kind,
        instruction=turn_of(view, question).instruction,
        objects=tuple(_appearances(shown, name) for name in shown.marked),
        frames=frames,
        is_video=len(view.frames) > 1,
        references=(question.answer,),
        expected=question.answer,
        classes=question.classes,
        scene=str(view.record.seed),
        tags=question.held_out or ('in-domain',),
        extra={'topic': question.topic, 'form': question.form, 'bench_type': question.bench_type},
    )


def _appearances(shown: Shown, name: str) -> tuple[Appearance, ...]:
    view = shown.view
    place = view.record.index(name)
    return tuple(
        Appearance(
            view.frames.index(frame), {'size': [HEIGHT, WIDTH], 'counts': view.record.masks[frame][place]}
        )
        for frame in view.seen_frames(name)
    )
