"""The order of samples, and batches of them, the same again after an interruption."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.model_config import Compatibility, ModelConfig

from .learner import PreparedBatch, prepare
from .recipe import DataRecipe
from .samples import Sample, SampleSource

# Names that recipes use -> the function that opens the source.
SOURCES = {
    'official': 'pixelrefer_train.official_json:open_source',
    'simulated': 'pixelrefer_sim.samples:open_source',
}


def open_source(recipe: DataRecipe) -> SampleSource:
    """Open a source. Raises :class:`InvalidRequestError` when it does not exist, takes no such options or is empty."""
    name = SOURCES.get(recipe.source, recipe.source)
    module, _, function = name.partition(':')
    try:
        opened: SampleSource = getattr(importlib.import_module(module), function)(**recipe.options)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidRequestError(f'there is no data source {recipe.source!r}: {error}') from error
    except TypeError as error:
        raise InvalidRequestError(f'options of data source {recipe.source!r}: {error}') from error
    if not len(opened):
        raise InvalidRequestError(f'data source {recipe.source!r} is empty with {dict(recipe.options)}')
    return opened


def open_sources(recipes: Sequence[DataRecipe]) -> SampleSource:
    """Open several sources as one, each as often as it is repeated."""
    sources = [(open_source(recipe), recipe.repeat) for recipe in recipes]
    return JoinedSource([source for source, repeat in sources for _ in range(repeat)])


class JoinedSource:
    """Sources one after the other. One that appears again is given another epoch, so that it may vary."""

    def __init__(self, sources: Sequence[SampleSource]) -> None:
        self._sources = sources
        self._ends = list(itertools.accumulate(len(source) for source in sources))

    def __len__(self) -> int:
        """Return the samples of all sources."""
        return self._ends[-1]

    def sample(self, index: int, epoch: int) -> Sample:
        """Return a sample of the source into which ``index`` falls."""
        place = next(place for place, end in enumerate(self._ends) if index < end)
        return self._sources[place].sample(
            index - (self._ends[place] - len(self._sources[place])), epoch * len(self._sources) + place
        )


def order(length: int, seed: int, epoch: int) -> list[int]:
    """Return the numbers below ``length`` in an order that ``seed`` and ``epoch`` determine."""
    generator = torch.Generator().manual_seed((seed << 32) + epoch)
    shuffled: list[int] = torch.randperm(length, generator=generator).tolist()
    return shuffled


def numbers(
    length: int, batch: int, *, seed: int, start: int, rank: int = 0, processes: int = 1
) -> Iterator[list[tuple[int, int]]]:
    """Yield ``(index, epoch)`` of the samples of each batch without end, from batch ``start`` on.

    Epochs follow one another without a gap. Each of ``processes`` takes every so manieth batch.
    """
    epoch, shuffled = -1, list[int]()
    for number in itertools.count(start):
        first = (number * processes + rank) * batch
        chosen = []
        for place in range(first, first + batch):
            if place // length != epoch:
                epoch = place // length
                shuffled = order(length, seed, epoch)
            chosen.append((shuffled[place % length], epoch))
        yield chosen


class _Numbered(Dataset[Sample]):
    def __init__(self, source: SampleSource) -> None:
        self._source = source

    def __getitem__(self, number: tuple[int, int]) -> Sample:
        return self._source.sample(*number)


def load_batches(
    source: SampleSource,
    chosen: Iterator[list[tuple[int, int]]] | Sequence[list[tuple[int, int]]],
    config: ModelConfig,
    compat: Compatibility,
    *,
    workers: int,
) -> Iterator[PreparedBatch]:
    """Yield prepared batches in the order of ``chosen``; ``workers`` processes work ahead, 0 = none."""
    options: Mapping[str, Any] = {'prefetch_factor': 4, 'multiprocessing_context': 'spawn'} if workers else {}
    loader: DataLoader[Sample] = DataLoader(
        _Numbered(source),
        batch_sampler=chosen,
        collate_fn=partial(prepare, config=config, compat=compat),
        num_workers=workers,
        **options,
    )
    return iter(loader)
