"""Good messages spoiled: some of their fields become extremes, NaN, control characters, ids that are not there."""

from __future__ import annotations

import copy
import importlib
import math
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

# What is worth trying beside random values. Some are right, so that the fields behind them are looked at, too.
NUMBERS = (0, 1, 2, 4, 8, 40)
FLOATS = (0.0, 0.5, 1.0, 60.0, -1.0, math.nan, math.inf, -math.inf)
STRINGS = (
    '', 'cup', 'ghost', 'What is <object1>?', '<object9>', '<object0>', '<region>', '<|im_end|>', ' ', '\n\t\x1b[2J',
    'x' * 3000, 'mono8', 'rgb8', '32FC1', '../../etc/passwd', '<object' + '9' * 1500 + '>',
)  # fmt: skip
MOST_ITEMS = 3
MOST_SPOILED = 3
# A whole mask of the image that the tests send.
MASK_BYTES = 120 * 160
Path = tuple[str | int, ...]


def spoiled(message: Any) -> st.SearchStrategy[Any]:
    """Copies of a good message in which one to three fields, however deep, hold anything of their type."""
    chosen = st.lists(
        st.sampled_from(list(fields_of(message))),
        min_size=1,
        max_size=MOST_SPOILED,
        unique_by=lambda item: item[0],
    )
    return chosen.flatmap(
        lambda fields: st.tuples(*(values(kind) for _, kind in fields)).map(
            lambda new: _replaced(message, [path for path, _ in fields], new)
        )
    )


def fields_of(message: Any, above: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every field of a message and of those in it: where it is, and its type as rosidl writes it."""
    for name, kind in message.get_fields_and_field_types().items():
        path, value = (*above, name), getattr(message, name)
        yield path, kind
        if hasattr(value, 'get_fields_and_field_types'):
            yield from fields_of(value, path)
        elif '/' in kind and len(value):
            yield from fields_of(value[0], (*path, 0))


def messages(kind: Any) -> st.SearchStrategy[Any]:
    """Any message of a type, made of what its fields may hold."""
    return st.builds(kind, **{name: values(of) for name, of in kind.get_fields_and_field_types().items()})


def values(kind: str) -> st.SearchStrategy[Any]:
    """Any value of a field of this type."""
    if kind == 'sequence<uint8>':
        return st.binary(max_size=40) | st.integers(0, 1).map(lambda value: bytes([value]) * MASK_BYTES)
    if sequence := re.fullmatch(r'sequence<(.+)>', kind):
        return st.lists(values(sequence[1]), max_size=MOST_ITEMS)
    if integer := re.fullmatch(r'(u?)int(\d+)', kind):
        bits, is_unsigned = int(integer[2]), bool(integer[1])
        low, high = (0, 2**bits - 1) if is_unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return st.sampled_from((*NUMBERS, low, high)) | st.integers(low, high)
    if kind in ('float', 'double'):
        return st.sampled_from(FLOATS) | st.floats(width=32 if kind == 'float' else 64)
    if kind == 'boolean':
        return st.booleans()
    if kind == 'string':
        return st.sampled_from(STRINGS) | st.text(max_size=20)
    package, name = kind.split('/')
    return st.deferred(lambda: messages(getattr(importlib.import_module(f'{package}.msg'), name)))


def _replaced(message: Any, paths: list[Path], new: tuple[Any, ...]) -> Any:
    # The deepest first: what is above may take it away.
    made = copy.deepcopy(message)
    for path, value in sorted(zip(paths, new, strict=True), key=lambda item: -len(item[0])):
        owner = made
        for step in path[:-1]:
            owner = owner[step] if isinstance(step, int) else getattr(owner, step)
        setattr(owner, path[-1], value)
    return made
