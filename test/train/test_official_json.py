"""Records in the official format become samples; whatever is wrong with one is said, with its number."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_train.official_json import open_source, write_samples
from pixelrefer_train.samples import Turn

sys.path.insert(0, str(Path(__file__).parent))
from toys import disc_sample

HEIGHT, WIDTH = 4, 6
LEFT = np.zeros((HEIGHT, WIDTH), np.bool_)
LEFT[:, :2] = True
LEFT_RLE = {'size': [HEIGHT, WIDTH], 'counts': [0, 8, 16]}
RIGHT_POLYGON = [[4, 0, 6, 0, 6, 4, 4, 4]]
TALK = [
    {'from': 'human', 'value': '<image>\nWhat is <region> beside <region>?'},
    {'from': 'gpt', 'value': 'A cup.'},
    {'from': 'human', 'value': 'Is it red?'},
    {'from': 'gpt', 'value': 'Yes.'},
]
IMAGE = {'image': 'a.png', 'conversations': TALK, 'masks': [LEFT_RLE, RIGHT_POLYGON]}
VIDEO = {
    'video': ['v0.png', 'v1.png', 'v2.png'],
    'timestamps': [0.0, 0.5, 1.0],
    'conversations': [
        {'from': 'human', 'value': '<video>What does <region> do?'},
        {'from': 'gpt', 'value': 'It falls.'},
    ],
    'masks': [{'2': LEFT_RLE, '0': RIGHT_POLYGON, '1': None}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(('a', 'v0', 'v1', 'v2')):
        picture = np.full((HEIGHT, WIDTH, 3), (0, 0, 50 * number), np.uint8)  # BGR
        cv2.imwrite(str(tmp_path / f'{name}.png'), picture)
    return tmp_path


def write(folder: Path, *records: Any, lines: bool = False) -> str:
    file = folder / 'data.json'
    text = '\n'.join(json.dumps(record) for record in records) if lines else json.dumps(records)
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize('lines', [False, True])
def test_an_image_with_run_lengths_and_polygons(folder: Path, lines: bool):
    source = open_source(write(folder, IMAGE, IMAGE, lines=lines))
    assert len(source) == 2
    sample = source.sample(1, 0)
    assert sample.chained
    assert sample.turns == (Turn('What is <region> beside <region>?', 'A cup.'), Turn('Is it red?', 'Yes.'))
    ((left,), (right,)) = sample.objects
    assert left[0] == right[0] == 0
    assert (left[1] == LEFT).all()
    assert (right[1] == LEFT[:, ::-1]).all()


def test_a_video_of_frame_files_keeps_times_and_leaves_out_frames_without_a_mask(folder: Path):
    sample = open_source(write(folder, VIDEO)).sample(0, 0)
    stamps = [[sample.frames[index].stamp_ns for index, _ in own] for own in sample.objects]
    assert stamps == [[0, 1_000_000_000]]
    assert [int(frame.image[0, 0, 0]) for frame in sample.frames] == [50, 100, 150]  # red, after BGR
    assert sample.turns[0].instruction == 'What does <region> do?'


def test_a_video_file_gives_the_marked_frames_and_a_scene(tmp_path: Path):
    writer = cv2.VideoWriter(str(tmp_path / 'v.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 4.0, (64, 48))
    for number in range(12):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    rle = {'size': [48, 64], 'counts': [0, 96, 48 * 62]}
    record = VIDEO | {'video': 'v.avi', 'masks': [{'6': rle}]}
    del record['timestamps']
    sample = open_source(write(tmp_path, record), scene=True, max_frames=2).sample(0, 0)
    assert [abs(int(frame.image.mean()) - 120) < 4 for frame in sample.frames] == [True]
    assert [frame.stamp_ns for frame in sample.scene] == [0, 2_000_000_000]


def test_samples_written_come_back_the_same(tmp_path: Path):
    whole = replace(disc_sample(4), chained=False)
    file = write_samples([whole, disc_sample(2, frames=1, questions=1)], tmp_path / 'out')
    source = open_source(str(file))
    assert len(source) == len(whole.turns) + 1
    again = source.sample(1, 0)
    assert again.turns == whole.turns[1:2]
    assert all((a.image == b.image).all() for a, b in zip(again.frames, whole.frames, strict=True))
    assert [f.stamp_ns for f in again.frames] == [f.stamp_ns for f in whole.frames]
    for (place, mask), (expected_place, expected) in zip(again.objects[0], whole.objects[0], strict=True):
        assert place == expected_place
        assert (mask == expected).all()


def changed(record: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    own = copy.deepcopy(record)
    change(own)
    return own


@pytest.mark.parametrize(
    ('record', 'message'),
    [
        (changed(IMAGE, lambda r: r.pop('image')), 'either image or video'),
        (changed(IMAGE, lambda r: r['masks'].pop()), '2 <region> for 1 masks'),
        (changed(IMAGE, lambda r: r['conversations'].pop()), 'in turn'),
        (changed(IMAGE, lambda r: r['conversations'][1].update({'from': 'human'})), 'must be from gpt'),
        (changed(IMAGE, lambda r: r['conversations'][1].update(value=' ')), 'has no text'),
        (changed(IMAGE, lambda r: r.update(masks={'0': LEFT_RLE})), 'masks must be a list'),
        (changed(VIDEO, lambda r: r.update(masks=[LEFT_RLE])), 'frame number'),
        (changed(VIDEO, lambda r: r.update(masked_video='x')), 'masked_video'),
    ],
)
def test_a_record_that_is_wrong_in_itself_is_refused_at_once(
    folder: Path, record: dict[str, Any], message: str
):
    with pytest.raises(InvalidRequestError, match=f'record 1.*{message}'):
        open_source(write(folder, IMAGE, record))


@pytest.mark.parametrize(
    ('record', 'message'),
    [
        (changed(IMAGE, lambda r: r.update(image='lost.png')), 'lost.png'),
        (changed(IMAGE, lambda r: r['masks'][0].update(size=[6, 4])), 'size'),
        (changed(IMAGE, lambda r: r['masks'][0].update(counts=[24])), 'object 1 has no pixels'),
        (changed(VIDEO, lambda r: r.update(timestamps=[0.0])), 'timestamps'),
        (changed(VIDEO, lambda r: r['masks'][0].update({'7': LEFT_RLE})), 'frame 7'),
    ],
)
def test_a_record_whose_pictures_or_masks_are_wrong_is_named_when_it_is_read(
    folder: Path, record: dict[str, Any], message: str
):
    source = open_source(write(folder, IMAGE, record))
    with pytest.raises(InvalidRequestError, match=f'record 1.*{message}'):
        source.sample(1, 0)
