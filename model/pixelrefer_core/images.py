"""Camera pixels as they come off a wire or a disk, to uint8 RGB. Pure; no ROS types.

Encodings carry the names of ``sensor_msgs/image_encodings``.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .errors import InvalidImageError
from .image_headers import compressed_size
from .types import ImageArray

# encoding -> (dtype, channels)
_LAYOUTS: dict[str, tuple[type[np.generic], int]] = {
    'rgb8': (np.uint8, 3),
    'bgr8': (np.uint8, 3),
    '8UC3': (np.uint8, 3),
    'rgba8': (np.uint8, 4),
    'bgra8': (np.uint8, 4),
    'mono8': (np.uint8, 1),
    '8UC1': (np.uint8, 1),
    'mono16': (np.uint16, 1),
    '16UC1': (np.uint16, 1),
    '32FC1': (np.float32, 1),
}
_TO_RGB = {
    'bgr8': cv2.COLOR_BGR2RGB,
    '8UC3': cv2.COLOR_BGR2RGB,
    'rgba8': cv2.COLOR_RGBA2RGB,
    'bgra8': cv2.COLOR_BGRA2RGB,
    'mono8': cv2.COLOR_GRAY2RGB,
    '8UC1': cv2.COLOR_GRAY2RGB,
}
COLOUR_ENCODINGS = ('rgb8', *_TO_RGB, 'mono16', '16UC1')


def view_pixels(
    data: bytes | memoryview | npt.NDArray[np.uint8],
    *,
    height: int,
    width: int,
    encoding: str,
    step: int,
    is_bigendian: bool = False,
) -> npt.NDArray[np.generic]:
    """View a row-padded buffer as an array (H, W) or (H, W, C) of its native dtype, without a copy.

    ``step``: bytes from one row to the next, at least a full row. Raises :class:`InvalidImageError` for an
    unknown encoding, a size of zero, a step shorter than a row, or a buffer that is too short.
    """
    if encoding not in _LAYOUTS:
        raise InvalidImageError(f'encoding {encoding!r} is not read; use one of {", ".join(_LAYOUTS)}')
    dtype, channels = _LAYOUTS[encoding]
    pixel = np.dtype(dtype).itemsize * channels
    if height <= 0 or width <= 0:
        raise InvalidImageError(f'the image is empty: {width} x {height} pixels')
    if step < width * pixel:
        raise InvalidImageError(
            f'step is {step} bytes, but a row of {width} {encoding} pixels has {width * pixel}'
        )
    buffer = np.frombuffer(data, np.uint8)
    # The last row may come without its padding.
    needed = step * (height - 1) + width * pixel
    if buffer.size < needed:
        raise InvalidImageError(
            f'data holds {buffer.size} bytes, {width} x {height} {encoding} needs {needed}'
        )
    order = np.dtype(dtype).newbyteorder('>' if is_bigendian else '<')
    shape, strides = (height, width), (step, pixel)
    if channels > 1:
        shape, strides = (*shape, channels), (*strides, order.itemsize)  # type: ignore[assignment]
    return np.ndarray(shape, order, buffer, strides=strides)


def to_rgb(pixels: npt.NDArray[np.generic], encoding: str) -> ImageArray:
    """Convert decoded pixels to RGB (H, W, 3); rgb8 passes through without a copy.

    16-bit images are taken as intensities over their full range (high byte).
    Raises :class:`InvalidImageError` for an encoding that is no picture.
    """
    if encoding == 'rgb8':
        return pixels  # type: ignore[return-value]
    if encoding in ('mono16', '16UC1'):
        pixels, encoding = (pixels >> 8).astype(np.uint8), 'mono8'  # type: ignore[operator]
    if encoding not in _TO_RGB:
        raise InvalidImageError(
            f'{encoding} is no colour or grey picture; use one of {", ".join(COLOUR_ENCODINGS)}'
        )
    return cv2.cvtColor(np.ascontiguousarray(pixels), _TO_RGB[encoding])  # type: ignore[return-value]


def decode_compressed(
    data: bytes | memoryview | npt.NDArray[np.uint8], *, max_pixels: int | None = None
) -> ImageArray:
    """Decode JPEG, PNG or WebP bytes to RGB (H, W, 3). Raises :class:`InvalidImageError` when they are none.

    ``max_pixels``: what will be larger is refused before memory is taken for it; for bytes that somebody sent.
    """
    buffer = np.frombuffer(data, np.uint8)
    if max_pixels is not None:
        _check_size(buffer.data, max_pixels)
    image = cv2.imdecode(buffer, cv2.IMREAD_COLOR) if buffer.size else None
    if image is None:
        raise InvalidImageError(
            f'{buffer.size} bytes of compressed image cannot be decoded as JPEG, PNG or WebP'
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)  # type: ignore[return-value]


def _check_size(data: memoryview, max_pixels: int) -> None:
    size = compressed_size(data)
    if size is None:
        raise InvalidImageError(f'{len(data)} bytes of compressed image do not begin as JPEG, PNG or WebP do')
    if size[0] * size[1] > max_pixels:
        raise InvalidImageError(
            f'a compressed image of {size[1]} x {size[0]} pixels; limits.image_pixels is {max_pixels}'
        )


def encode_jpeg(image: ImageArray, quality: int) -> bytes:
    """Encode RGB (H, W, 3) as JPEG; ``quality`` 1-100."""
    _, data = cv2.imencode(
        '.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return data.tobytes()
