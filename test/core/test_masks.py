"""Masks: boxes are half-open, clean-up removes what it says and nothing else, and stays fast on noise."""

import time

import numpy as np
import pytest

from pixelrefer_core.masks import (
    fill_holes,
    largest_component,
    mask_box,
    mask_iou,
    remove_specks,
    resize_mask,
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
