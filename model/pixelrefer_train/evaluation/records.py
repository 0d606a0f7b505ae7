"""Files of records: a JSON list, or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pixelrefer_core.errors import InvalidRequestError

Record: TypeAlias = Mapping[str, Any]


def read_json(file: Path) -> Any:
    """Read a JSON file. Raises :class:`InvalidRequestError` when it is missing or none."""
    try:
        return json.loads(file.read_text(encoding='utf-8'))
    except OSError as error:
        raise InvalidRequestError(f'{file} cannot be read: {error.strerror}') from error
    except ValueError as error:
        raise InvalidRequestError(f'{file} is no JSON: {error}') from error


def read_records(file: Path, *keys: str) -> list[Record]:
    """Read a list of records, each with all of ``keys``, as one JSON list or as JSON lines.

    Raises :class:`InvalidRequestError` naming the record and the key that it lacks.
    """
    try:
        records = read_json(file)
    except InvalidRequestError:
        records = _read_lines(file)
    if isinstance(records, Mapping):  # a file of one line
        records = [records]
    for number, record in enumerate(records):
        missing = [key for key in keys if not isinstance(record, Mapping) or key not in record]
        if missing:
            raise InvalidRequestError(f'{file}: record {number} lacks {", ".join(missing)}')
    return list(records)


def read_texts(file: Path, key: str, text: str) -> dict[str, str]:
    """Read records as a table from what they have under ``key`` to what they have under ``text``."""
    return {str(record[key]): str(record[text]) for record in read_records(file, key, text)}


def frames_of(masks: Mapping[str, Any]) -> Sequence[str]:
    """Return the frame numbers of a table of masks, the keys, in order of time."""
    return sorted(masks, key=int)


def _read_lines(file: Path) -> list[Any]:
    try:
        lines = file.read_text(encoding='utf-8').splitlines()
        return [json.loads(line) for line in lines if line.strip()]
    except OSError as error:
        raise InvalidRequestError(f'{file} cannot be read: {error.strerror}') from error
    except ValueError as error:
        raise InvalidRequestError(f'{file} is neither JSON nor JSON lines: {error}') from error
