"""Keys and values of recent prompts, so that a question about the same objects reads only what is new."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache


@dataclass(eq=False)
class Prefix:
    """A cache whose first ``length`` positions are those of the prompt it was taken for."""

    cache: DynamicCache
    length: int


@dataclass(frozen=True, eq=False)
class _Entry:
    keys: Sequence[Hashable]
    sources: Sequence[torch.Tensor]  # held, so that the identities in keys stay theirs
    cache: DynamicCache


class PrefixCache:
    """The last few prompts with their keys and values, most recent last.

    A key stands for one position: a token id, or the identity of an object's tensor and a row of it.
    """

    def __init__(self, capacity: int = 4) -> None:
        self._entries: deque[_Entry] = deque(maxlen=capacity)

    def take(self, keys: Sequence[Hashable], empty: DynamicCache) -> Prefix:
        """Take out the cache that shares the longest beginning with ``keys``, cut to it; else ``empty``.

        At least the last position is left to be read, since its logits are wanted.
        """
        lengths = [min(common_length(entry.keys, keys), len(keys) - 1) for entry in self._entries]
        longest = max(lengths, default=0)
        if longest == 0:
            return Prefix(empty, 0)
        # The newest of equals: the others may serve other questions.
        best = len(lengths) - 1 - lengths[::-1].index(longest)
        entry = self._entries[best]
        del self._entries[best]
        cut(entry.cache, longest)
        return Prefix(entry.cache, longest)

    def keep(self, keys: Sequence[Hashable], sources: Sequence[torch.Tensor], cache: DynamicCache) -> None:
        """Keep the cache of a prompt, without what was decoded after it; one not fully read is dropped."""
        if cache.get_seq_length() >= len(keys):
            cut(cache, len(keys))
            self._entries.append(_Entry(keys, sources, cache))

    def clear(self) -> None:
        """Forget everything, freeing the memory."""
        self._entries.clear()


def common_length(left: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """Return how many of their first positions two prompts share."""
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return index
    return min(len(left), len(right))


def cut(cache: DynamicCache, length: int) -> None:
    """Keep the first ``length`` positions of a cache."""
    for layer in cache.layers:
        layer.keys = layer.keys[..., :length, :]
        layer.values = layer.values[..., :length, :]
