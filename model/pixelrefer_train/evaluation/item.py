"""One question of a benchmark: what is shown, what is asked, what is right.

Readers of public files and the simulator make :class:`EvaluationItem`; everything after them knows no file format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pixelrefer_core.types import Frame, MaskArray

from ..mask_coding import CodedMask


@dataclass(frozen=True)
class Box:
    """A box that stands for its object: all of its pixels are taken. Half-open, pixels of the picture."""

    x1: float
    y1: float
    x2: float
    y2: float


Region: TypeAlias = MaskArray | CodedMask | Box


@dataclass(frozen=True, eq=False)
class Appearance:
    """One object on one frame. ``frame``: its number, from 0, in the item's video or ``frames``."""

    frame: int
    region: Region


@dataclass(frozen=True, eq=False)
class EvaluationItem:
    """One question.

    ``item_id``: unique in its suite. ``type``: kind of question, reported apart. ``instruction``: what the model
    reads, with one ``<region>`` for each of ``objects``, whose appearances are in order of time. The pictures are
    ``frames``, or, without any, the file (or folder of frames) ``media``. ``references``: right texts.

    ``classes``: the answers to choose from, empty for free text, and ``expected`` the right one of them.
    ``scene``: items of one scene are not independent: intervals resample scenes. ``tags``: what was held out of
    training, reported apart, too. ``extra``: what only the scorer of this suite reads.
    """

    item_id: str
    type: str
    instruction: str
    objects: tuple[tuple[Appearance, ...], ...]
    frames: tuple[Frame, ...] = ()
    media: Path | None = None
    is_video: bool = False
    references: tuple[str, ...] = ()
    expected: str = ''
    classes: tuple[str, ...] = ()
    scene: str = ''
    tags: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Prediction:
    """What a model answered. ``probabilities``: of ``classes``, where they were asked for.

    ``error``: why there is no answer; such a question counts as answered wrongly.
    """

    item_id: str
    text: str
    probabilities: Mapping[str, float] = field(default_factory=dict)
    error: str = ''


@dataclass(frozen=True, eq=False)
class Answered:
    """A question and its answer."""

    item: EvaluationItem
    prediction: Prediction
