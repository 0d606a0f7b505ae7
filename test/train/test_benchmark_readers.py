"""Each public format is read into questions as the official evaluation asks them; files written by hand."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pixelrefer_core.errors import InvalidImageError, InvalidRequestError
from pixelrefer_core.types import NANOSECONDS
from pixelrefer_train.evaluation.dlc import read_quizzes
from pixelrefer_train.evaluation.image_readers import (
    read_dlc,
    read_ferret,
    read_lvis,
    read_paco,
    read_ref_l4,
    read_ref_l4_detail,
    read_vg,
)
from pixelrefer_train.evaluation.item import Appearance, Box, EvaluationItem
from pixelrefer_train.evaluation.media import load_item
from pixelrefer_train.evaluation.video_readers import read_hc_stvg, read_videorefer_d, read_videorefer_q

HEIGHT, WIDTH = 4, 6
SQUARE = [[1, 1, 3, 1, 3, 3, 1, 3]]
RLE = {'size': [HEIGHT, WIDTH], 'counts': [0, 4, 20]}  # the first column
EMPTY = {'size': [HEIGHT, WIDTH], 'counts': [24]}


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A picture, and a video of five frames as a folder, 3 frames a second, brightness = frame number."""
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((HEIGHT, WIDTH, 3), 9, np.uint8))
    (tmp_path / 'val2017').mkdir()
    cv2.imwrite(str(tmp_path / 'val2017' / 'b.png'), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    (tmp_path / 'clip').mkdir()
    for index in range(5):
        cv2.imwrite(str(tmp_path / 'clip' / f'{index}.png'), np.full((HEIGHT, WIDTH, 3), index, np.uint8))
    return tmp_path


def written(folder: Path, content: object, name: str = 'data.json') -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder / name


def area(item: EvaluationItem) -> int:
    return int(load_item(item, with_scene=False).objects[0][0].mask.sum())


LVIS = [
    {'file_name': 'b.png', 'height': HEIGHT, 'width': WIDTH, 'categories': ['cup', 'table'],
     'annotations': [{'segmentation': SQUARE}, {'segmentation': RLE}]}
]  # fmt: skip


def test_lvis_asks_for_the_category_of_every_mask(media):
    items = read_lvis(written(media, LVIS), media, 'lite')
    assert [item.references for item in items] == [('cup',), ('table',)]
    assert [area(item) for item in items] == [4, 4]
    assert {item.instruction for item in items} == {
        'What is the category of <region>? Using only one word or phrase.'
    }
    assert len({item.item_id for item in items}) == 2


def test_paco_asks_for_parts(media):
    assert "'category:subcategory'" in read_paco(written(media, LVIS), media, 'lite')[0].instruction


def test_vg_takes_boxes_for_masks(media):
    record = {
        'image': ['a.png'],
        'height': HEIGHT,
        'width': WIDTH,
        'boxes': [[1, 0, 2, 3]],
        'caption': 'a cup',
    }
    (item,) = read_vg(written(media, [record]), media, 'lite')
    assert item.instruction == 'Please describe <region> briefly.'
    assert item.references == ('a cup',)
    assert area(item) == 6


def test_ref_l4_is_read_from_lines_and_cuts_fractions_off(media):
    lines = [
        {'file_name': 'a.png', 'bbox': [1.9, 0.2, 2.9, 3.0], 'caption': 'a cup'},
        {'file_name': 'objects365/c.png', 'bbox': [0, 0, 1, 1], 'caption': 'a dog'},
    ]
    file = media / 'data.json'
    file.write_text('\n'.join(map(json.dumps, lines)))
    brief, detail = read_ref_l4(file, media, 'lite'), read_ref_l4_detail(file, media, 'lite')
    assert area(brief[0]) == 6  # columns 1 and 2, rows 0 to 2
    assert [item.type for item in brief] == ['coco', 'objects365']
    assert brief[0].instruction.endswith('in brief.')
    assert detail[0].instruction.endswith('in detail.')


def test_dlc_asks_about_each_annotation_by_its_id(media):
    content = {
        'images': [{'id': 7, 'file_name': 'a.png'}],
        'annotations': [{'id': 31, 'image_id': 7, 'segmentation': RLE}],
    }
    (item,) = read_dlc(written(media, content), media, 'lite')
    assert (item.item_id, area(item)) == ('31', 4)
    assert item.instruction.endswith('Do not describe anything else.')


def test_the_quizzes_of_dlc_lie_beside_it(tmp_path):
    questions = [{'question': 'What colour?', 'choices': [['White', 1], ['Black', -1]], 'type': 'positive'}]
    written(tmp_path, {'31': questions}, 'qa.json')
    written(tmp_path, {'31': 'mug'}, 'class_names.json')
    quiz = read_quizzes(tmp_path)['31']
    assert quiz.class_name == 'mug'
    assert (quiz.questions[0].choices, quiz.questions[0].scores) == (('White', 'Black'), (1.0, -1.0))
    written(tmp_path, {'31': [{**questions[0], 'type': 'other'}]}, 'qa.json')
    with pytest.raises(InvalidRequestError, match='object 31'):
        read_quizzes(tmp_path)


def test_ferret_reasoning_is_introduced_for_lite_alone(media):
    record = {'question_id': 5, 'image': 'b.png', 'text': 'Why is <region> here?', 'category': 'refer_reason',
              'annotation': {'segmentation': SQUARE}}  # fmt: skip
    file = written(media, [record])
    assert read_ferret(file, media, 'pixelrefer')[0].instruction == 'Why is <region> here?'
    (item,) = read_ferret(file, media, 'lite')
    assert item.instruction == 'There is 1 region in the image: <region> Why is  here?'
    assert (item.extra['question'], area(item)) == ('Why is <region> here?', 4)


QUESTION = {
    'video': 'clip', 'Question': 'What is <object0><region> doing to <object1><region>?', 'frame_idx': '3',
    'options': ['(A) lying', '(B) running', '(C) eating'], 'Answer': '(B) running', 'type': 'Basic Questions',
    'annotation': [
        {'3': {'segmentation': RLE}, '10': {'segmentation': RLE}, '1': {'segmentation': EMPTY}},
        {'3': {'segmentation': SQUARE}},
    ],
}  # fmt: skip


def test_videorefer_q_shows_lite_all_frames_in_order_of_time(media):
    (item,) = read_videorefer_q(written(media, [QUESTION]), media, 'lite')
    assert [[view.frame for view in views] for views in item.objects] == [[1, 3, 10], [3]]
    assert (item.expected, item.classes, item.type) == ('B', ('A', 'B', 'C'), 'Basic Questions')
    assert item.instruction.startswith(QUESTION['Question'] + ' (A) lying (B) running (C) eating. Answer')


def test_videorefer_q_shows_pixelrefer_one_frame(media):
    (item,) = read_videorefer_q(written(media, [QUESTION]), media, 'pixelrefer')
    assert [[view.frame for view in views] for views in item.objects] == [[3], [3]]
    with pytest.raises(InvalidRequestError, match='no mask on its frame'):
        read_videorefer_q(written(media, [{**QUESTION, 'frame_idx': '1'}]), media, 'pixelrefer')


def test_videorefer_d_asks_each_variant_in_its_own_words(media):
    record = {
        'video': 'clip',
        'annotation': [{'2': {'segmentation': RLE}}],
        'caption': 'a cup',
        'frame_idx': '2',
    }
    file = written(media, [record])
    (lite,), (full,) = read_videorefer_d(file, media, 'lite'), read_videorefer_d(file, media, 'pixelrefer')
    assert lite.instruction.startswith('There is one object in the video: <region>.\n')
    assert full.instruction == 'Please describe in detail the marked object <region> in the video.'
    assert lite.references == full.references == ('a cup',)


def test_hc_stvg_is_read_in_both_of_its_forms(media):
    one = {'video': 'clip', 'frame_idx': 2, 'mask': RLE, 'caption': 'a man'}
    many = {'video': ['clip'], 'masks': [{'4': RLE, '0': RLE}],
            'conversations': [{'from': 'human', 'value': '?'}, {'from': 'gpt', 'value': 'a man'}]}  # fmt: skip
    (first,) = read_hc_stvg(written(media, [one]), media, 'pixelrefer')
    (second,) = read_hc_stvg(written(media, [many]), media, 'lite')
    assert first.references == second.references == ('a man',)
    assert [view.frame for view in first.objects[0]] == [2]
    assert [view.frame for view in second.objects[0]] == [0, 4]


@pytest.mark.parametrize('read', [read_vg, read_ref_l4, read_lvis, read_videorefer_q, read_videorefer_d])
def test_a_record_that_lacks_something_is_named(media, read):
    with pytest.raises(InvalidRequestError, match='record 0 lacks'):
        read(written(media, [{'image': ['a.png']}]), media, 'lite')


def test_what_is_no_json_is_refused(media):
    (media / 'data.json').write_text('hello')
    with pytest.raises(InvalidRequestError, match='neither JSON nor JSON lines'):
        read_vg(media / 'data.json', media, 'lite')
    with pytest.raises(InvalidRequestError, match='cannot be read'):
        read_vg(media / 'no.json', media, 'lite')


# --- pictures of items ---


def video_item(media: Path, *frames: int, region: object = RLE) -> EvaluationItem:
    views = tuple(Appearance(frame, region) for frame in frames)
    return EvaluationItem('0', 'x', '<region>?', (views,), media=media / 'clip', is_video=True)


def test_masks_come_with_the_frames_that_they_are_on(media):
    views = load_item(video_item(media, 1, 3), with_scene=False).objects[0]
    assert [int(view.frame.image[0, 0, 0]) for view in views] == [1, 3]
    assert [view.frame.stamp_ns for view in views] == [round(k / 3 * NANOSECONDS) for k in (1, 3)]


def test_a_scene_has_one_frame_a_second(media):
    scene = load_item(video_item(media, 0), with_scene=True).scene
    assert [int(frame.image[0, 0, 0]) for frame in scene] == [0, 3]


def test_frames_without_the_object_are_left_out_unless_there_is_none_with_it(media):
    (item,) = read_videorefer_q(written(media, [{**QUESTION, 'annotation': [
        {'3': {'segmentation': RLE}, '1': {'segmentation': EMPTY}}]}]), media, 'lite')  # fmt: skip
    assert [int(view.frame.image[0, 0, 0]) for view in load_item(item, with_scene=False).objects[0]] == [3]
    empty = load_item(video_item(media, 1, 2, region=EMPTY), with_scene=False).objects[0]
    assert len(empty) == 1


def test_boxes_end_at_the_picture(media):
    item = EvaluationItem('0', 'x', '?', ((Appearance(0, Box(4, 2, 99, 99)),),), media=media / 'a.png')
    assert area(item) == 4


def test_frames_that_a_video_lacks_and_files_that_do_not_exist_are_named(media):
    with pytest.raises(InvalidRequestError, match='frame 10'):
        load_item(video_item(media, 1, 10), with_scene=False)
    lost = EvaluationItem('0', 'x', '?', ((Appearance(0, RLE),),), media=media / 'lost.png')
    with pytest.raises(InvalidImageError, match=r'lost\.png.*--media'):
        load_item(lost, with_scene=False)
