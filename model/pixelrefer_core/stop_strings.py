"""Ends an answer before a given string, without ever letting a part of it out."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Passes text on piece by piece, but holds back what may be the beginning of a stop string."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = [string for string in strings if string]
        self._held = ''
        self.found = False

    def push(self, piece: str) -> str:
        """Return the text that is safe to show; :attr:`found` tells whether a stop string was met."""
        if self.found:
            return ''
        text = self._held + piece
        ends = [text.index(string) for string in self._strings if string in text]
        if ends:
            self.found, self._held = True, ''
            return text[: min(ends)]
        keep = max((self._overlap(text, string) for string in self._strings), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """Return what is held back, at the end of an answer that met no stop string."""
        held, self._held = self._held, ''
        return held

    @staticmethod
    def _overlap(text: str, string: str) -> int:
        """Length of the longest end of ``text`` that begins ``string``."""
        longest = min(len(text), len(string) - 1)
        return next((size for size in range(longest, 0, -1) if text.endswith(string[:size])), 0)
