"""Many questions about the same objects in one pass: what they have in common is read once.

Each question and its answer (a branch) sees the common prefix and itself, at the positions it would have
alone, so the losses are those of separate passes. ``B`` samples, ``L`` positions, ``T`` tokens to predict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch

Integers = npt.NDArray[np.int64]
_NOTHING = -1  # segment of padding


@dataclass(frozen=True, eq=False)
class Branch:
    """One prompt with its answers: ``ids``, and where among them are the tokens to be learnt, ``answers``.

    ``kind`` and ``answer`` of its first turn, for validation.
    """

    ids: Integers
    answers: Integers
    kind: str = ''
    answer: str = ''


@dataclass(frozen=True, eq=False)
class PackedSample:
    """Branches laid out in one row.

    ``ids``, ``positions`` and ``segments`` (0 = common prefix, else the branch's number from 1): (L).
    ``sources``: (T), where the prediction of ``targets`` is read. ``owners``: (T), their branches from 0.
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
    branches: int


def pack(branches: Sequence[Branch], placeholders: Sequence[int]) -> PackedSample:
    """Lay branches out in one row; ``placeholders``: the ids that stand for scene and object tokens."""
    shared = _shared_length(branches)
    ids, positions, segments, sources, targets, owners, ranks = ([] for _ in range(7))
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
    """Rows side by side, padded at the end: ``ids``, ``positions``, ``segments`` (B, L).

    ``sources``: (T), flat indices into (B * L). ``targets``, ``owners``: (T), the owners counted over the batch.
    ``weights``: float32 (T), 1 / (tokens of the branch * branches): the loss is the mean over branches of the
    mean over tokens. ``places``, ``rows``: (P), flat indices of placeholders and the object tokens for them.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    sources: torch.Tensor
    targets: torch.Tensor
    owners: torch.Tensor
    weights: torch.Tensor
    places: torch.Tensor
    rows: torch.Tensor

    def to(self, device: torch.device) -> PackedBatch:
        """Copy everything to ``device``."""
        moved = {item.name: getattr(self, item.name).to(device, non_blocking=True) for item in fields(self)}
        return PackedBatch(**moved)


def stack(samples: Sequence[PackedSample], token_counts: Sequence[int]) -> PackedBatch:
    """Pad rows to one length; ``token_counts``: object tokens of each sample, which follow one another."""
    longest = max(len(sample.ids) for sample in samples)
    starts = np.arange(len(samples)) * longest
    before = np.cumsum([0, *(sample.branches for sample in samples)])
    owners = np.concatenate([s.owners + first for s, first in zip(samples, before[:-1], strict=True)])
    sizes = np.bincount(owners, minlength=before[-1])
    firsts = np.cumsum([0, *token_counts])[:-1]
    joined = {
        'ids': _padded([sample.ids for sample in samples], longest, 0),
        'positions': _padded([sample.positions for sample in samples], longest, 0),
        'segments': _padded([sample.segments for sample in samples], longest, _NOTHING),
        'sources': np.concatenate([s.sources + start for s, start in zip(samples, starts, strict=True)]),
        'targets': np.concatenate([sample.targets for sample in samples]),
        'owners': owners,
        'weights': (1.0 / (sizes[owners] * before[-1])).astype(np.float32),
        'places': np.concatenate([s.places + start for s, start in zip(samples, starts, strict=True)]),
        'rows': np.concatenate([s.rows + first for s, first in zip(samples, firsts, strict=True)]),
    }
    return PackedBatch(**{name: torch.from_numpy(values) for name, values in joined.items()})


def _padded(rows: Sequence[Integers], length: int, value: int) -> Integers:
    table = np.full((len(rows), length), value, np.int64)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return table


def visible(segments: torch.Tensor) -> torch.Tensor:
    """Return which positions each position may look at, bool (B, 1, L, L), for ``segments`` (B, L)."""
    length = segments.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    own = segments[:, :, None] == segments[:, None, :]
    return ((own | (segments == 0)[:, None, :]) & earlier)[:, None]
