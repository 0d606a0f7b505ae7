"""Patches are labelled by what fills them, and an encoder learns the labels."""

import numpy as np
import torch

from pixelrefer_core.geometry import Grid
from pixelrefer_sim.catalogue import CATEGORIES, COLOURS
from pixelrefer_sim.encoder_pretraining import Labelled, Pretraining, _labels, augment
from pixelrefer_train.nano import nano_config


def test_a_patch_is_labelled_by_what_fills_most_of_it_or_not_at_all():
    plane = np.zeros((28, 42), np.uint8)
    plane[:14, :14] = 3  # all of the first patch
    plane[:14, 14:20] = 5  # 6 of 14 columns of the second, where nothing fills 8
    plane[14:, :5], plane[14:, 5:10] = 1, 2  # a third each
    labels = _labels(plane, Grid(2, 3))
    assert labels.tolist() == [3, 0, 0, -1, 0, 0]


def picture(colour, kind, name):
    image = np.full((56, 56, 3), 90, np.uint8)
    image[14:42, 14:42] = COLOURS[colour]
    inside = np.zeros((4, 4), bool)
    inside[1:3, 1:3] = True
    cells = inside.reshape(-1)
    kinds, colours = (np.where(cells, number + 1, 0) for number in (kind, name))
    return Labelled(image, kinds, colours, cells, (kind, name))


def test_an_encoder_learns_what_it_is_taught():
    torch.set_num_threads(1)
    names = list(COLOURS)
    views = [picture(names[k], k % len(CATEGORIES), k) for k in range(6)]
    run = Pretraining(nano_config(64), seed=0, total_s=1e6)
    first = run.step(views)
    for _ in range(150):
        last = run.step(views)
    assert last['pixels'] < 0.3 * first['pixels']
    assert last['colour'] == 1.0


def test_a_run_goes_on_where_it_was_saved(tmp_path):
    views = [picture('red', 0, 0), picture('blue', 1, 4)]
    run = Pretraining(nano_config(64), seed=0, total_s=1e6)
    run.step(views)
    run.save(tmp_path)
    again = Pretraining(nano_config(64), seed=1, total_s=1e6)
    again.load(tmp_path)
    assert again.steps == 1
    assert again.judge(views)[1] == run.judge(views)[1]


def test_augmentation_keeps_colours_what_they_are():
    rng = np.random.default_rng(0)
    image = np.full((8, 8, 3), COLOURS['blue'], np.uint8)
    for _ in range(20):
        red, green, blue = augment(image, rng).reshape(-1, 3).mean(axis=0)
        assert blue > 1.5 * max(red, green)
