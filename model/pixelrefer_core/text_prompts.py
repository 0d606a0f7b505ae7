"""Prompts that say in words what to track: a detector turns them into boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .detector import Detector
from .detector.words import checked_words
from .errors import NothingFoundError, UnsupportedError
from .types import Detection, Frame, Prompt


def located(
    prompts: Sequence[Prompt], frame: Frame, detector: Detector | None, *, threshold: float
) -> list[Prompt]:
    """Return the prompts, those of words replaced by the box that fits best; the words become the label.

    Prompts of the same words get different things, the most confident first. The others stay as they are. Raises
    :class:`UnsupportedError` without a detector, :class:`NothingFoundError`, and what the detector raises.
    """
    wanted = checked_words(prompt.text for prompt in prompts if prompt.text)
    if not wanted:
        return list(prompts)
    if detector is None:
        raise UnsupportedError(
            'a text prompt needs a detector, and none is configured: set detector.path, '
            'or use a box, points or a mask'
        )
    found = detector.detect(frame, wanted, threshold=threshold)
    return [_located(prompt, found) if prompt.text else prompt for prompt in prompts]


def _located(prompt: Prompt, found: list[Detection]) -> Prompt:
    """Take the first of what was found that the prompt names."""
    (words,) = checked_words([prompt.text])
    best = next((item for item in found if item.prompt.label == words), None)
    if best is None:
        raise NothingFoundError(
            f'no {words!r} is seen on that image, or none besides those of the prompts before: use other words, '
            'lower detector.threshold, or point at it with a box'
        )
    found.remove(best)
    return replace(prompt, label=prompt.label or words, box_xyxy=best.prompt.box_xyxy, text='')
