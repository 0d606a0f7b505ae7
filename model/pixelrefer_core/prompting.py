"""Checks a visual prompt against the image it points into."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .errors import (
    EmptyPromptError,
    InvalidPromptError,
    MaskSizeMismatchError,
    PromptNotFiniteError,
    PromptOutsideImageError,
)
from .types import Detection, Prompt

# It goes out again with every image.
LABEL_CHARS = 128


def checked_prompt(prompt: Prompt, *, height: int, width: int) -> Prompt:
    """Return the prompt with its box clipped to the image, or say what is wrong with it.

    Raises :class:`InvalidPromptError`, :class:`EmptyPromptError`, :class:`PromptOutsideImageError`,
    :class:`PromptNotFiniteError` or :class:`MaskSizeMismatchError`.
    """
    if len(prompt.label) > LABEL_CHARS or not prompt.label.isprintable():
        raise InvalidPromptError(f'a label must be printable and of at most {LABEL_CHARS} characters')
    if prompt.mask is not None:
        if prompt.box_xyxy is not None or prompt.points is not None:
            raise InvalidPromptError('a mask excludes a box and points: send one of them')
        _check_mask(prompt.mask, height, width)
        return prompt
    if prompt.box_xyxy is None and prompt.points is None:
        raise InvalidPromptError('the prompt points at nothing: give a box, points or a mask')
    if prompt.points is not None:
        _check_points(prompt, height, width)
    if prompt.box_xyxy is not None:
        prompt = replace(prompt, box_xyxy=_clipped_box(prompt.box_xyxy, height, width))
    return prompt


def checked_detection(detection: Detection, *, height: int, width: int) -> Detection:
    """Return the detection with its box clipped to the image. Raises as :func:`checked_prompt` does."""
    prompt = detection.prompt
    if prompt.object_id or prompt.points is not None:
        raise InvalidPromptError('a detection is a box or a mask, without points and without an object_id')
    if not 0 <= detection.score <= 1:
        raise InvalidPromptError(f'the score of a detection must lie in [0, 1], got {detection.score}')
    return replace(detection, prompt=checked_prompt(prompt, height=height, width=width))


def _check_mask(mask: np.ndarray, height: int, width: int) -> None:
    if mask.shape != (height, width):
        got = ' x '.join(str(side) for side in mask.shape[::-1])
        raise MaskSizeMismatchError(f'the mask has {got} pixels, the image {width} x {height}')
    if not mask.any():
        raise EmptyPromptError('the mask has no pixel set')


def _check_points(prompt: Prompt, height: int, width: int) -> None:
    points, labels = np.asarray(prompt.points), prompt.point_labels
    if points.ndim != 2 or points.shape[1] != 2:
        raise InvalidPromptError(f'points must be (P, 2), got {points.shape}')
    if not len(points):
        raise EmptyPromptError('the list of points is empty')
    if labels is not None and len(labels) != len(points):
        raise InvalidPromptError(f'{len(points)} points, but {len(labels)} point_labels')
    if not np.isfinite(points).all():
        raise PromptNotFiniteError('a point has a coordinate that is NaN or infinite')
    outside = (points < 0).any(axis=1) | (points[:, 0] >= width) | (points[:, 1] >= height)
    if outside.any():
        x, y = points[outside][0]
        raise PromptOutsideImageError(
            f'point ({x:g}, {y:g}) lies outside the image of {width} x {height} pixels'
        )
    if labels is not None and not np.any(labels) and prompt.box_xyxy is None:
        raise EmptyPromptError('every point is labelled as background: give at least one on the object')


def _clipped_box(
    box: tuple[float, float, float, float], height: int, width: int
) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    if not np.isfinite(box).all():
        raise PromptNotFiniteError('the box has a coordinate that is NaN or infinite')
    if x1 <= x0 or y1 <= y0:
        raise EmptyPromptError(f'the box has no area: width {x1 - x0:g}, height {y1 - y0:g} pixels')
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        raise PromptOutsideImageError(
            f'the box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) lies outside the image of {width} x {height} pixels'
        )
    return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
