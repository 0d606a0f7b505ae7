"""Predictions as JSON lines, appended one by one, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixelrefer_core.errors import InvalidRequestError

from .item import Prediction


class PredictionFile:
    """The first line says what run the file belongs to; the rest are predictions."""

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        """Open or begin a file. Raises :class:`InvalidRequestError` when it belongs to another run or is damaged."""
        self._path = path
        self.done: dict[str, Prediction] = {}
        if path.exists() and path.stat().st_size:
            self._read(dict(run))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({'run': dict(run)}) + '\n', encoding='utf-8')

    def keep(self, prediction: Prediction) -> None:
        """Append one prediction."""
        with self._path.open('a', encoding='utf-8') as file:
            file.write(json.dumps(vars(prediction)) + '\n')

    def _read(self, run: dict[str, Any]) -> None:
        text = self._path.read_text(encoding='utf-8')
        whole, _, torn = text.rpartition('\n')
        if torn:  # a run that was killed while it wrote: that one is answered again
            self._path.write_text(whole + '\n' if whole else '', encoding='utf-8')
        try:
            head, *lines = map(json.loads, whole.splitlines())
            self.done = {line['item_id']: Prediction(**line) for line in lines}
            before = head['run']
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidRequestError(f'{self._path} is no file of predictions: {error!r}') from error
        changed = [key for key in run if before.get(key) != run[key]]
        if changed:
            raise InvalidRequestError(
                f'{self._path} holds predictions of another run ({changed[0]} was {before.get(changed[0])!r}, is '
                f'{run[changed[0]]!r}): name another file'
            )
