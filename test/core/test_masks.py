"""Masks: boxes are half-open, clean-up removes what it says and nothing else, and stays fast on noise."""

import time

import numpy as np
import pytest

from pixelrefer_core.masks import (
    clean_mask,
    fill_holes,
    largest_component,
    mask_box,
    mask_iou,
    remove_specks,
    resize_mask,
    resize_soft_mask,
)


def mask_of(*rows: str) -> np.ndarray:
    return np.array([[letter == '#' for letter in row] for row in rows])


def test_the_box_is_half_open():
    assert mask_box(mask_of('.....', '..#..', '.###.', '.....')) == (1, 1, 4, 3)


def test_the_box_of_a_full_mask_is_the_image_and_an_empty_mask_has_none():
    assert mask_box(np.ones((3, 7), bool)) == (0, 0, 7, 3)
    assert mask_box(np.zeros((3, 7), bool)) is None


def test_iou_counts_pixels():
    assert mask_iou(mask_of('##..'), mask_of('.##.')) == pytest.approx(1 / 3)
    assert mask_iou(mask_of('##..'), mask_of('..##')) == 0.0
    assert mask_iou(mask_of('....'), mask_of('....')) == 1.0


def test_iou_of_masks_of_different_sizes_is_refused():
    with pytest.raises(ValueError, match=r'\(1, 4\) and \(1, 2\)'):
        mask_iou(mask_of('##..'), mask_of('##'))


def test_halving_keeps_what_covers_half_of_a_pixel_or_more():
    shrunk = resize_mask(mask_of('##..', '##.#', '#..#', '#...'), 2, 2)
    assert np.array_equal(shrunk, mask_of('#.', '#.'))


def test_resizing_up_and_down_again_returns_the_mask():
    mask = np.random.default_rng(0).random((12, 17)) > 0.5
    assert np.array_equal(resize_mask(resize_mask(mask, 36, 51), 12, 17), mask)


def test_the_largest_component_wins_and_diagonal_neighbours_belong_together():
    assert np.array_equal(
        largest_component(mask_of('#..##', '.#...', '..#..')), mask_of('#....', '.#...', '..#..')
    )
    assert not largest_component(np.zeros((2, 2), bool)).any()


def test_specks_go_and_pieces_of_the_least_area_stay():
    assert np.array_equal(
        remove_specks(mask_of('##..#', '.....', '###..'), 2), mask_of('##...', '.....', '###..')
    )


def test_small_holes_are_filled_but_bays_and_large_holes_stay_open():
    ring_with_bay = mask_of('#####.###', '#.#.#.#.#', '###.#.#.#', '#########')
    assert np.array_equal(
        fill_holes(ring_with_bay, 1), mask_of('#####.###', '###.#.#.#', '###.#.#.#', '#########')
    )


def test_a_mask_full_of_specks_costs_no_more_than_a_few_passes():
    checkerboard = np.indices((1080, 1920)).sum(axis=0) % 4 == 0
    start = time.perf_counter()
    remove_specks(checkerboard, 10)
    fill_holes(checkerboard, 10)
    largest_component(checkerboard)
    assert time.perf_counter() - start < 5.0


def test_cleaning_up_is_relative_to_the_area_and_leaves_the_border_of_the_image_alone():
    mask = np.zeros((60, 80), bool)
    mask[20:60, 0:50] = True  # 2000 pixels at the corner of the image; 2 % are 40
    mask[30:36, 10:16] = False  # a hole of 36
    mask[40:47, 20:27] = False  # one of 49
    mask[55:60, 30:35] = False  # a bay at the border of the image, 25
    mask[5:10, 60:67] = True  # a speck of 35
    mask[2:9, 70:77] = True  # a piece of 49
    expected = mask.copy()
    expected[30:36, 10:16] = True
    expected[5:10, 60:67] = False
    assert np.array_equal(clean_mask(mask), expected)


def test_a_bay_that_ends_at_the_box_of_the_mask_is_no_hole():
    mask = np.zeros((30, 30), bool)
    mask[5:25, 5:25] = True
    mask[5:8, 10:12] = False  # 6 pixels, open upwards
    assert np.array_equal(clean_mask(mask, hole_share=0.5), mask)


def test_cleaning_up_nothing_gives_nothing():
    assert not clean_mask(np.zeros((4, 4), bool)).any()


def disc(height, width, centre, radius, steepness=2.0):
    """Soft mask of a disc at the size given; ``centre`` and ``radius`` in shares of the height; an exact outline."""
    rows = (np.arange(height) + 0.5) / height
    columns = (np.arange(width) + 0.5) / height
    inward = radius - np.hypot(columns - centre[0], rows[:, None] - centre[1])
    return (0.5 + 0.5 * np.tanh(steepness / 2 * inward * height)).astype(np.float32)


@pytest.mark.parametrize('small', [(64, 64), (180, 320), (96, 171)])
def test_a_soft_disc_is_resized_to_less_than_a_tenth_of_a_pixel_and_half_a_percent_of_area(small):
    height, width = 720, round(720 * small[1] / small[0])
    centre, radius = (0.4871, 0.5313), 0.2237
    found = resize_soft_mask(disc(*small, centre, radius), height, width)
    rows, columns = np.nonzero(found)
    assert found.sum() == pytest.approx(np.pi * (radius * height) ** 2, rel=0.005)
    # Pixel k covers k to k + 1: its middle lies half a pixel further. One side of a square grid, the other of its own.
    across = width * (small[0] / small[1]) / height
    assert (columns + 0.5).mean() == pytest.approx(centre[0] * height * across, abs=0.1)
    assert (rows + 0.5).mean() == pytest.approx(centre[1] * height, abs=0.1)


def test_a_disc_that_was_made_binary_first_has_an_outline_four_times_as_wrong():
    height, centre, radius = 720, (0.4871, 0.5313), 0.2237
    soft = disc(64, 64, centre, radius)
    exact = disc(height, height, centre, radius) > 0.5
    honest = np.count_nonzero(resize_soft_mask(soft, height, height) ^ exact)
    hasty = np.count_nonzero(resize_mask(soft > 0.5, height, height) ^ exact)
    assert hasty > 4 * honest


def test_log_odds_are_cut_at_zero_and_shrinking_averages():
    assert np.array_equal(resize_soft_mask(np.float32([[-1, 3]]), 1, 4, 0.0), mask_of('..##'))
    assert np.array_equal(resize_soft_mask(np.float32([[1, 0.2, 0.4, 0.4]]), 1, 2), mask_of('#.'))


def test_cleaning_up_a_720p_mask_is_quick():
    random = np.random.default_rng(0)
    mask = random.random((720, 1280)) < 0.5  # the worst: specks and holes everywhere
    start = time.perf_counter()
    clean_mask(mask)
    assert time.perf_counter() - start < 2.0
