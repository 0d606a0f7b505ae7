"""Meshes and textures made from numbers."""

from collections import Counter

import numpy as np
import pytest

from pixelrefer_sim.shapes import bent_tube, lathe
from pixelrefer_sim.textures import mottled, noise, wood

ARC = np.linspace(-np.pi / 2, np.pi / 2, 33)
SPHERE = [(np.cos(angle), np.sin(angle)) for angle in ARC]


def corners(mesh):
    return mesh.vertices[mesh.faces].transpose(1, 0, 2)


def volume(mesh) -> float:
    a, b, c = corners(mesh)
    return float(np.einsum('ij,ij->i', a, np.cross(b, c)).sum() / 6)


def test_a_turned_half_circle_is_a_sphere_with_its_faces_outward():
    assert volume(lathe(SPHERE, segments=64, rounding=0)) == pytest.approx(4 / 3 * np.pi, rel=0.01)


def test_a_turned_profile_has_no_holes():
    mesh = lathe([(0, 0), (1, 0), (1, 2), (0.8, 2), (0.8, 0.2), (0, 0.2)])
    _, place = np.unique(np.round(mesh.vertices, 6), axis=0, return_inverse=True)
    faces = place.reshape(-1)[mesh.faces]
    edges = Counter((int(face[k]), int(face[(k + 1) % 3])) for face in faces for k in range(3))
    assert set(edges.values()) == {1}
    assert all((end, start) in edges for start, end in edges)


def test_normals_of_a_sphere_point_away_from_its_middle_also_at_seam_and_poles():
    mesh = lathe(SPHERE, segments=64, rounding=0)
    assert np.einsum('ij,ij->i', mesh.normals(), mesh.vertices).min() > 0.999


def test_rounding_takes_the_corners_off_and_keeps_the_ends():
    sharp, round_ = (lathe([(0, 0), (1, 0), (1, 1), (0, 1)], rounding=times) for times in (0, 3))
    assert 0.8 * volume(sharp) < volume(round_) < volume(sharp)
    assert np.ptp(round_.vertices[:, 2]) == pytest.approx(1)


def test_a_tube_keeps_its_radius_around_the_path():
    path = np.stack([np.cos(ARC), 0 * ARC, np.sin(ARC)], axis=1)
    rings = bent_tube(path, 0.1).vertices.reshape(len(path), -1, 3)
    np.testing.assert_allclose(np.linalg.norm(rings - path[:, None], axis=2), 0.1)


def test_an_obj_file_lists_every_vertex_and_counts_faces_from_one():
    mesh = lathe(SPHERE, segments=8, rounding=0)
    lines = mesh.obj().decode().splitlines()
    faces = [[int(corner.split('/')[0]) for corner in line.split()[1:]] for line in lines if line[:2] == 'f ']
    assert sum(line.startswith('v ') for line in lines) == len(mesh.vertices)
    assert (np.array(faces) - 1 == mesh.faces).all()


def test_textures_come_from_their_generator_alone():
    pictures = [wood(np.random.default_rng(seed), height=60, width=40, planks=3) for seed in (1, 1, 2)]
    assert pictures[0].dtype == np.uint8
    assert pictures[0].shape == (60, 40, 3)
    assert (pictures[0] == pictures[1]).all()
    assert (pictures[0] != pictures[2]).any()


def test_a_mottled_surface_keeps_its_colour_on_the_average_and_varies():
    picture = mottled(np.random.default_rng(0), (200, 40, 40), strength=0.1)
    np.testing.assert_allclose(picture.mean(axis=(0, 1)), (200, 40, 40), rtol=0.1)
    assert picture[..., 0].std() > 2


def test_noise_has_the_shape_asked_for_and_no_jumps():
    field = noise(np.random.default_rng(0), (64, 96), (2, 2), octaves=2)
    assert field.shape == (64, 96)
    assert np.abs(np.diff(field, axis=0)).max() < 0.3
