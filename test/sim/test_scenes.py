"""Scenes of the simulated tabletop: what stands in them, and what is kept for evaluation."""

import numpy as np
import pytest

from pixelrefer_sim.bodies import BODIES
from pixelrefer_sim.catalogue import CATEGORIES, COLOURS, is_held_out
from pixelrefer_sim.layout import HELD_OUT_LIGHT_DEG, TRAIN_TEXTURES, draw_layout

from .staging import scene, thing


def layouts(exposure, count=150):
    return [draw_layout(np.random.default_rng(seed), exposure) for seed in range(count)]


def test_one_colour_of_each_category_is_kept_for_evaluation():
    for category in CATEGORIES:
        assert sum(is_held_out(category, colour) for colour in COLOURS) == 1


def test_training_shows_nothing_that_is_held_out():
    low, high = HELD_OUT_LIGHT_DEG
    for layout in layouts('train'):
        assert not any(is_held_out(o.item.category, o.item.colour) for o in layout.objects)
        assert layout.texture in TRAIN_TEXTURES
        assert not low <= layout.light_azimuth_deg <= high


def test_evaluation_shows_much_that_is_held_out():
    drawn = layouts('heldout')
    pairs = [is_held_out(o.item.category, o.item.colour) for layout in drawn for o in layout.objects]
    assert 0.2 < np.mean(pairs) < 0.5
    assert 0.35 < np.mean([layout.texture not in TRAIN_TEXTURES for layout in drawn]) < 0.65


def test_every_category_and_colour_turns_up():
    seen = {(o.item.category, o.item.colour) for layout in layouts('train', 400) for o in layout.objects}
    assert {category for category, _ in seen} == set(CATEGORIES)
    assert {colour for _, colour in seen} == set(COLOURS)


def test_objects_stand_on_the_table_and_apart():
    for layout in layouts('train'):
        for placed in layout.objects:
            assert abs(placed.x) + placed.radius_m <= layout.table[0] + 1e-9
            assert abs(placed.y) + placed.radius_m <= layout.table[1] + 1e-9
        for a in layout.objects:
            for b in layout.objects:
                if a is not b:
                    assert np.hypot(a.x - b.x, a.y - b.y) > a.radius_m + b.radius_m


def test_a_description_names_one_object_of_a_scene():
    for layout in layouts('train'):
        names = [(o.item.category, o.item.colour) for o in layout.objects]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize('category', CATEGORIES)
def test_an_object_rests_where_it_is_put_and_fits_its_size(category):
    mujoco = pytest.importorskip('mujoco', reason='MuJoCo is not installed')
    from pixelrefer_sim.stage import build_model

    model = build_model(scene(thing('it', category, 0.0, 0.0)), width=64, height=48)
    data = mujoco.MjData(model)
    for _ in range(250):
        mujoco.mj_step(model, data)
    assert np.linalg.norm(data.body('it').xpos) < 0.004
    assert abs(data.body('it').xquat[0]) > 0.999
    kind = CATEGORIES[category]
    for geom in range(model.ngeom):
        if model.geom_bodyid[geom] != model.body('it').id:
            continue
        corners = corners_of(model, data, geom)
        assert np.hypot(corners[:, 0], corners[:, 1]).max() < kind.radius_m * 1.25
        assert corners[:, 2].max() < kind.height_m * 1.1 + 0.003
        assert corners[:, 2].min() > -0.004


def corners_of(model, data, geom):
    """Corners of a geom's box, in world axes; those of a round thing are its rim."""
    centre, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
    if model.geom(geom).type[0] != 6:  # not a box: its corners are empty
        signs = signs * np.array([1, 1, 0]) * np.sqrt(0.5) + signs * np.array([0, 0, 1])
    turned = (centre + signs * half) @ data.geom_xmat[geom].reshape(3, 3).T
    return turned + data.geom_xpos[geom]


def test_every_category_has_a_body():
    assert BODIES.keys() == CATEGORIES.keys()
