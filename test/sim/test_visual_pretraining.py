"""Patches are labelled by what fills them, object tokens by what they stand for, and a model learns the labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pixelrefer_core.geometry import Grid
from pixelrefer_core.types import Frame
from pixelrefer_sim.catalogue import CATEGORIES, COLOURS
from pixelrefer_sim.disturb import strange_colours
from pixelrefer_sim.record import HEIGHT, WIDTH
from pixelrefer_sim.visual_pretraining import Pretraining
from pixelrefer_sim.visual_teacher import MIXED, UNASKED, Lesson, Marked, Teacher, label, label_patches, mark
from pixelrefer_train.nano import nano_config

from .clips_by_hand import clip, thing

CONFIG = nano_config(64)
PLACES = ((30, 40), (30, 200), (180, 60), (180, 260))  # top left corners of squares
SIDE = 56


def squares(*names: str) -> list[Marked]:
    """One square of each colour on grey, called a ball, a box, ..., drawn where the masks say."""
    record = clip(
        {thing(name, list(CATEGORIES)[n], name): ((0.0, 0.0, 0.0),) for n, name in enumerate(names)},
        still=True,
    )
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    masks = []
    for name, (top, left) in zip(names, PLACES, strict=False):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[top : top + SIDE, left : left + SIDE] = True
        image[mask] = COLOURS[name]
        masks.append(mask)
    return mark(record, Frame(image, 0), masks, None)


def lesson(*names: str) -> Lesson:
    return label(squares(*names), CONFIG)


def test_a_patch_is_labelled_by_what_fills_most_of_it_or_not_at_all():
    plane = np.zeros((28, 42), np.uint8)
    plane[:14, :14] = 3  # all of the first patch
    plane[:14, 14:20] = 5  # 6 of 14 columns of the second, where nothing fills 8
    plane[14:, :5], plane[14:, 5:10] = 1, 2  # a third each
    assert label_patches(plane, Grid(2, 3)).tolist() == [3, 0, 0, MIXED, 0, 0]


def test_every_patch_of_every_view_has_a_label_and_every_object_its_attributes_and_box():
    taught = lesson('red', 'blue')
    cells = sum(picture.shape[0] * picture.shape[1] // 14**2 for picture in taught.plan.pictures)
    assert len(taught.patch_category) == len(taught.patch_colour) == cells
    assert taught.attributes['colour'].tolist() == [list(COLOURS).index(name) for name in ('red', 'blue')]
    assert taught.attributes['category'].tolist() == [0, 1]
    centres = [((left + SIDE / 2) / WIDTH, (top + SIDE / 2) / HEIGHT) for top, left in PLACES[:2]]
    assert taught.boxes[:, :2].tolist() == [pytest.approx(centre) for centre in centres]
    assert taught.boxes[:, 2:].tolist() == [pytest.approx((SIDE / WIDTH, SIDE / HEIGHT))] * 2
    # The crop of the red one holds red patches and ground, none of the blue one's.
    first = taught.patch_colour[: taught.plan.objects[0].grid.cells]
    assert set(first.tolist()) <= {MIXED, 0, list(COLOURS).index('red') + 1}
    assert (first == list(COLOURS).index('red') + 1).sum() >= 8


def test_in_strange_colours_shapes_alone_are_asked_for():
    named, strange = squares('red', 'blue'), squares('green')
    taught = label([*named, *(replace(one, has_colour=False) for one in strange)], CONFIG)
    assert taught.attributes['category'].tolist() == [0, 1, 0]
    assert taught.attributes['colour'].tolist() == [0, list(COLOURS).index('blue'), UNASKED]
    cells = [crop.grid.cells for crop in taught.plan.objects]
    last = slice(sum(cells[:2]), sum(cells))
    assert set(taught.patch_colour[last].tolist()) == {MIXED}
    assert (taught.patch_category[last] == 1).sum() >= 8
    only = label([replace(one, has_colour=False) for one in strange], CONFIG)
    assert np.isnan(Pretraining(CONFIG, seed=0).step(only)['colour'])  # and the loss is a number all the same


def test_strange_colours_change_hues_and_not_shapes():
    image = np.full((40, 60, 3), 90, np.uint8)
    image[10:20, 10:30] = COLOURS['red']
    seen = {strange_colours(image, np.random.default_rng(seed))[15, 15].tobytes() for seed in range(20)}
    assert len(seen) > 10
    for seed in range(20):
        changed = strange_colours(image, np.random.default_rng(seed)).astype(int)
        assert changed.shape == image.shape
        square = np.abs(changed - changed[15, 15]).sum(axis=2) == 0
        assert square[10:20, 10:30].all()
        assert square.sum() == 200


def test_a_model_learns_what_it_is_taught():
    torch.set_num_threads(1)
    taught = lesson('red', 'blue', 'green', 'yellow')
    run = Pretraining(CONFIG, seed=0)
    first = run.step(taught)
    for _ in range(80):
        last = run.step(taught)
    assert last['patches'] < 0.3 * first['patches']
    assert last['colour'] == last['category'] == 1.0
    assert last['box'] < 0.3 * first['box']


def test_a_run_goes_on_where_it_was_saved(tmp_path):
    taught = lesson('red', 'blue')
    run = Pretraining(CONFIG, seed=0)
    run.step(taught)
    run.save(tmp_path)
    again = Pretraining(CONFIG, seed=1)
    again.load(tmp_path)
    assert again.steps == 1
    assert again.judge(taught)[1] == run.judge(taught)[1]


def test_a_folder_without_clips_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'clip\.json'):
        Teacher([tmp_path], CONFIG, seed=0)
