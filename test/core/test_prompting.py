"""A visual prompt that does not fit the image is refused with its own error and the numbers in question."""

import numpy as np
import pytest

from pixelrefer_core.errors import (
    EmptyPromptError,
    InvalidPromptError,
    MaskSizeMismatchError,
    PromptNotFiniteError,
    PromptOutsideImageError,
)
from pixelrefer_core.prompting import checked_prompt
from pixelrefer_core.types import Prompt

HEIGHT, WIDTH = 48, 64


def points(*xy: tuple[float, float]) -> np.ndarray:
    return np.array(xy, np.float32)


@pytest.mark.parametrize(
    ('prompt', 'error', 'message'),
    [
        (Prompt(), InvalidPromptError, 'points at nothing'),
        (Prompt(label='x' * 129, box_xyxy=(5, 5, 9, 9)), InvalidPromptError, 'at most 128 characters'),
        (Prompt(label='a\x1b[2Jcup', box_xyxy=(5, 5, 9, 9)), InvalidPromptError, 'printable'),
        (Prompt(box_xyxy=(5, 5, 5, 9)), EmptyPromptError, 'width 0, height 4'),
        (Prompt(box_xyxy=(64, 0, 70, 9)), PromptOutsideImageError, 'image of 64 x 48'),
        (Prompt(box_xyxy=(-9, 0, 0, 9)), PromptOutsideImageError, 'outside'),
        (Prompt(box_xyxy=(0, 0, float('nan'), 9)), PromptNotFiniteError, 'NaN'),
        (Prompt(points=points()), InvalidPromptError, r'\(P, 2\)'),
        (Prompt(points=np.zeros((0, 2), np.float32)), EmptyPromptError, 'empty'),
        (Prompt(points=points((1, 2), (float('inf'), 2))), PromptNotFiniteError, 'NaN or infinite'),
        (Prompt(points=points((1, 48))), PromptOutsideImageError, r'\(1, 48\)'),
        (
            Prompt(points=points((1, 2)), point_labels=np.array([True, False])),
            InvalidPromptError,
            '1 points, but 2',
        ),
        (Prompt(points=points((1, 2)), point_labels=np.array([False])), EmptyPromptError, 'background'),
        (Prompt(mask=np.zeros((HEIGHT, WIDTH), np.bool_)), EmptyPromptError, 'no pixel'),
        (
            Prompt(mask=np.ones((WIDTH, HEIGHT), np.bool_)),
            MaskSizeMismatchError,
            '48 x 64 pixels, the image 64 x 48',
        ),
        (
            Prompt(mask=np.ones((HEIGHT, WIDTH), np.bool_), box_xyxy=(0, 0, 5, 5)),
            InvalidPromptError,
            'a mask excludes',
        ),
    ],
)
def test_a_bad_prompt_is_refused(prompt, error, message):
    with pytest.raises(error, match=message):
        checked_prompt(prompt, height=HEIGHT, width=WIDTH)


def test_a_box_that_hangs_over_the_edge_is_clipped():
    prompt = checked_prompt(Prompt(box_xyxy=(-3, 40, 70, 60)), height=HEIGHT, width=WIDTH)
    assert prompt.box_xyxy == (0, 40, 64, 48)


def test_background_points_may_refine_a_box():
    prompt = Prompt(box_xyxy=(1, 1, 9, 9), points=points((2, 2)), point_labels=np.array([False]))
    assert checked_prompt(prompt, height=HEIGHT, width=WIDTH).box_xyxy == (1, 1, 9, 9)
