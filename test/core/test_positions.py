"""Positions in space from masks and depth: planes and boxes whose places are worked out by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pixelrefer_core.errors import InvalidCameraInfoError, InvalidImageError, PromptOutsideImageError
from pixelrefer_core.pinhole import make_intrinsics, project, rays, resized
from pixelrefer_core.positions import locate
from pixelrefer_core.rigid import RigidTransform, from_quaternion
from pixelrefer_core.types import DepthImage, Intrinsics

# 100 pixels wide at 1 m is 1 m wide; the axis meets the middle of the image.
CAMERA = Intrinsics(width=80, height=60, fx=100.0, fy=100.0, cx=39.5, cy=29.5)
K = [100.0, 0.0, 39.5, 0.0, 100.0, 29.5, 0.0, 0.0, 1.0]


def mask_of(top: int, left: int, bottom: int, right: int, size=(60, 80)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def plane(metres: float, encoding: str = '32FC1') -> DepthImage:
    """A wall across the view."""
    if encoding == '16UC1':
        return DepthImage(np.full((60, 80), round(1000 * metres), np.uint16), encoding, CAMERA)
    return DepthImage(np.full((60, 80), metres, np.float32), encoding, CAMERA)


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
def test_a_patch_of_a_wall_lies_where_its_pixels_look(encoding):
    # Columns 50..69, so its middle is at 59.5: 20 pixels right of the axis; at 2 m that is 0.4 m. Rows 10..19: 14.5,
    # 15 pixels up: -0.3 m.
    found = locate(mask_of(10, 50, 20, 70), plane(2.0, encoding))
    assert found.is_valid
    assert found.xyz_m == pytest.approx((0.4, -0.3, 2.0))
    assert found.spread_m == pytest.approx(0.0)
    # Middles of the first and the last of 20 columns are 19 pixels apart, 0.38 m; 2 % are left out on both sides.
    assert found.extent_m == pytest.approx((0.38, 0.18, 0.0), abs=0.03)
    assert found.extent_m[0] <= 0.38


def test_a_box_in_front_of_a_wall_is_not_pulled_to_the_wall_by_a_loose_mask():
    depth = plane(3.0)
    depth.pixels[20:40, 30:50] = 1.5
    # The mask is four pixels too wide on each side: half of it shows the wall.
    found = locate(mask_of(16, 26, 44, 54), depth)
    assert found.xyz_m == pytest.approx((0.0, 0.0, 1.5), abs=0.01)
    assert found.extent_m[:2] == pytest.approx((19 * 0.015, 19 * 0.015), abs=0.03)


def test_what_stands_in_front_of_an_object_is_left_out_too():
    depth = plane(2.0)
    depth.pixels[:, 40:46] = 0.5
    found = locate(mask_of(20, 20, 40, 60), depth)
    assert found.xyz_m[2] == pytest.approx(2.0)


def test_between_two_surfaces_of_equal_size_one_is_chosen_and_no_place_between_them():
    depth = plane(1.0)
    depth.pixels[:, 40:] = 3.0
    found = locate(mask_of(20, 30, 40, 50), depth)
    assert found.is_valid
    assert found.xyz_m[2] in (1.0, 3.0)


def test_a_tilted_board_keeps_its_depth():
    depth = plane(1.0)
    depth.pixels[:] = np.linspace(1.0, 1.4, 60, dtype=np.float32)[:, None]
    # Rows 15..44 of 60 show 1 + 0.4 * 15 / 59 to 1 + 0.4 * 44 / 59; their middle is row 29.5, the middle of the board.
    found = locate(mask_of(15, 20, 45, 60), depth)
    assert found.xyz_m[2] == pytest.approx(1.2, abs=0.005)
    assert found.extent_m[2] == pytest.approx(0.4 * 29 / 59, abs=0.02)


@pytest.mark.parametrize('nothing', [np.nan, np.inf, 0.0, -1.0])
def test_pixels_without_a_measurement_do_not_count(nothing):
    depth = plane(2.0)
    depth.pixels[:, ::2] = nothing
    depth.pixels[20:40, 30:50][:, ::3] = nothing
    found = locate(mask_of(20, 30, 40, 50), depth)
    assert found.is_valid
    assert found.xyz_m == pytest.approx((0.0, 0.0, 2.0), abs=0.03)


@pytest.mark.parametrize('nothing', [np.nan, 0.0])
def test_without_any_measurement_the_position_is_invalid_and_says_so(nothing):
    found = locate(mask_of(20, 30, 40, 50), plane(nothing))
    assert not found.is_valid
    assert '0 depth pixels' in found.problem
    assert all(np.isnan(found.xyz_m))


def test_fewer_measurements_than_are_asked_for_are_too_few():
    mask = mask_of(20, 30, 24, 34)
    assert locate(mask, plane(2.0), minimum=3).is_valid
    assert '17 are needed' in locate(mask, plane(2.0), minimum=17).problem


def test_an_object_that_depth_mostly_misses_has_no_position():
    depth = plane(2.0)
    depth.pixels[:] = 0.0
    depth.pixels[25:29, 30:40] = 2.0  # 40 pixels of 800 and more
    found = locate(mask_of(15, 20, 45, 60), depth, minimum=5)
    assert 'only' in found.problem
    assert not found.is_valid


def test_an_object_that_is_not_visible_has_no_position():
    assert locate(np.zeros((60, 80), bool), plane(2.0)).problem == 'it is not visible'


@pytest.mark.parametrize('scale', [0.5, 2])
def test_depth_of_another_size_gives_the_same_place(scale):
    size = (round(60 * scale), round(80 * scale))
    depth = DepthImage(np.full(size, 2.0, np.float32), '32FC1', CAMERA)
    found = locate(mask_of(10, 50, 20, 70), depth)
    assert found.xyz_m == pytest.approx((0.4, -0.3, 2.0), abs=1e-6)


def test_a_calibration_of_the_depth_images_size_serves_as_well():
    half = Intrinsics(width=40, height=30, fx=50.0, fy=50.0, cx=19.5, cy=14.5)
    depth = DepthImage(np.full((30, 40), 2.0, np.float32), '32FC1', half)
    assert locate(mask_of(10, 50, 20, 70), depth).xyz_m == pytest.approx((0.4, -0.3, 2.0), abs=1e-6)


def test_an_object_that_fills_a_large_image_costs_no_more_than_a_small_one():
    camera = Intrinsics(width=3840, height=2160, fx=4000.0, fy=4000.0, cx=1919.5, cy=1079.5)
    depth = DepthImage(np.full((2160, 3840), 2000, np.uint16), '16UC1', camera)
    mask = mask_of(0, 0, 2160, 3840, size=(2160, 3840))
    box = (0, 0, 3840, 2160)
    start = time.process_time()
    found = locate(mask, depth, box=box)
    spent_s = time.process_time() - start
    assert found.xyz_m == pytest.approx((0.0, 0.0, 2.0), abs=0.02)
    assert found.measurements > 1_000_000
    # Eight million points would take a second.
    assert spent_s < 0.2


def test_another_frame_sees_the_same_object_elsewhere():
    # A camera that looks along the robot's x, 0.5 m above it: its z is forward, its x to the right, its y down.
    to_robot = RigidTransform(
        np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.array([0, 0, 0.5])
    )
    found = locate(mask_of(10, 50, 20, 70), plane(2.0), transform=to_robot)
    assert found.xyz_m == pytest.approx((2.0, -0.4, 0.8))
    assert found.extent_m == pytest.approx((0.0, 0.38, 0.18), abs=0.03)


def test_a_quaternion_turns_as_it_should():
    quarter = np.sqrt(0.5)
    turned = from_quaternion((0.0, 0.0, quarter, quarter), (1.0, 0.0, 0.0)).apply(np.array([1.0, 0.0, 0.0]))
    assert turned == pytest.approx((1.0, 1.0, 0.0))


# --- nonsense


def test_an_unknown_encoding_is_refused():
    with pytest.raises(InvalidImageError, match="not 'mono16'"):
        locate(mask_of(0, 0, 9, 9), DepthImage(np.ones((60, 80), np.uint16), 'mono16', CAMERA))


def test_pixels_that_are_not_of_the_encoding_are_refused():
    with pytest.raises(InvalidImageError, match='16UC1 depth image is a matrix of uint16, not float32'):
        locate(mask_of(0, 0, 9, 9), DepthImage(np.ones((60, 80), np.float32), '16UC1', CAMERA))


@pytest.mark.parametrize('size', [(60, 60), (48, 80), (60, 84)])
def test_depth_of_other_proportions_is_refused(size):
    depth = DepthImage(np.ones(size, np.float32), '32FC1', CAMERA)
    with pytest.raises(InvalidCameraInfoError, match='no larger or smaller copy'):
        locate(mask_of(0, 0, 9, 9), depth)


def test_a_mask_of_other_proportions_is_refused():
    with pytest.raises(InvalidCameraInfoError, match='no larger or smaller copy'):
        locate(mask_of(0, 0, 9, 9, size=(60, 60)), plane(1.0))


def test_a_camera_without_focal_length_is_refused():
    with pytest.raises(InvalidCameraInfoError, match='not calibrated'):
        make_intrinsics(height=60, width=80, k=[0.0] * 9)
    none = Intrinsics(width=80, height=60, fx=0.0, fy=100.0, cx=0.0, cy=0.0)
    with pytest.raises(InvalidCameraInfoError, match='focal lengths'):
        locate(mask_of(0, 0, 9, 9), DepthImage(np.ones((60, 80), np.float32), '32FC1', none))


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'k': K[:8]}, 'nine finite'),
        ({'k': [float('nan'), *K[1:]]}, 'nine finite'),
        ({'k': [100.0, 3.0, *K[2:]]}, 'skew'),
        ({'width': 0}, 'no size'),
        ({'roi': (70, 0, 20, 20)}, 'roi'),
        ({'distortion': [0.1] * 4, 'distortion_model': 'equidistant'}, 'rectify'),
        ({'distortion': [0.1] * 3}, 'no distortion'),
    ],
)
def test_a_calibration_that_is_none_is_refused_in_words(changes, words):
    with pytest.raises(InvalidCameraInfoError, match=words):
        make_intrinsics(**{'height': 60, 'width': 80, 'k': K, **changes})


# --- the camera


def test_a_part_of_the_sensor_keeps_its_rays():
    whole = make_intrinsics(height=60, width=80, k=K)
    part = make_intrinsics(height=60, width=80, k=K, roi=(20, 10, 40, 30))
    assert (part.width, part.height) == (40, 30)
    seen = np.array([[25.0, 12.0]])
    assert rays(part, seen - (20, 10)) == pytest.approx(rays(whole, seen))


def test_binned_pixels_look_between_those_that_they_are_made_of():
    whole = make_intrinsics(height=60, width=80, k=K)
    binned = make_intrinsics(height=60, width=80, k=K, binning=(2, 2))
    assert (binned.width, binned.height) == (40, 30)
    # Pixel 5, 7 of the binned image are the pixels 10 and 11, 14 and 15 of the sensor.
    assert rays(binned, np.array([[5.0, 7.0]])) == pytest.approx(rays(whole, np.array([[10.5, 14.5]])))


def test_unused_fields_of_camera_info_mean_the_whole_image():
    plain = make_intrinsics(height=60, width=80, k=K, binning=(0, 0), roi=(0, 0, 0, 0), distortion=[0.0] * 5)
    assert plain == CAMERA


def test_a_size_one_pixel_off_by_rounding_is_accepted():
    odd = Intrinsics(width=81, height=61, fx=100.0, fy=100.0, cx=40.0, cy=30.0)
    assert resized(odd, 30, 40).width == 40


def test_distortion_is_taken_out_and_put_back():
    bent = make_intrinsics(height=60, width=80, k=K, distortion=[-0.2, 0.05, 0.0, 0.0, 0.0])
    column, row = project(bent, (0.3, -0.2, 1.0))
    # k1 pulls towards the middle: r^2 = 0.13, so by 1 - 0.2 * 0.13 + 0.05 * 0.13^2 = 0.974845.
    assert (column, row) == pytest.approx((39.5 + 30 * 0.974845, 29.5 - 20 * 0.974845))
    assert rays(bent, np.array([[column, row]]))[0] == pytest.approx((0.3, -0.2), abs=1e-4)


@pytest.mark.parametrize(
    'point', [(0.0, 0.0, -1.0), (0.0, 0.0, 0.0), (9.0, 0.0, 1.0), (0.0, float('nan'), 1.0)]
)
def test_a_point_that_the_camera_cannot_see_is_refused(point):
    with pytest.raises(PromptOutsideImageError):
        project(CAMERA, point)
