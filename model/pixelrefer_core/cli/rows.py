"""Tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def print_rows(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows with the same keys under each other: the first column to the left, numbers to the right."""
    texts = [[str(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(rows[0], *texts, strict=True)]
    for first, *rest in [list(rows[0]), *texts]:
        cells = [text.rjust(width) for text, width in zip(rest, widths[1:], strict=True)]
        print('  '.join([first.ljust(widths[0]), *cells]).rstrip())
