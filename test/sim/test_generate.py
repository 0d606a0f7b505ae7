"""Rendered clips: repeatable, complete, and true to the pixel."""

import sys

import cv2
import numpy as np
import pytest

from pixelrefer_core.clip import open_clip
from pixelrefer_core.positions import locate
from pixelrefer_sim.generate import FIRST_SEED, make_clip, make_clips
from pixelrefer_sim.photography import Photographer
from pixelrefer_sim.record import FRAMES, GENERATOR_VERSION, HEIGHT, INSTANTS, WIDTH, load_record
from pixelrefer_sim.stage import build_model
from pixelrefer_train.mask_coding import decode_mask

from .staging import scene, thing


@pytest.fixture(scope='module', autouse=True)
def opengl():
    try:
        import mujoco

        with mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8):
            pass
    except Exception as error:  # which one depends on the platform
        pytest.skip(f'no MuJoCo with OpenGL here: {error}')


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp('clips') / '3'
    return make_clip(3, 'train', folder), folder


def mask(record, frame, index):
    code = record.masks[frame][index]
    return decode_mask({'size': [HEIGHT, WIDTH], 'counts': code}, HEIGHT, WIDTH) if code else None


def test_the_same_seed_gives_the_same_clip(clip, tmp_path):
    record, folder = clip
    again = make_clip(3, 'train', tmp_path / '3')
    assert again == record
    for file in (folder / 'frames').iterdir():
        assert file.read_bytes() == (tmp_path / '3' / 'frames' / file.name).read_bytes()


def test_a_record_survives_the_disk(clip):
    record, folder = clip
    assert load_record(folder) == record


def test_a_record_of_another_version_is_refused(clip, tmp_path):
    _, folder = clip
    text = (folder / 'clip.json').read_text()
    (tmp_path / 'clip.json').write_text(text.replace(f'"version":{GENERATOR_VERSION}', '"version":0', 1))
    with pytest.raises(ValueError, match='render it again'):
        load_record(tmp_path)


def test_a_clip_has_all_its_frames_and_masks(clip):
    record, folder = clip
    assert len(list((folder / 'frames').iterdir())) == FRAMES == len(record.masks)
    assert len(record.poses) == INSTANTS
    for frame in range(FRAMES):
        for index in range(len(record.objects)):
            found = mask(record, frame, index)
            assert (0 if found is None else found.sum()) == record.visible_px[frame][index]
            assert record.whole_px[frame][index] >= record.visible_px[frame][index]


def test_no_pixel_belongs_to_two_objects(clip):
    record, _ = clip
    masks = [mask(record, 0, index) for index in range(len(record.objects))]
    assert np.sum([item for item in masks if item is not None], axis=0).max() == 1


def test_the_camera_of_the_record_sees_objects_where_their_masks_are(clip):
    record, _ = clip
    for index in range(len(record.objects)):
        if record.visible_px[0][index] < 0.9 * record.whole_px[0][index]:
            continue
        point = np.array(record.poses[0][index][:3]) - record.camera.position_m
        x, y, z = np.array(record.camera.rotation) @ point
        column = record.camera.focal_px * x / z + record.camera.centre_px[0]
        row = record.camera.focal_px * y / z + record.camera.centre_px[1]
        rows, columns = np.nonzero(mask(record, 0, index))
        assert columns.min() - 2 <= column <= columns.max() + 2
        assert rows.min() - 2 <= row <= rows.max() + 3  # the middle of what it stands on


def test_a_hidden_part_counts_as_a_part_of_the_whole():
    import mujoco

    layout = scene(thing('near', 'box', 0, -0.1), thing('far', 'can', 0, 0.02))
    model = build_model(layout, width=WIDTH, height=HEIGHT)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    alone = build_model(scene(thing('far', 'can', 0, 0.02)), width=WIDTH, height=HEIGHT)
    data_alone = mujoco.MjData(alone)
    mujoco.mj_forward(alone, data_alone)
    with Photographer(model, ['near', 'far']) as photographer:
        shot = photographer.photograph(data)
    with Photographer(alone, ['far']) as photographer:
        whole = photographer.photograph(data_alone)
    assert shot.masks[1].sum() < 0.8 * shot.whole_px[1]
    assert shot.whole_px[1] == whole.masks[0].sum()
    assert shot.whole_px[0] == shot.masks[0].sum()


def test_depth_is_the_distance_along_the_axis_of_the_camera():
    import mujoco

    model = build_model(scene(thing('ball', 'ball', 0, 0)), width=WIDTH, height=HEIGHT)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with Photographer(model, ['ball']) as photographer:
        shot, depth = photographer.photograph(data), photographer.depth(data)
    centre = np.array([0, 0, 0.0425]) - (0.0, -0.9, 0.6)
    forward = np.array([0, 0.9, -0.6]) / np.hypot(0.9, 0.6)
    assert depth.shape == (HEIGHT, WIDTH)
    assert depth[shot.masks[0]].min() == pytest.approx(centre @ forward - 0.042, abs=0.002)


def test_a_still_is_one_picture_without_a_story(tmp_path):
    record = make_clip(FIRST_SEED['stills'], 'stills', tmp_path / 'still')
    assert len(record.masks) == len(record.poses) == 1
    assert record.windows == record.events == record.actions == ()
    assert cv2.imread(str(tmp_path / 'still' / 'frames' / '00000.jpg')).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.skipif(sys.platform != 'linux', reason='OpenGL in new processes is tried on Linux only')
def test_processes_share_the_work(tmp_path):
    seeds = range(FIRST_SEED['stills'], FIRST_SEED['stills'] + 3)
    assert set(make_clips('stills', seeds, tmp_path, processes=2)) == set(seeds)
    assert all(load_record(tmp_path / str(seed)).seed == seed for seed in seeds)


def test_depth_is_saved_when_asked_for_and_changes_nothing_else(clip, tmp_path):
    record, folder = clip
    assert not (folder / 'depth').exists()
    again = make_clip(3, 'train', tmp_path / '3', depth=True)
    assert again == record
    for file in (folder / 'frames').iterdir():
        assert file.read_bytes() == (tmp_path / '3' / 'frames' / file.name).read_bytes()
    frames = list(open_clip(tmp_path / '3', with_depth=True))
    assert len(frames) == FRAMES
    for frame in frames[::10]:
        depth = frame.depth
        assert depth.pixels.shape == (HEIGHT, WIDTH)
        # The surface that is seen is not far from the middle of the body, which is where the record has it.
        for index in range(len(record.objects)):
            code = mask(record, frames.index(frame), index)
            if code is not None and code.sum() > 300:
                place = np.array(record.poses[frames.index(frame)][index][:3]) - record.camera.position_m
                x, y, z = np.array(record.camera.rotation) @ place
                found = locate(code, depth)
                assert found.xyz_m == pytest.approx((x, y, z), abs=0.08)
