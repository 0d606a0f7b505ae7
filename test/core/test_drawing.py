"""Pictures for people: what is drawn where, and that nothing else changes."""

import itertools
import subprocess
import sys

import cv2
import numpy as np
import pytest

from pixelrefer_core import lettering
from pixelrefer_core.drawing import draw_answer_panel, draw_objects, ink_on, object_colour
from pixelrefer_core.lettering import drawable, shorten, text_width, wrap
from pixelrefer_core.sheet import RIGHT, WRONG, Row, contact_sheet
from pixelrefer_core.types import ObjectState, TrackedObject

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
SIGHTS = {
    'normal': np.eye(3),
    'protanopia': [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    'deuteranopia': [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    'tritanopia': [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@pytest.fixture(params=['built-in font', 'stroke letters'])
def font(request, monkeypatch):
    """Both ways to draw letters: OpenCV 5 and what older ones have."""
    if request.param == 'stroke letters':
        monkeypatch.setattr(lettering, '_font', lambda: None)
    elif not hasattr(cv2, 'FontFace'):
        pytest.skip('this OpenCV has no TrueType font')
    return request.param


def scene(height: int = 240, width: int = 320) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def tracked(object_id='obj_1', box=None, *, label='', state=ObjectState.TRACKED, size=(240, 320)):
    mask = np.zeros(size, np.bool_)
    if box is not None:
        mask[box[1] : box[3], box[0] : box[2]] = True
    return TrackedObject(object_id, label, state, 0.9, mask, box, int(mask.sum()), 0, 0)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=2)


def rows_of_colour(image: np.ndarray, colour) -> np.ndarray:
    return np.flatnonzero((image == colour).all(axis=2).any(axis=1))


def test_an_object_has_the_same_colour_in_every_process():
    code = 'from pixelrefer_core.drawing import object_colour; print(object_colour("mug"))'
    runs = [subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, env=env)
            for env in ({'PYTHONHASHSEED': seed, 'PYTHONPATH': ':'.join(sys.path)} for seed in '12')]  # fmt: skip
    assert {run.stdout.strip() for run in runs} == {str(object_colour('mug'))}


def test_twelve_objects_numbered_in_a_row_have_twelve_colours():
    assert len({object_colour(f'obj_{number}') for number in range(1, 13)}) == 12


@pytest.mark.parametrize('object_id', ['', '7', 'ü 你', 'x' * 5000 + '9' * 5000, '\ud800'])
def test_every_id_has_a_colour(object_id):
    assert all(0 <= value <= 255 for value in object_colour(object_id))


@pytest.mark.parametrize('sight', SIGHTS)
def test_colours_stay_apart_for_colour_blind_people(sight):
    colours = np.array([object_colour(f'obj_{number}') for number in range(12)]) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(SIGHTS[sight]), 0, 1)
    encoded = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = cv2.cvtColor(encoded[None].astype(np.float32), cv2.COLOR_RGB2Lab)[0]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)) > 15


def test_letters_on_a_tag_are_dark_on_bright_and_white_on_dark():
    assert sum(ink_on((250, 240, 60))) < 100
    assert ink_on((20, 20, 120)) == (255, 255, 255)


def test_a_mask_is_tinted_by_the_opacity_and_outlined_inside_its_own_pixels():
    image = scene()
    drawn = draw_objects(image, [tracked(box=(100, 100, 200, 180))], 0.5)
    colour = np.array(object_colour('obj_1'))
    np.testing.assert_allclose(drawn[140, 150], (image[140, 150] + colour) / 2, atol=1)
    assert (drawn[100, 100:200] == colour).all()
    assert (drawn[100:180, 199] == colour).all()
    assert not changed(image, drawn)[100:180, 200].any()


def test_opacity_zero_leaves_the_inside_and_opacity_one_hides_it():
    image = scene()
    item = tracked(box=(100, 100, 200, 180))
    assert (draw_objects(image, [item], 0.0)[120:160, 120:180] == image[120:160, 120:180]).all()
    assert (draw_objects(image, [item], 1.0)[120:160, 120:180] == object_colour('obj_1')).all()


def test_pixels_outside_of_masks_and_tags_keep_their_values_and_the_input_is_not_touched():
    image = scene()
    kept = image.copy()
    drawn = draw_objects(image, [tracked(box=(100, 100, 200, 180))], 0.5)
    assert (image == kept).all()
    outside = changed(image, drawn)
    outside[100:180, 100:200] = False
    rows, columns = np.nonzero(outside)
    assert rows.min() >= 80
    assert rows.max() < 100
    assert columns.min() >= 60
    assert columns.max() < 240


@pytest.mark.parametrize(('height', 'width'), [(120, 160), (480, 640), (2160, 3840), (24, 12), (1, 1)])
def test_any_size_of_picture_can_be_drawn_on(font, height, width):
    size = (height, width)
    items = [
        tracked('a', (0, 0, width, height), label='a rather long name of a thing' * 5, size=size),
        tracked('b', (width - 1, height - 1, width, height), size=size),
        tracked('c', state=ObjectState.LOST, size=size),
    ]
    drawn = draw_answer_panel(draw_objects(scene(height, width), items, 0.4), 'What is it?', 'A thing.')
    assert drawn.shape == (height, width, 3)
    assert drawn.dtype == np.uint8


@pytest.mark.parametrize('box', [(0, 0, 30, 30), (290, 0, 320, 30), (0, 210, 30, 240), (290, 210, 320, 240)])
def test_the_tag_of_an_object_in_a_corner_is_whole(font, box):
    """Its area is that of the tag of the same object in the middle."""
    colour = object_colour('obj_1')

    def tag_pixels(place):
        drawn = draw_objects(np.zeros((240, 320, 3), np.uint8), [tracked(box=place)], 0.0)
        drawn[place[1] : place[3], place[0] : place[2]] = 0
        return int((drawn == colour).all(axis=2).sum())

    assert tag_pixels(box) == tag_pixels((150, 110, 180, 140)) > 100


def test_a_tag_names_id_label_and_a_state_other_than_tracked(monkeypatch):
    written = []
    monkeypatch.setattr(
        'pixelrefer_core.drawing.draw_text', lambda image, text, *rest, **_: written.append(text)
    )
    items = [
        tracked('obj_1', (10, 100, 60, 150), label='red ball'),
        tracked('mug', (100, 100, 160, 150), label='mug', state=ObjectState.OCCLUDED),
        tracked('obj_3', state=ObjectState.LOST),
    ]
    draw_objects(scene(), items, 0.4)
    assert sorted(written) == ['mug: occluded', 'obj_1 red ball', 'obj_3: lost']


def test_objects_that_cannot_be_seen_are_listed_in_the_upper_left_corner():
    items = [tracked(f'obj_{number}', state=ObjectState.LOST) for number in (1, 2)]
    drawn = draw_objects(np.zeros((240, 320, 3), np.uint8), items, 0.4)
    first, second = (rows_of_colour(drawn, object_colour(item.object_id)) for item in items)
    assert first[0] < 10
    assert first[-1] < second[0] < 80
    assert not drawn[:, 160:].any()


def test_a_long_list_of_lost_objects_says_how_many_more_there_are(monkeypatch):
    written = []
    monkeypatch.setattr(
        'pixelrefer_core.drawing.draw_text', lambda image, text, *rest, **_: written.append(text)
    )
    draw_objects(scene(), [tracked(f'obj_{number}', state=ObjectState.LOST) for number in range(40)], 0.4)
    assert len(written) < 10
    assert written[-1] == f'{41 - len(written)} more not seen'


def test_tags_of_two_masks_at_one_place_do_not_cover_each_other():
    items = [tracked('obj_1', (100, 100, 200, 180)), tracked('obj_2', (100, 100, 200, 180))]
    drawn = draw_objects(np.zeros((240, 320, 3), np.uint8), items, 0.0)
    drawn[100:180] = 0
    first, second = (rows_of_colour(drawn, object_colour(item.object_id)) for item in items)
    assert len(first) > 10
    assert len(second) > 10
    assert not set(first) & set(second)


def test_a_tag_goes_below_its_object_when_another_object_is_above():
    image = scene()
    items = [tracked('obj_1', (100, 60, 200, 118)), tracked('obj_2', (100, 120, 200, 180))]
    drawn = draw_objects(image, items, 0.0)
    assert not changed(image, drawn)[70:110, 110:190].any()
    assert changed(image, drawn)[181:190, 140:160].all()


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r'obj_1: mask \(10, 10\) on an image \(240, 320\)'):
        draw_objects(scene(), [tracked(box=(1, 1, 3, 3), size=(10, 10))], 0.4)


def test_an_answer_stays_in_the_lower_half_however_long_it_is(font):
    image = scene()
    drawn = draw_answer_panel(image, 'Why? ' * 200, 'Because. ' * 2000)
    assert drawn.shape == image.shape
    assert not changed(image, drawn)[:119].any()
    assert changed(image, drawn)[130:].any(axis=1).all()


def test_a_short_answer_takes_a_narrow_strip():
    image = scene()
    assert not changed(image, draw_answer_panel(image, 'What is it?', 'A mug.'))[:180].any()


def test_neither_question_nor_answer_leaves_the_picture_as_it_is():
    image = scene()
    drawn = draw_answer_panel(image, '', ' \n')
    assert (drawn == image).all()
    assert drawn is not image


def test_lines_are_broken_between_words_and_none_is_wider_than_allowed(font):
    text = 'The red ball rolls behind the blue mug and comes out again on the other side.'
    lines = wrap(text, 150, 16)
    assert ' '.join(lines) == text
    assert len(lines) > 2
    assert all(text_width(line, 16) <= 150 for line in lines)


def test_a_word_too_long_for_a_line_is_cut_without_losing_a_letter(font):
    lines = wrap('x' * 300, 100, 14)
    assert ''.join(lines) == 'x' * 300
    assert all(text_width(line, 14) <= 100 for line in lines)


def test_lines_past_the_limit_end_in_dots(font):
    lines = wrap('one two three four five six seven eight nine ten', 60, 14, max_lines=2)
    assert len(lines) == 2
    assert lines[-1].endswith('...')
    assert text_width(lines[-1], 14) <= 60


def test_shortening_keeps_what_fits(font):
    assert shorten('short', 500, 14) == 'short'
    assert shorten('anything', 2, 14) == ''


def test_text_becomes_one_line_of_letters_that_have_a_shape():
    assert drawable(' a\tb\n c\x07', ascii_only=False) == 'a b c?'
    assert drawable('naïve 你好', ascii_only=True) == 'na?ve ??'


@pytest.mark.parametrize('text', ['', 'Ünïcödé Привет 你好 😀', 'x' * 4000, '\x00\x1b[31m', 'a\nb'])
def test_a_sheet_copes_with_any_text_anywhere(font, text):
    column = (scene(), [tracked(text, (10, 10, 90, 90), label=text)], text)
    sheet = contact_sheet(text, [column], [Row(text, text, text, text)], text)
    assert sheet.shape[1] == 2000
    assert sheet.dtype == np.uint8


def test_a_sheet_without_frames_questions_or_footnote_is_still_a_picture():
    assert contact_sheet('', [], [], '').shape[0] > 0


def test_six_frames_stand_in_two_rows_of_three_inside_the_margins():
    white = np.full((240, 320, 3), 255, np.uint8)
    sheet = contact_sheet('t', [(white, [], f'{k} s') for k in range(6)], [], '')
    count, *_, centres = cv2.connectedComponentsWithStats((sheet == 255).all(axis=2).astype(np.uint8))
    large = np.round(centres[1:count]).astype(int)
    assert len({int(y) for _, y in large}) == 2
    assert len({int(x) for x, _ in large}) == 3
    assert (sheet[:, :64] == sheet[0, 0]).all()
    assert (sheet[:, -64:] == sheet[0, 0]).all()


def test_tall_and_wide_frames_share_a_row_undistorted():
    red, blue = np.zeros((400, 100, 3), np.uint8), np.zeros((100, 400, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    sheet = contact_sheet('', [(red, [], ''), (blue, [], '')], [], '')
    for colour, ratio in (((255, 0, 0), 0.25), ((0, 0, 255), 4.0)):
        rows, columns = np.nonzero((sheet == colour).all(axis=2))
        assert np.ptp(columns) / np.ptp(rows) == pytest.approx(ratio, rel=0.02)


def test_a_card_carries_the_colour_of_the_object_that_was_asked_about():
    column = (np.zeros((100, 100, 3), np.uint8), [tracked('mug', size=(100, 100))], '')
    with_disc = contact_sheet('', [column], [Row('/ask_objects  mug', 'What?', 'A mug.', '')], '')
    without = contact_sheet('', [column], [Row('/ask_objects  jug', 'What?', 'A mug.', '')], '')
    frame_end = 64 + 1200 + 100
    colour = object_colour('mug')
    assert len(rows_of_colour(with_disc[frame_end:], colour)) >= 10
    assert not len(rows_of_colour(without[frame_end:], colour))


def test_more_rows_make_a_longer_sheet_with_two_cards_side_by_side():
    row = Row('obj_1', 'What is it?', 'A mug.', '0.1 s')
    heights = [contact_sheet('t', [], [row] * count, '').shape[0] for count in (2, 3, 4)]
    assert heights[0] < heights[1] == heights[2]


def test_a_mark_is_drawn_beside_an_answer_and_the_truth_below_a_wrong_one():
    unmarked, right, wrong = (
        contact_sheet('', [], [Row('', 'What is it?', 'A mug.', '', 'a bowl', mark)], '')
        for mark in (None, True, False)
    )
    assert not (unmarked == RIGHT).all(axis=-1).any()
    assert (right == RIGHT).all(axis=-1).sum() > 50
    assert (wrong == WRONG).all(axis=-1).sum() > 50
    assert right.shape == unmarked.shape
    assert wrong.shape[0] > right.shape[0]
