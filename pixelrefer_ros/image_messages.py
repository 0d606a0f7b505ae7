"""Images, depth and calibrations of messages, and pixels. Pure."""

from __future__ import annotations

import array

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from pixelrefer_core.errors import InvalidCameraInfoError, InvalidImageError, InvalidPromptError
from pixelrefer_core.images import decode_compressed, to_rgb, view_pixels
from pixelrefer_core.pinhole import make_intrinsics
from pixelrefer_core.positions import DEPTH_ENCODINGS
from pixelrefer_core.settings import LimitSettings
from pixelrefer_core.types import DepthImage, Frame, Intrinsics, MaskArray
from pixelrefer_ros.stamps import to_ns


def to_frame(message: Image | CompressedImage, *, max_pixels: int = LimitSettings().image_pixels) -> Frame:
    """Decode an image message. rgb8 without padding is viewed, not copied; the message must stay unchanged.

    ``max_pixels``: of a compressed image; it is refused before memory is taken for it. Raises
    :class:`InvalidImageError`.
    """
    if isinstance(message, CompressedImage):
        image = decode_compressed(message.data, max_pixels=max_pixels)
    else:
        image = np.ascontiguousarray(to_rgb(_pixels(message), message.encoding))
    return Frame(image, to_ns(message.header.stamp), message.header.frame_id)


def to_intrinsics(message: CameraInfo, *, rectified: bool = False) -> Intrinsics:
    """Read a calibration. ``rectified``: its images have been rectified, so that P counts, else K and D do.

    Raises :class:`InvalidCameraInfoError`.
    """
    if rectified and message.p[3]:
        raise InvalidCameraInfoError(
            'P of camera_info has a baseline: this is the right camera of a pair, and depth is seen from the left'
        )
    k = [message.p[index] for index in (0, 1, 2, 4, 5, 6, 8, 9, 10)] if rectified else list(message.k)
    roi = message.roi
    return make_intrinsics(
        height=message.height,
        width=message.width,
        k=k,
        distortion=() if rectified else list(message.d),
        distortion_model=message.distortion_model,
        binning=(message.binning_x, message.binning_y),
        roi=(roi.x_offset, roi.y_offset, roi.width, roi.height),
    )


def to_camera_info(camera: Intrinsics, header: Header) -> CameraInfo:
    """The calibration of a camera whose images are neither distorted nor binned nor cropped."""
    k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    return CameraInfo(
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=k,
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0],
    )


def to_depth(message: Image, camera: Intrinsics) -> DepthImage:
    """View a depth image, without a copy. Raises :class:`InvalidImageError`."""
    if message.encoding not in DEPTH_ENCODINGS:
        raise InvalidImageError(
            f'depth is {" or ".join(DEPTH_ENCODINGS)} (millimetres, metres), not {message.encoding!r}'
        )
    return DepthImage(_pixels(message), message.encoding, camera)


def to_image(image: np.ndarray, header: Header, encoding: str) -> Image:
    """Wrap pixels (H, W) or (H, W, C), already in ``encoding``, into a message."""
    pixels = np.ascontiguousarray(image)
    # array.array is what rclpy stores: anything else is copied element by element (100 times slower).
    data = array.array('B')
    data.frombytes(pixels.data.cast('B'))
    return Image(
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=data,
    )


def to_mask(message: Image) -> MaskArray:
    """Read a mono8 mask, non-zero = object. Raises :class:`InvalidPromptError` or :class:`InvalidImageError`."""
    if message.encoding not in ('mono8', '8UC1'):
        raise InvalidPromptError(f'the mask must be mono8 or 8UC1, not {message.encoding!r}')
    return _pixels(message) != 0


def from_label_image(message: Image) -> np.ndarray:
    """The values of a label image, (H, W)."""
    return _pixels(message)


def _pixels(message: Image) -> np.ndarray:
    return view_pixels(
        message.data,
        height=message.height,
        width=message.width,
        encoding=message.encoding,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
    )
