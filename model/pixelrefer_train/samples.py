"""What is learnt from: objects on frames, and what is said about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.prompt import REGION_SLOT
from pixelrefer_core.types import Frame, MaskArray, ObjectView

# Index of a frame of the sample, and the object's mask on it, bool (H, W).
ObjectMask: TypeAlias = tuple[int, MaskArray]


@dataclass(frozen=True)
class Turn:
    """A question and its true answer.

    ``instruction``: what the model reads, ``<region>`` for each object, as :func:`pixelrefer_core.questions.compose`
    writes it. ``kind``: groups questions in validation, e.g. ``colour``. ``meaning``: the answer to the same question
    put openly, where it is known, e.g. ``blue`` for the answer ``No.`` to "Is it red?"; see :mod:`~.meaning`.
    """

    instruction: str
    answer: str
    kind: str = ''
    meaning: str = ''


@dataclass(frozen=True, eq=False)
class Sample:
    """Objects, and questions about them.

    ``frames``: those that objects are seen on. ``objects``: the masks of each, oldest first, none of them empty.
    ``turns``: independent of one another, each naming all objects in order; or, ``chained``, the turns of one
    conversation, which name each object once among them. ``scene``: the image or the frames of the video that
    PixelRefer (Vision-Object) is shown; without it, ``frames``. PixelRefer-Lite does not look at it.
    """

    frames: tuple[Frame, ...]
    objects: tuple[tuple[ObjectMask, ...], ...]
    turns: tuple[Turn, ...]
    chained: bool = False
    scene: tuple[Frame, ...] = ()

    def views(self) -> tuple[tuple[ObjectView, ...], ...]:
        """Return the object-frames of each object."""
        return tuple(
            tuple(ObjectView(self.frames[index], mask) for index, mask in masks) for masks in self.objects
        )


class SampleSource(Protocol):
    """Samples by number. The same number and epoch always give the same sample, so that training can resume.

    Another epoch may give other frames, masks and questions of the same scene.
    """

    def __len__(self) -> int:
        """Return how many there are in an epoch."""

    def sample(self, index: int, epoch: int) -> Sample:
        """Return one, ``0 <= index < len(self)``. Raises a :class:`PixelReferError` that says what is wrong."""


def check_sample(sample: Sample) -> None:
    """Raise :class:`InvalidRequestError` when turns are missing, or name more or fewer objects than there are."""
    if not sample.turns:
        raise InvalidRequestError('a sample needs a question and an answer')
    named = [turn.instruction.count(REGION_SLOT) for turn in sample.turns]
    for count in [sum(named)] if sample.chained else named:
        if count != len(sample.objects):
            raise InvalidRequestError(
                f'{count} {REGION_SLOT} for {len(sample.objects)} objects in {sample.turns[0].instruction!r}'
            )
    if not all(turn.answer.strip() for turn in sample.turns):
        raise InvalidRequestError(f'an answer to {sample.turns[0].instruction!r} is empty')
