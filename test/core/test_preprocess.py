"""Resizing, masks on cells, patches and normalisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pixelrefer_core.geometry import Grid
from pixelrefer_core.preprocess import (
    Normalizer,
    grid_of,
    mask_to_grid,
    mask_to_grid_rounded,
    resize_area,
    resize_bicubic,
    to_patches,
)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (56, 42, 3), dtype=np.uint8)


def test_bicubic_to_the_same_size_is_a_copy(image: np.ndarray):
    np.testing.assert_array_equal(resize_bicubic(image, 56, 42), image)


def test_bicubic_follows_the_filter_written_out_in_floating_point(image: np.ndarray):
    def cubic(x: float) -> float:
        x = abs(x)
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    def matrix(size_in: int, size_out: int) -> np.ndarray:
        stretch = max(size_in / size_out, 1.0)
        rows = [
            [cubic((j + 0.5 - (i + 0.5) * size_in / size_out) / stretch) for j in range(size_in)]
            for i in range(size_out)
        ]
        return np.array(rows) / np.sum(rows, axis=1, keepdims=True)

    for size in ((28, 70), (100, 20), (57, 41)):
        across = np.clip(np.round(np.einsum('oj,hjc->hoc', matrix(42, size[1]), image)), 0, 255)
        expected = np.clip(np.einsum('oi,iwc->owc', matrix(56, size[0]), across), 0, 255)
        # Rounding of the first pass may fall the other way in fixed point, which moves the second by one.
        assert np.abs(resize_bicubic(image, *size) - expected).max() <= 1.5


def test_area_resize_averages_blocks():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2, :2] = [[[10] * 3, [20] * 3], [[30] * 3, [40] * 3]]
    assert resize_area(image, 2, 2)[0, 0].tolist() == [25, 25, 25]


def test_a_rounded_mask_equals_what_torch_makes_of_uint8():
    random = np.random.default_rng(5)
    differing = total = 0
    for _ in range(200):
        height, width = random.integers(2, 90, 2)
        rows, columns = random.integers(1, 30, 2)
        mask = random.random((height, width)) < random.random()
        tensor = torch.from_numpy(mask.astype(np.uint8))[None, None]
        expected = torch.nn.functional.interpolate(tensor, size=(int(rows), int(columns)), mode='bilinear')
        ours = mask_to_grid_rounded(mask, Grid(int(rows), int(columns)))
        differing += int((ours != expected[0, 0].numpy()).sum())
        total += ours.size
    if not torch.backends.cpu.get_cpu_capability().startswith('AVX'):
        pytest.skip('torch rounds uint8 once per pass only in its vectorised x86 code')
    assert differing == 0, f'{differing} of {total} cells'


def test_a_thin_line_vanishes_when_rounded_and_stays_when_smooth():
    mask = np.zeros((140, 140), np.bool_)
    mask[6] = True  # next to the middle of the first row of cells, at 6.5
    assert mask_to_grid_rounded(mask, Grid(10, 10)).sum() == 10  # weight 0.5 rounds up
    mask = np.roll(mask, -3, axis=0)
    assert mask_to_grid_rounded(mask, Grid(10, 10)).sum() == 0
    wide = np.zeros((140, 140), np.bool_)
    wide[:, 100:] = True
    assert (mask_to_grid(wide, Grid(10, 10)) > 0).sum() >= mask_to_grid_rounded(wide, Grid(10, 10)).sum()


def test_patches_are_channel_major_and_row_by_row(image: np.ndarray):
    patches = to_patches(image)
    assert patches.shape == (4 * 3, 588)
    np.testing.assert_array_equal(patches[4].reshape(3, 14, 14), image[14:28, 14:28].transpose(2, 0, 1))


def test_merged_patches_come_in_blocks():
    image = np.arange(28 * 56 * 3, dtype=np.int64).astype(np.uint8).reshape(28, 56, 3)
    plain, merged = to_patches(image), to_patches(image, merge=2)
    # Two blocks of 2 x 2 out of a grid of 2 x 4.
    np.testing.assert_array_equal(merged, plain[[0, 1, 4, 5, 2, 3, 6, 7]])
    assert grid_of(image) == Grid(2, 4)


def test_pixels_become_minus_one_to_one():
    patches = np.zeros((1, 588), np.uint8)
    patches[0, 1], patches[0, 2] = 255, 127
    values = Normalizer((0.5,) * 3, (0.5,) * 3)([patches], torch.device('cpu'), torch.float32)[0]
    assert values[:3].tolist() == pytest.approx([-1.0, 1.0, 127 / 255 * 2 - 1], abs=1e-6)


def test_each_channel_has_its_own_mean_and_deviation():
    patches = np.full((2, 588), 51, np.uint8)  # 0.2
    normalize = Normalizer((0.1, 0.2, 0.3), (0.1, 0.5, 0.2))
    values = normalize([patches[:1], patches[1:]], torch.device('cpu'), torch.float32)
    assert values.shape == (2, 588)
    assert values[1, [0, 196, 392]].tolist() == pytest.approx([1.0, 0.0, -0.5], abs=1e-6)
