"""What every detector does, whatever is inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..types import Detection, Frame


class Detector(Protocol):
    """Finds in an image what words name. One thread at a time."""

    @property
    def name(self) -> str:
        """What it is, for people."""
        ...

    def detect(self, frame: Frame, words: Sequence[str], *, threshold: float) -> list[Detection]:
        """Return boxes inside the image, most confident first; the label of each is one of ``words``.

        ``words``: names of things, of one word or several, see :func:`~.words.checked_words`. ``threshold``: what is
        less confident is left out. Raises a :class:`PixelReferError` that says why it cannot look.
        """
        ...
