"""The pinhole camera: what a camera_info says, at the size of an image; from pixels to rays and back. Pure.

Camera axes are those of REP 103: x to the right, y down, z along the camera's axis; metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from .errors import InvalidCameraInfoError, PromptOutsideImageError
from .types import Intrinsics

# Those whose coefficients OpenCV takes as they are.
_DISTORTION_MODELS = ('plumb_bob', 'rational_polynomial')


def make_intrinsics(
    *,
    height: int,
    width: int,
    k: Sequence[float],
    distortion: Sequence[float] = (),
    distortion_model: str = 'plumb_bob',
    binning: tuple[int, int] = (1, 1),
    roi: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> Intrinsics:
    """Read a calibration as a ``sensor_msgs/CameraInfo`` holds it and return the camera of its images.

    ``height``, ``width``, ``k`` (3 x 3, by rows): of the sensor. ``roi``: the part that was read, x offset, y offset,
    width, height, all zero = the whole; ``binning``: of that, so many columns and rows became one pixel.
    Raises :class:`InvalidCameraInfoError`.
    """
    if height <= 0 or width <= 0:
        raise InvalidCameraInfoError(f'camera_info gives no size: {width} x {height} pixels')
    if len(k) != 9 or not all(math.isfinite(value) for value in k):
        raise InvalidCameraInfoError(f'K of camera_info must be nine finite numbers, not {list(k)}')
    fx, skew, cx, _, fy, cy = (float(value) for value in k[:6])
    if fx <= 0.0 or fy <= 0.0:
        raise InvalidCameraInfoError(
            f'camera_info has the focal lengths {fx:g} and {fy:g}: the camera is not calibrated'
        )
    if skew:
        raise InvalidCameraInfoError(f'K of camera_info has a skew of {skew:g}: pixels must be upright')
    sensor = Intrinsics(width, height, fx, fy, cx, cy, _distortion(distortion, distortion_model))
    return _binned(_cropped(sensor, roi), max(1, binning[0]), max(1, binning[1]))


def resized(camera: Intrinsics, height: int, width: int) -> Intrinsics:
    """Return the camera of the same picture at another size. Raises :class:`InvalidCameraInfoError` when it is another
    picture: its proportions differ by more than a pixel.
    """
    if (height, width) == (camera.height, camera.width):
        return camera
    if abs(width * camera.height - height * camera.width) > max(camera.width, camera.height):
        raise InvalidCameraInfoError(
            f'an image of {width} x {height} pixels is no larger or smaller copy of the {camera.width} x '
            f'{camera.height} that camera_info describes'
        )
    return _scaled(camera, width, height, width / camera.width, height / camera.height)


def rays(camera: Intrinsics, pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return x and y at z = 1 of the rays through ``pixels`` (N, 2), columns and rows: (N, 2)."""
    if camera.distortion and len(pixels):
        straight = cv2.undistortPoints(pixels[:, None], _matrix(camera), np.array(camera.distortion))
        return np.asarray(straight[:, 0], np.float64)
    return (pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy)


def project(camera: Intrinsics, point_m: Sequence[float]) -> tuple[float, float]:
    """Return column and row at which a point x, y, z in camera axes is seen.

    Raises :class:`PromptOutsideImageError` when it is behind the camera or outside the image.
    """
    x, y, z = (float(value) for value in point_m)
    if not z > 0.0:
        raise PromptOutsideImageError(f'the point lies behind the camera: z is {z:.3f} m')
    none = np.zeros(3)
    image, _ = cv2.projectPoints(
        np.array([[x, y, z]]), none, none, _matrix(camera), np.array(camera.distortion or (0.0,) * 5)
    )
    column, row = (float(value) for value in image[0, 0])
    if not (-0.5 <= column <= camera.width - 0.5 and -0.5 <= row <= camera.height - 0.5):
        raise PromptOutsideImageError(
            f'the camera sees the point at {column:.0f}, {row:.0f}, outside its {camera.width} x '
            f'{camera.height} pixels'
        )
    return column, row


def _distortion(coefficients: Sequence[float], model: str) -> tuple[float, ...]:
    if not any(coefficients):
        return ()
    if model not in _DISTORTION_MODELS:
        raise InvalidCameraInfoError(
            f'the distortion model {model!r} is not read, only {" and ".join(_DISTORTION_MODELS)}: '
            'rectify the images'
        )
    if len(coefficients) not in (4, 5, 8, 12, 14) or not all(math.isfinite(value) for value in coefficients):
        raise InvalidCameraInfoError(f'D of camera_info is no distortion: {list(coefficients)}')
    return tuple(float(value) for value in coefficients)


def _cropped(camera: Intrinsics, roi: tuple[int, int, int, int]) -> Intrinsics:
    x, y, width, height = roi
    if not any(roi):
        return camera
    if width <= 0 or height <= 0 or x + width > camera.width or y + height > camera.height:
        raise InvalidCameraInfoError(
            f'roi of camera_info, {width} x {height} pixels at {x}, {y}, is no part of '
            f'{camera.width} x {camera.height}'
        )
    return replace(camera, width=width, height=height, cx=camera.cx - x, cy=camera.cy - y)


def _binned(camera: Intrinsics, columns: int, rows: int) -> Intrinsics:
    return _scaled(camera, camera.width // columns, camera.height // rows, 1 / columns, 1 / rows)


def _scaled(camera: Intrinsics, width: int, height: int, x: float, y: float) -> Intrinsics:
    # Corners of pixels scale, not their middles, which lie half a pixel further in.
    return replace(
        camera,
        width=width,
        height=height,
        fx=camera.fx * x,
        fy=camera.fy * y,
        cx=(camera.cx + 0.5) * x - 0.5,
        cy=(camera.cy + 0.5) * y - 0.5,
    )


def _matrix(camera: Intrinsics) -> npt.NDArray[np.float64]:
    return np.array([[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]])
