"""J and F against values worked out by hand from the definition of the DAVIS benchmark."""

import numpy as np
import pytest

from pixelrefer_core.segmentation_metrics import (
    boundary_measure,
    mask_boundary,
    region_similarity,
    score_sequence,
)


def square(left: int, top: int, side: int, size: int = 100) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_the_boundary_lies_left_of_and_above_a_change():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2:4] = True
    # Ring of the pixels up and left of the 2 x 2 square and of its own right and lower edge.
    expected = [[0, 1, 1, 1, 0], [0, 1, 0, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    assert np.array_equal(mask_boundary(mask), np.array(expected, bool))


def test_the_image_border_is_no_boundary():
    assert not mask_boundary(np.ones((4, 5), bool)).any()
    lower_half = np.zeros((4, 3), bool)
    lower_half[2:] = True
    assert np.array_equal(np.flatnonzero(mask_boundary(lower_half).all(axis=1)), [1])


def test_region_similarity_of_shifted_squares():
    # 20 x 20 squares 5 apart share 20 x 15 of 20 x 25 pixels.
    assert region_similarity(square(30, 30, 20), square(35, 30, 20)) == pytest.approx(300 / 500)


def test_a_shift_within_the_tolerance_costs_no_boundary_score():
    # 100 x 100: diagonal 141.4, tolerance 1.13 -> 2 pixels.
    assert boundary_measure(square(30, 30, 20), square(32, 30, 20)) == 1.0
    assert boundary_measure(square(30, 30, 20), square(33, 30, 20)) < 1.0


def test_boundary_score_of_a_shift_past_the_tolerance():
    # Boundary of a 20 x 20 square: the 80 pixels of a ring over columns and rows 29..49; moved by 10, its
    # columns are 39..59. Within 2 px (disk) of the first ring lie, of the moved one: columns 39..51 of the
    # upper and the lower row (50 and 51 are 1 and 2 px from the corner), 26 pixels; and of its left column
    # the inner rows 30, 31 and 47, 48, which are 1 and 2 px from a row of the first ring, 4 pixels.
    matched = 26 + 4
    assert boundary_measure(square(30, 30, 20), square(40, 30, 20)) == pytest.approx(matched / 80)


def test_precision_and_recall_are_balanced():
    # The guess has one square too many, far away: precision 80 / 160, recall 1.
    both = square(10, 10, 20) | square(60, 60, 20)
    assert boundary_measure(square(10, 10, 20), both) == pytest.approx(2 * 0.5 * 1.0 / 1.5)


def test_empty_masks():
    empty = np.zeros((50, 50), bool)
    assert boundary_measure(empty, empty) == 1.0
    assert boundary_measure(empty, square(10, 10, 5, 50)) == 0.0
    assert boundary_measure(square(10, 10, 5, 50), empty) == 0.0
    assert region_similarity(empty, empty) == 1.0


def test_the_first_and_the_last_frame_are_not_scored():
    truth = square(30, 30, 20)
    wrong = ~truth
    score = score_sequence([truth] * 4, [wrong, truth, square(35, 30, 20), wrong])
    assert score.frames == 2
    assert score.region == pytest.approx((1.0 + 0.6) / 2)
    assert score.mean == pytest.approx((score.region + score.boundary) / 2)


def test_two_frames_are_enough_and_one_is_refused():
    truth = square(30, 30, 20)
    assert score_sequence([truth, truth], [truth, truth]).mean == 1.0
    with pytest.raises(ValueError, match='at least two'):
        score_sequence([truth], [truth])
