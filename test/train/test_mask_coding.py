"""Masks of data sets are read and written as COCO tools do; values worked out by hand."""

import numpy as np
import pytest

from pixelrefer_core.errors import InvalidRequestError, MaskSizeMismatchError
from pixelrefer_train.mask_coding import decode_mask, encode_rle, fill_box, fill_polygon


def drawn(*rows: str) -> np.ndarray:
    return np.array([[pixel == '#' for pixel in row] for row in rows])


CORNER = drawn('##.', '#..')  # columns: ## #. .. -> no background, 3 set, 3 not


def test_plain_run_lengths_go_down_the_columns_and_begin_with_background():
    assert (decode_mask({'size': [2, 3], 'counts': [0, 3, 3]}, 2, 3) == CORNER).all()


def test_compressed_counts_are_digits_of_base_32_after_the_character_zero():
    # 0, 3, 3 -> '0', '3', '3'; a fourth count would be relative to the second.
    assert encode_rle(CORNER) == {'size': [2, 3], 'counts': '033'}
    assert (decode_mask({'size': [2, 3], 'counts': b'033'}, 2, 3) == CORNER).all()


def test_long_and_falling_counts_take_more_digits_and_a_sign():
    # runs 100, 5, 100, 2, 3 of a column of 210: 100 = 3 * 32 + 4 -> 'T3'; 5 -> '5'; 100 -> 'T3';
    # 2 - 5 = -3 -> 0b11101 -> 'M'; 3 - 100 = -97 = -4 * 32 + 31 -> 0b11111 with more 'o', then 0b11100 'L'
    column = np.zeros((210, 1), bool)
    column[100:105] = column[205:207] = True
    assert encode_rle(column)['counts'] == 'T35T3MoL'
    assert (decode_mask({'size': [210, 1], 'counts': 'T35T3MoL'}, 210, 1) == column).all()


@pytest.mark.parametrize('share', [0.0, 0.1, 0.5, 0.9, 1.0])
def test_every_mask_survives_writing_and_reading(share):
    mask = np.random.default_rng(7).random((37, 53)) < share
    assert (decode_mask(encode_rle(mask), 37, 53) == mask).all()


def test_run_lengths_are_those_of_pycocotools():
    tools = pytest.importorskip('pycocotools.mask', reason='pycocotools is not installed (extra "eval")')
    mask = np.random.default_rng(3).random((37, 53)) < 0.3
    theirs = tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encode_rle(mask)['counts'] == theirs['counts'].decode()


def test_a_polygon_holds_the_pixels_whose_centres_it_holds():
    assert (fill_polygon([1, 0, 3, 0, 3, 2, 1, 2], 3, 4) == drawn('.##.', '.##.', '....')).all()
    triangle = drawn('#...', '##..', '###.', '....')
    assert (fill_polygon([0, -0.5, 3, 3, 0, 3], 4, 4) == triangle).all()


def test_polygons_are_united_and_may_reach_out_of_the_picture():
    coded = [[-5, -5, 1, -5, 1, 1, -5, 1], [0, 0, 2, 0, 2, 1, 0, 1], [2, 1, 9, 1, 9, 9, 2, 9]]
    assert (decode_mask(coded, 2, 3) == drawn('##.', '..#')).all()
    assert (decode_mask(coded[1], 2, 3) == drawn('##.', '...')).all()
    assert not decode_mask([], 2, 3).any()


def test_polygons_agree_with_pycocotools_but_for_their_border():
    tools = pytest.importorskip('pycocotools.mask', reason='pycocotools is not installed (extra "eval")')
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    star = np.stack([50 + (30 + 10 * np.cos(5 * angles)) * np.cos(angles), 40 + 30 * np.sin(angles)], axis=1)
    ours = decode_mask([star.ravel().tolist()], 80, 100)
    theirs = tools.decode(tools.merge(tools.frPyObjects([star.ravel().tolist()], 80, 100))) > 0
    assert np.count_nonzero(ours ^ theirs) < 0.02 * np.count_nonzero(theirs)


def test_a_box_is_half_open_and_ends_at_the_picture():
    assert (fill_box((1, 0, 9, 1), 2, 3) == drawn('.##', '...')).all()


@pytest.mark.parametrize(
    ('coded', 'error', 'words'),
    [
        ({'size': [3, 2], 'counts': '033'}, MaskSizeMismatchError, r'\[3, 2\]'),
        ({'size': [2, 3], 'counts': [0, 3]}, InvalidRequestError, 'add up to 3'),
        ({'size': [2, 3], 'counts': [-1, 3, 4]}, InvalidRequestError, 'run lengths'),
        ({'size': [2, 3], 'counts': '03T'}, InvalidRequestError, 'damaged'),
        ({'size': [2, 3], 'counts': '0 3'}, InvalidRequestError, 'damaged'),
        ({'counts': '033'}, InvalidRequestError, 'size and counts'),
        ([[0, 0, 1, 1]], InvalidRequestError, 'three'),
        ([[0, 0, 1, 1, 'x', 2]], InvalidRequestError, 'list of numbers'),
        (None, InvalidRequestError, 'NoneType'),
        ('033', InvalidRequestError, 'str'),
    ],
)
def test_what_is_no_mask_is_refused(coded, error, words):
    with pytest.raises(error, match=words):
        decode_mask(coded, 2, 3)
