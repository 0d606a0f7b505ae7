"""Clips to learn from: rendered ones from their folders, drawn ones from a seed, cut into batches."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pixelrefer_core.errors import InvalidImageError
from pixelrefer_core.tracker.sam2_pixels import BESIDE, CORNER, FAR_CORNER, ON
from pixelrefer_train.mask_coding import encode_rle
from pixelrefer_train.sam2_batches import Cut, choose_frames, cut_piece, make_batch, resize_frames
from pixelrefer_train.sam2_clips import RenderedClip, find_clips
from pixelrefer_train.sam2_disturb import add_copy, pass_in_front, slide_panel
from pixelrefer_train.sam2_drawn import DrawnClip
from pixelrefer_train.sam2_prompts import point_prompts

HEIGHT, WIDTH = 288, 384


def write_clip(folder: Path, masks: list[list[np.ndarray]]) -> None:
    """Write a clip as the simulator does: grey pictures, and these masks, [frame][object]."""
    (folder / 'frames').mkdir(parents=True)
    for index in range(len(masks)):
        cv2.imwrite(
            str(folder / 'frames' / f'{index:05d}.jpg'), np.full((HEIGHT, WIDTH, 3), 90 + index, np.uint8)
        )
    item = {'category': 'cube', 'colour': 'red', 'size': 'large', 'scale': 1.0}
    record = {
        'version': 1,
        'seed': int(folder.name),
        'split': 'train',
        'objects': [{'name': f'object {k}', **item} for k in range(len(masks[0]))],
        'camera': {
            'position_m': [0, 0, 1],
            'rotation': [[1, 0, 0]] * 3,
            'focal_px': 1.0,
            'centre_px': [1, 1],
        },
        'table_texture': '',
        'table_size_m': [1, 1],
        'light_azimuth_deg': 0,
        'actions': [],
        'events': [],
        'windows': [],
        'poses': [],
        'visible_px': [],
        'whole_px': [],
        'masks': [[encode_rle(mask)['counts'] if mask.any() else '' for mask in frame] for frame in masks],
    }
    (folder / 'clip.json').write_text(json.dumps(record))


def square(left: int, top: int, side: int = 60) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


def test_a_rendered_clip_gives_its_pictures_and_masks(tmp_path: Path) -> None:
    nothing = np.zeros((HEIGHT, WIDTH), np.bool_)
    write_clip(tmp_path / '3', [[square(10, 20), nothing], [square(30, 20), square(200, 100)]])
    clip = RenderedClip(tmp_path / '3')
    picture, masks = clip.read(1)
    assert clip.frames == 2
    assert abs(int(picture[0, 0, 0]) - 91) <= 1
    assert np.array_equal(masks, [square(30, 20), square(200, 100)])
    assert not clip.read(0)[1][1].any()


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    write_clip(tmp_path / '3', [[square(10, 20)]])
    (tmp_path / '3' / 'frames' / '00000.jpg').unlink()
    with pytest.raises(InvalidImageError, match=r'00000\.jpg'):
        RenderedClip(tmp_path / '3').read(0)


def test_unfinished_clips_are_left_out_and_validation_clips_are_kept_apart(tmp_path: Path) -> None:
    for seed in (15, 16, 32, 33):
        write_clip(tmp_path / str(seed), [[square(10, 20)]])
    (tmp_path / '40' / 'frames').mkdir(parents=True)
    assert [clip.folder.name for clip in find_clips([tmp_path], validation=False)] == ['15', '33']
    assert [clip.folder.name for clip in find_clips([tmp_path], validation=True)] == ['16', '32']


def test_a_drawn_clip_follows_from_its_seed_and_covers_no_pixel_twice() -> None:
    picture, masks = DrawnClip(5).read(7)
    again, masks_again = DrawnClip(5).read(7)
    assert np.array_equal(picture, again)
    assert np.array_equal(masks, masks_again)
    assert masks.sum(axis=0).max() == 1
    assert not np.array_equal(picture, DrawnClip(6).read(7)[0])


def test_chosen_frames_are_evenly_spaced_within_the_clip() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        indices = choose_frames(21, 6, random)
        steps = np.diff(indices)
        assert len(indices) == 6
        assert 0 <= min(indices) <= max(indices) < 21
        assert len(set(steps.tolist())) == 1
        assert steps[0] != 0
    assert choose_frames(1, 3, random) == [0, 0, 0]


def test_the_picture_is_squashed_to_a_square_and_covers_are_shares_of_pixels() -> None:
    picture = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    piece = resize_frames([(picture, square(0, 0, 9)[None])], 64)
    assert piece.pictures.shape == (1, 64, 64, 3)
    # 9 x 9 of 4.5 x 6 pixels each: one and a half columns, two rows.
    assert piece.covers[0, 0, :2, :2] == pytest.approx(np.array([[1, 0.5], [1, 0.5]]), abs=1e-6)
    assert piece.covers.sum() == pytest.approx(3.0)


def test_every_object_of_a_batch_can_be_prompted_and_knows_its_clip() -> None:
    random = np.random.default_rng(1)
    pieces = [cut_piece(DrawnClip(seed), Cut(64, 0.6, 4, 2), random) for seed in range(6)]
    batch = make_batch([piece for piece in pieces if piece is not None])
    frames, clips = batch.pixels.shape[:2]
    assert (frames, batch.pixels.shape[2:]) == (4, (3, 64, 64))
    assert batch.covers.shape == (4, len(batch.owners), 64, 64)
    assert set(batch.owners.tolist()) == set(range(clips))
    assert ((batch.covers[0] >= 0.5).sum(dim=(1, 2)) >= 16).all()
    assert batch.covers.min() >= 0
    assert batch.covers.max() <= 1


def test_a_clip_without_objects_gives_no_piece(tmp_path: Path) -> None:
    write_clip(tmp_path / '3', [[np.zeros((HEIGHT, WIDTH), np.bool_)]])
    assert cut_piece(RenderedClip(tmp_path / '3'), Cut(64), np.random.default_rng(0)) is None


def test_something_that_passes_in_front_hides_the_object_for_some_frames() -> None:
    hidden = []
    for seed in range(20):
        pictures = np.full((8, 64, 64, 3), 100, np.float32)
        covers = np.zeros((8, 1, 64, 64), np.float32)
        covers[:, 0, 20:40, 20:40] = 1
        truth = covers[:, 0].copy()
        pass_in_front(pictures, covers, np.random.default_rng(seed))
        areas = covers.sum(axis=(1, 2, 3))
        # Wherever the object is no longer seen, something else is.
        lost = (covers[:, 0] < 0.5) & (truth >= 0.5)
        assert (pictures[lost] != 100).any(axis=-1).all()
        hidden.append(areas.min() / 400)
    assert np.median(hidden) < 0.3


def test_a_panel_hides_all_of_an_object_for_one_to_three_frames_and_goes_away() -> None:
    stays = set()
    for seed in range(60):
        pictures = np.full((8, 64, 64, 3), -50, np.float32)
        covers = np.zeros((8, 1, 64, 64), np.float32)
        covers[:, 0, 20:40, 25:35] = 1
        truth = covers[:, 0] > 0
        slide_panel(pictures, covers, np.random.default_rng(seed))
        hidden = covers.max(axis=(1, 2, 3)) == 0
        assert not hidden[0]
        assert 1 <= hidden.sum() <= 3
        (frames,) = np.nonzero(hidden)
        assert np.ptp(frames) == len(frames) - 1
        # The object is hidden where, and only where, the panel is to be seen in front of it.
        assert np.array_equal(covers[:, 0][truth] == 1, pictures[truth][:, 0] == -50)
        if frames[-1] + 3 < 8:
            assert (covers[-1, 0] == truth[-1]).all()
        stays.add(int(hidden.sum()))
    assert stays == {1, 2, 3}


def test_a_view_may_differ_from_frame_to_frame() -> None:
    mask = square(160, 110, 64)
    picture = np.where(mask[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=-1)
    windows = [(slice(0, 256), slice(start, start + 256)) for start in (64, 80)]
    piece = resize_frames([(picture, mask[None])] * 2, 64, windows)
    # Four pixels become one: the square begins in column (160 - 64) / 4, then four earlier.
    assert [int(cover[0].max(axis=0).argmax()) for cover in piece.covers] == [24, 20]
    assert np.allclose(piece.pictures[..., 0] / 255, piece.covers[:, 0], atol=1e-2)


def test_the_view_of_some_clips_moves() -> None:
    class Beacon:
        """One white square on black, which stands still."""

        frames = 6

        def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            mask = square(160, 110)
            return np.where(mask[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=-1), mask[None]

    pieces = [cut_piece(Beacon(), Cut(64, 0.5, 6, 1), np.random.default_rng(seed)) for seed in range(60)]
    whole = [
        piece.covers[:, 0]
        for piece in pieces
        if piece is not None and np.ptp(piece.covers.sum(axis=(1, 2, 3))) < 3
    ]
    moved = [np.abs(covers[-1] - covers[0]).max() > 0.5 for covers in whole]
    assert 0.1 < np.mean(moved) < 0.8


def test_a_copy_looks_like_the_object_and_is_not_part_of_it() -> None:
    reddest = 0
    for seed in range(20):
        pictures = np.full((3, 64, 64, 3), 100, np.float32)
        pictures[:, 5:15, 5:15] = (200, 10, 10)
        covers = np.zeros((3, 1, 64, 64), np.float32)
        covers[:, 0, 5:15, 5:15] = 1
        add_copy(pictures, covers, np.random.default_rng(seed))
        assert covers[0].sum() <= 100
        reddest = max(reddest, int((pictures[0, ..., 0] > 190).sum()))
    assert reddest >= 180


@pytest.mark.parametrize('kind', ['box', 'point', 'points'])
def test_prompts_point_at_their_objects(kind: str) -> None:
    covers = np.zeros((2, 64, 64), np.float32)
    covers[0, 10:30, 20:50] = 1
    covers[1, 40:50, 5:15] = 1
    for seed in range(20):
        prompt = point_prompts(covers, kind, np.random.default_rng(seed))
        for cover, points, labels in zip(
            covers, prompt.points[:, 0].numpy(), prompt.labels[:, 0].tolist(), strict=True
        ):
            if kind == 'box':
                rows, columns = np.nonzero(cover)
                truth = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]])
                assert labels == [CORNER, FAR_CORNER]
                assert np.abs(points - truth).max() <= 0.13 * 30
                continue
            on = [bool(cover[int(y), int(x)]) for x, y in points]
            assert on == [label == ON for label in labels]
            assert ON in labels
            assert set(labels) <= {ON, BESIDE}
            assert len(labels) == 1 if kind == 'point' else len(labels) in (2, 3)
