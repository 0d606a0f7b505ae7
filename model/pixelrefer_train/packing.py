"""Many questions about the same objects in one pass: what they have in common is read once.

Each question and its answer (a branch) sees the common prefix and itself, at the positions it would have
alone, so the losses are those of separate passes. ``L`` tokens of a sample, ``T`` to predict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt
import torch

from .packed_attention import Layout, lay_out

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Branch:
    """One prompt with its answers: ``ids``, and where among them are the tokens to be learnt, ``answers``.

    ``kind`` and ``answer`` of its first turn, for validation; ``meaning``: the tokens that mean it, if any.
    """

    ids: Integers
    answers: Integers
    kind: str = ''
    answer: str = ''
    meaning: Integers = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True, eq=False)
class PackedSample:
    """Branches laid out in one row.

    ``ids``, ``positions`` and ``segments`` (0 = common prefix, else the branch's number from 1): (L).
    ``sources``: (T), where the prediction of ``targets`` is read. ``owners``: (T), their branches from 0.
    ``meant``: pairs (M, 2) of where an answer begins to be predicted and a token that means it.
    ``places``, ``rows``: of the k-th placeholder in the row, where it is, and its rank in its own branch.
    """

    ids: Integers
    positions: Integers
    segments: Integers
    sources: Integers
    targets: Integers
    owners: Integers
    places: Integers
    rows: Integers
    meant: Integers
    branches: int


def pack(branches: Sequence[Branch], placeholders: Sequence[int]) -> PackedSample:
    """Lay branches out in one row; ``placeholders``: the ids that stand for scene and object tokens."""
    shared = _shared_length(branches)
    ids, positions, segments, sources, targets, owners, ranks, meant = ([] for _ in range(8))
    end = 0
    for number, branch in enumerate(branches):
        skipped = shared if number else 0  # the first branch brings the prefix
        shift = end - skipped
        rank = np.cumsum(np.isin(branch.ids, placeholders)) - 1
        place = np.arange(len(branch.ids))
        ids.append(branch.ids[skipped:])
        ranks.append(rank[skipped:])
        positions.append(place[skipped:])
        segments.append(np.where(place < shared, 0, number + 1)[skipped:])
        before = branch.answers - 1
        sources.append(np.where(before < shared, before, before + shift))
        targets.append(branch.ids[branch.answers])
        meant += [(int(sources[-1][0]), int(token)) for token in branch.meaning]
        owners.append(np.full(len(before), number))
        end += len(branch.ids) - skipped
    row = np.concatenate(ids)
    places = np.flatnonzero(np.isin(row, placeholders))
    return PackedSample(
        ids=row,
        positions=np.concatenate(positions),
        segments=np.concatenate(segments),
        sources=np.concatenate(sources),
        targets=np.concatenate(targets),
        owners=np.concatenate(owners),
        places=places,
        rows=np.concatenate(ranks)[places],
        meant=np.array(meant, np.int64).reshape(-1, 2),
        branches=len(branches),
    )


def _shared_length(branches: Sequence[Branch]) -> int:
    first = branches[0]
    shared = min(int(branch.answers[0]) for branch in branches)
    for branch in branches[1:]:
        differ = np.flatnonzero(first.ids[:shared] != branch.ids[:shared])
        shared = int(differ[0]) if len(differ) else shared
    return shared


@dataclass(frozen=True, eq=False)
class PackedBatch:
    """Rows one after the other, ``T`` tokens: ``ids``, ``positions``, ``samples`` (T), ``layout`` for attention.

    ``sources``: where the predictions of ``targets`` are read; ``owners``: of the targets, the branches counted
    over the batch. ``weights``: float32, 1 / (targets of the branch * branches): the loss is the mean over
    branches of the mean over tokens. ``places``, ``rows``: placeholders, and the object tokens for them. ``ways``,
    ``views``: of each placeholder, as in :mod:`~.travel`. ``meant``: (M, 2), as in :class:`PackedSample`.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    samples: torch.Tensor
    sources: torch.Tensor
    targets: torch.Tensor
    owners: torch.Tensor
    weights: torch.Tensor
    places: torch.Tensor
    rows: torch.Tensor
    ways: torch.Tensor
    views: torch.Tensor
    meant: torch.Tensor
    layout: Layout

    def to(self, device: torch.device) -> PackedBatch:
        """Copy everything to ``device``."""
        moved = {item.name: getattr(self, item.name).to(device) for item in fields(self)}
        return PackedBatch(**moved)


def join(
    samples: Sequence[PackedSample],
    token_counts: Sequence[int],
    ways: Integers | None = None,
    views: Integers | None = None,
) -> PackedBatch:
    """Put rows one after the other; ``token_counts``: object tokens of each sample, which follow one another.

    ``ways``, ``views``: of these tokens, if they are known.
    """
    starts = np.cumsum([0, *(len(sample.ids) for sample in samples)])[:-1]
    before = np.cumsum([0, *(sample.branches for sample in samples)])
    firsts = np.cumsum([0, *token_counts])[:-1]
    owners = _moved([sample.owners for sample in samples], before[:-1])
    rows = _moved([sample.rows for sample in samples], firsts)
    sizes = np.bincount(owners, minlength=before[-1])
    joined = {
        'ids': np.concatenate([sample.ids for sample in samples]),
        'positions': np.concatenate([sample.positions for sample in samples]),
        'samples': np.repeat(np.arange(len(samples)), [len(sample.ids) for sample in samples]),
        'sources': _moved([sample.sources for sample in samples], starts),
        'targets': np.concatenate([sample.targets for sample in samples]),
        'owners': owners,
        'weights': (1.0 / (sizes[owners] * before[-1])).astype(np.float32),
        'places': _moved([sample.places for sample in samples], starts),
        'rows': rows,
        'ways': np.full(len(rows), -1) if ways is None else ways[rows],
        'views': np.full(len(rows), -1) if views is None else views[rows],
        'meant': np.concatenate([_placed(s.meant, start) for s, start in zip(samples, starts, strict=True)]),
    }
    tensors = {name: torch.from_numpy(values) for name, values in joined.items()}
    return PackedBatch(**tensors, layout=lay_out([sample.segments for sample in samples]))


def _placed(meant: Integers, start: int) -> Integers:
    return np.stack([meant[:, 0] + start, meant[:, 1]], axis=1)


def _moved(parts: Sequence[Integers], by: Integers) -> Integers:
    return np.concatenate([part + start for part, start in zip(parts, by, strict=True)])
