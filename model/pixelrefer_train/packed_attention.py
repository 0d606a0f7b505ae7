"""Attention for packed questions: a common prefix looks at itself, each question at its prefix and at itself.

Rows of all samples lie one after the other without padding, so everything but attention works on real tokens
alone; here they are laid out as prefixes ``(B, P)`` and groups of branches of like size, ``(N, L)``. A dense mask
over whole rows would mostly hide questions from each other. ``T`` tokens, ``H`` heads, ``G`` heads a key head, ``E``
their width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = 'packed_questions'
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]
# Branches whose lengths, and whose prefixes' lengths, differ by less than this are padded to one size.
_BRANCH_STEP, _PREFIX_STEP = 16, 96


@dataclass(frozen=True, eq=False)
class BranchGroup:
    """``N`` branches of about the same size: ``places`` (N, L) in the row, ``owners`` (N), their prefixes.

    ``seen``: bool (N, L, P + L), P the longest of these prefixes.
    """

    places: torch.Tensor
    owners: torch.Tensor
    seen: torch.Tensor

    @property
    def prefix_length(self) -> int:
        """The longest prefix of the group."""
        return self.seen.shape[2] - self.seen.shape[1]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the tokens of ``B`` prefixes and of branches are in a row of ``T``.

    ``prefixes`` (B, P): places in the row, anything where there is padding. ``back`` (T): for each token, its place
    among all B * P of the prefixes and N * L of each group.
    """

    prefixes: torch.Tensor
    groups: tuple[BranchGroup, ...]
    back: torch.Tensor

    def to(self, device: torch.device) -> Layout:
        """Copy everything to ``device``."""
        groups = tuple(
            BranchGroup(*(part.to(device, non_blocking=True) for part in (g.places, g.owners, g.seen)))
            for g in self.groups
        )
        return Layout(self.prefixes.to(device), groups, self.back.to(device, non_blocking=True))


def lay_out(segments: Sequence[Integers]) -> Layout:
    """Return the layout of rows that follow one another; of each row its segments: 0 = prefix, then branches.

    Each row begins with its prefix, which may be empty, and has a branch.
    """
    prefixes: list[Integers] = []
    alike: defaultdict[tuple[int, int], list[tuple[Integers, int]]] = defaultdict(list)
    start = 0
    for number, row in enumerate(segments):
        parts = np.split(start + np.arange(len(row)), np.flatnonzero(np.diff(row)) + 1)
        prefixes.append(parts.pop(0) if row[0] == 0 else np.arange(0))
        for part in parts:
            alike[len(prefixes[-1]) // _PREFIX_STEP, len(part) // _BRANCH_STEP].append((part, number))
        start += len(row)
    prefix, has_prefix = _table(prefixes)
    back = np.empty(start, np.int64)
    back[prefix[has_prefix]] = np.flatnonzero(has_prefix)
    groups, before = [], has_prefix.size
    for _, members in sorted(alike.items()):
        rows, owners = zip(*members, strict=True)
        places, real = _table(rows)
        back[places[real]] = before + np.flatnonzero(real)
        before += real.size
        groups.append(_group(places, np.array(owners), has_prefix))
    return Layout(torch.from_numpy(prefix), tuple(groups), torch.from_numpy(back))


def _group(places: Integers, owners: Integers, has_prefix: Booleans) -> BranchGroup:
    count, length = places.shape
    longest = int(has_prefix[owners].sum(axis=1).max())
    own = np.broadcast_to(np.tri(length, dtype=np.bool_), (count, length, length))
    before = np.broadcast_to(has_prefix[owners, None, :longest], (count, length, longest))
    tables = (places, owners, np.concatenate([before, own], axis=2))
    return BranchGroup(*(torch.from_numpy(table) for table in tables))


def _table(rows: Sequence[Integers]) -> tuple[Integers, Booleans]:
    """Return rows padded at the end, at least one wide, and where they are real."""
    width = max(1, *(len(row) for row in rows))
    table, real = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.bool_)
    for line, known, row in zip(table, real, rows, strict=True):
        line[: len(row)] = row
        known[: len(row)] = True
    return table, real


def use_packed_attention(language_model: Any) -> None:
    """Let a transformers model take ``layout=`` with a row; without it, attention is SDPA as before."""
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    language_model.set_attn_implementation(NAME)


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    layout: Layout | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within a row of packed questions: ``query`` (1, H, T, E), ``key``, ``value`` (1, H / G, T, E).

    Returns (1, T, H, E), and no weights, as transformers' attention functions do.
    """
    if layout is None:
        output: torch.Tensor = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **others
        )[0]
        return output, None
    with torch.autocast(query.device.type, enabled=False):
        # On CPUs the kernels for bfloat16 are slower than those for float32.
        exact = torch.float32 if query.device.type == 'cpu' else query.dtype
        q, k, v = (part[0].transpose(0, 1).to(exact) for part in (query, key, value))  # (T, heads, E)
        return _attend(q, k, v, layout, scaling)[None].to(query.dtype), None


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, scaling: float
) -> torch.Tensor:
    """Return (T, H, E) for ``query`` of this shape, ``key`` and ``value`` (T, H / G, E)."""
    attend = partial(functional.scaled_dot_product_attention, scale=scaling, enable_gqa=True)
    q, k, v = (part[layout.prefixes].transpose(1, 2) for part in (query, key, value))  # (B, heads, P, E)
    outputs = [attend(q, k, v, is_causal=True)]
    for group in layout.groups:
        own_q, own_k, own_v = (
            part[group.places].transpose(1, 2) for part in (query, key, value)
        )  # (N, heads, L, E)
        longest = group.prefix_length
        keys = torch.cat([k[group.owners, :, :longest], own_k], dim=2)  # (N, H / G, P + L, E)
        values = torch.cat([v[group.owners, :, :longest], own_v], dim=2)
        outputs.append(attend(own_q, keys, values, attn_mask=group.seen[:, None]))
    joined = torch.cat([part.transpose(1, 2).flatten(0, 1) for part in outputs])
    return joined[layout.back]
