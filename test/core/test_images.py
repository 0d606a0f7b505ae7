"""Every encoding that a camera may send becomes the same RGB picture, or a typed error."""

import cv2
import numpy as np
import pytest

from pixelrefer_core.errors import InvalidImageError
from pixelrefer_core.image_headers import compressed_size
from pixelrefer_core.images import decode_compressed, encode_jpeg, to_rgb, view_pixels

RGB = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]], np.uint8)
GREY = np.array([[0, 100], [200, 255]], np.uint8)


def padded(pixels: np.ndarray, padding: int = 5) -> tuple[bytes, int]:
    rows = [row.tobytes() + b'\xee' * padding for row in pixels]
    return b''.join(rows), len(rows[0])


@pytest.mark.parametrize(
    ('encoding', 'pixels'),
    [
        ('rgb8', RGB),
        ('bgr8', RGB[..., ::-1]),
        ('8UC3', RGB[..., ::-1]),
        ('rgba8', np.dstack([RGB, np.full((2, 2), 7, np.uint8)])),
        ('bgra8', np.dstack([RGB[..., ::-1], np.full((2, 2), 7, np.uint8)])),
    ],
)
def test_a_colour_encoding_with_padded_rows_becomes_rgb(encoding, pixels):
    data, step = padded(pixels)
    seen = view_pixels(data, height=2, width=2, encoding=encoding, step=step)
    np.testing.assert_array_equal(to_rgb(seen, encoding), RGB)


def test_grey_becomes_three_equal_channels():
    data, step = padded(GREY)
    rgb = to_rgb(view_pixels(data, height=2, width=2, encoding='mono8', step=step), 'mono8')
    np.testing.assert_array_equal(rgb, np.dstack([GREY] * 3))


@pytest.mark.parametrize('big_endian', [False, True])
def test_sixteen_bit_grey_keeps_its_high_byte_in_either_byte_order(big_endian):
    data, step = padded((GREY.astype(np.uint16) * 256 + 255).astype('>u2' if big_endian else '<u2'))
    seen = view_pixels(data, height=2, width=2, encoding='mono16', step=step, is_bigendian=big_endian)
    np.testing.assert_array_equal(to_rgb(seen, 'mono16')[..., 0], GREY)


def test_unpadded_rgb_is_a_view_and_not_a_copy():
    buffer = np.frombuffer(RGB.tobytes(), np.uint8)
    seen = to_rgb(view_pixels(buffer, height=2, width=2, encoding='rgb8', step=6), 'rgb8')
    assert np.shares_memory(seen, buffer)
    assert seen.flags.c_contiguous


def test_a_depth_image_is_viewed_in_metres_but_is_no_picture():
    depth = np.array([[1.5, np.nan]], np.float32)
    seen = view_pixels(depth.tobytes(), height=1, width=2, encoding='32FC1', step=8)
    np.testing.assert_array_equal(seen, depth)
    with pytest.raises(InvalidImageError, match='no colour or grey picture'):
        to_rgb(seen, '32FC1')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'encoding': 'yuv422'}, "'yuv422' is not read"),
        ({'step': 5}, 'step is 5 bytes, but a row of 2 rgb8 pixels has 6'),
        ({'height': 3}, 'holds 12 bytes, 2 x 3 rgb8 needs 18'),
        ({'width': 0}, 'empty'),
    ],
)
def test_a_message_that_contradicts_itself_is_refused_with_the_numbers(change, message):
    layout = {'height': 2, 'width': 2, 'encoding': 'rgb8', 'step': 6}
    with pytest.raises(InvalidImageError, match=message):
        view_pixels(RGB.tobytes(), **(layout | change))


def test_jpeg_and_png_bytes_are_decoded_to_rgb():
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[..., 0] = 200
    np.testing.assert_allclose(decode_compressed(encode_jpeg(picture, 95)), picture, atol=4)
    png = cv2.imencode('.png', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    np.testing.assert_array_equal(decode_compressed(png), picture)


@pytest.mark.parametrize('data', [b'', b'not a picture'])
def test_bytes_that_are_no_picture_are_refused(data):
    with pytest.raises(InvalidImageError, match=f'{len(data)} bytes'):
        decode_compressed(data)


@pytest.mark.parametrize('extension', ['.jpg', '.png', '.webp'])
def test_the_size_of_a_compressed_image_is_told_by_its_header(extension):
    picture = np.random.default_rng(0).integers(0, 255, (37, 53, 3), np.uint8)
    data = cv2.imencode(extension, picture)[1].tobytes()
    assert compressed_size(data) == (37, 53)
    # EXIF goes before the frame of a JPEG, and losslessness changes the chunks of a WebP.
    lossless = cv2.imencode('.webp', picture, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    assert compressed_size(lossless) == (37, 53)
    if extension == '.jpg':
        exif = b'\xff\xe1' + (300).to_bytes(2, 'big') + bytes(298)
        assert compressed_size(data[:2] + exif + data[2:]) == (37, 53)


@pytest.mark.parametrize('cut', [0, 1, 2, 3, 7, 12, 20, 23, 29])
def test_a_header_that_is_cut_off_has_no_size(cut):
    for extension in ('.jpg', '.webp'):
        data = cv2.imencode(extension, np.zeros((37, 53, 3), np.uint8))[1].tobytes()
        assert compressed_size(data[:cut]) is None


def test_a_small_message_that_would_become_a_huge_image_is_refused_before_it_is_decoded(monkeypatch):
    black = np.zeros((3000, 3000), np.uint8)
    bomb = cv2.imencode('.png', black, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    assert len(bomb) < 20_000
    monkeypatch.setattr(cv2, 'imdecode', None)
    with pytest.raises(InvalidImageError, match=r'3000 x 3000 pixels; limits\.image_pixels is 1000000'):
        decode_compressed(bomb, max_pixels=1_000_000)
    with pytest.raises(InvalidImageError, match='do not begin as JPEG'):
        decode_compressed(cv2.imencode('.bmp', np.zeros((3, 3), np.uint8))[1].tobytes(), max_pixels=100)
