"""Boxes, scales, grids and positions, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pixelrefer_core.geometry import (
    Grid,
    PaddedBox,
    capped_grid,
    cell_positions,
    object_scale,
    padded_box,
    scaled_grid,
    smart_resize,
)


def rectangle(height: int, width: int, top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((height, width), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def test_a_box_grows_by_the_padding_on_every_side():
    assert padded_box(rectangle(200, 300, 50, 60, 70, 90), 28) == PaddedBox(22, 32, 97, 117)


def test_a_padded_box_ends_at_the_image():
    assert padded_box(rectangle(40, 50, 0, 0, 40, 50), 28) == PaddedBox(0, 0, 39, 49)


def test_a_single_pixel_has_a_box():
    assert padded_box(rectangle(100, 100, 50, 60, 51, 61), 28) == PaddedBox(22, 32, 78, 88)


def test_an_empty_mask_has_the_box_of_upstream():
    assert padded_box(np.zeros((10, 10), np.bool_), 28) == PaddedBox(0, 0, 0, 0)


@pytest.mark.parametrize(
    ('area', 'scale'),
    [
        (6272, 1.0),  # exactly 32 cells
        (6271, 2.0),  # a pixel less doubles the picture
        (1568, 2.0),
        (387, 5.0),  # sqrt(16.2) rounded up
        (1, 80.0),
        (9800, 1.0),  # 50 cells: not yet large
        (39200, 0.5),  # 200 cells shrink to 50
    ],
)
def test_scale_brings_an_object_to_32_cells_or_shrinks_it_to_50(area: int, scale: float):
    assert object_scale(area, num_tokens=32, large_cells=50) == pytest.approx(scale)


def test_vision_object_shrinks_only_from_100_cells_on():
    assert object_scale(39200, num_tokens=32, large_cells=100) == pytest.approx(0.5**0.5)
    assert object_scale(19600, num_tokens=32, large_cells=100) == 1.0


@pytest.mark.parametrize(('side', 'cells'), [(3, 112 * 112), (5, 69 * 69), (10, 38 * 38), (80, 10 * 10)])
def test_grids_of_small_squares_are_those_measured_upstream(side: int, cells: int):
    scale = object_scale(side * side, num_tokens=32, large_cells=100)
    # The last row and column of the box are left out, as PixelRefer does.
    assert scaled_grid(side + 55, side + 55, scale).cells == cells


def test_a_cap_bounds_the_cells_and_keeps_the_aspect():
    assert capped_grid(Grid(112, 112), 1024) == Grid(32, 32)
    assert capped_grid(Grid(10, 20), 1024) == Grid(10, 20)
    tall = capped_grid(Grid(400, 100), 1024)
    assert tall.cells <= 1024
    assert tall.rows / tall.columns == pytest.approx(4.0, rel=0.1)


def test_a_cap_holds_for_a_line():
    assert capped_grid(Grid(5000, 1), 1024) == Grid(1024, 1)
    assert capped_grid(Grid(1, 5000), 1024) == Grid(1, 1024)


@pytest.mark.parametrize(
    ('size', 'factor', 'max_pixels', 'expected'),
    [
        ((210, 280), 14, 8192 * 196, (210, 280)),  # nothing to do
        ((126, 168), 28, 8192 * 196, (112, 168)),  # 4.5 rounds to the even 4
        ((336, 336), 14, 8192 // 16 * 196, (308, 308)),  # 16 masks share the budget
        ((336, 336), 14, 8192 // 33 * 196, (210, 210)),
        ((14, 14), 14, 8192 * 196, (56, 56)),  # at least 16 patches
        ((7, 70), 14, 8192 * 196, (28, 182)),  # first 14 x 140, then both sides x 1.27, rounded up
    ],
)
def test_pictures_are_resized_to_whole_patches_within_their_budget(size, factor, max_pixels, expected):
    assert smart_resize(*size, factor=factor, max_pixels=max_pixels) == expected


def test_a_picture_200_times_longer_than_wide_is_refused():
    with pytest.raises(ValueError, match='200 times'):
        smart_resize(14, 14 * 201, factor=14, max_pixels=8192 * 196)


def test_positions_run_over_the_swapped_extent_of_the_box_as_the_weights_were_trained():
    # An image of 11 rows and 21 columns; the box spans rows 2 to 6 and columns 4 to 12.
    positions = cell_positions(Grid(2, 4), PaddedBox(2, 4, 6, 12), (11, 21)).reshape(2, 4, 2)
    # First component: over the rows 2 to 6 along the columns of the grid, divided by the width.
    np.testing.assert_allclose(positions[0, :, 0], [2 / 20, 3 / 20, 4 / 20, 5 / 20], rtol=1e-6)
    np.testing.assert_allclose(positions[1, :, 0], positions[0, :, 0])
    # Second component: over the columns 4 to 12 along the rows of the grid, divided by the height.
    np.testing.assert_allclose(positions[:, 0, 1], [4 / 10, 8 / 10], rtol=1e-6)
    np.testing.assert_allclose(positions[:, 3, 1], positions[:, 0, 1])


def test_positions_in_an_image_of_one_pixel_are_finite():
    assert np.isfinite(cell_positions(Grid(1, 1), PaddedBox(0, 0, 0, 0), (1, 1))).all()
