"""Meshes of round things, made from a few numbers: vertices float (V, 3) in metres, faces int (F, 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Mesh:
    """A surface; faces run counter-clockwise seen from outside. ``uv`` (V, 2): place in a texture, 0 to 1."""

    vertices: npt.NDArray[np.float64]
    faces: npt.NDArray[np.int64]
    uv: npt.NDArray[np.float64]

    def normals(self) -> npt.NDArray[np.float64]:
        """Unit normals (V, 3), smooth also where two vertices lie at one place (at a seam, on the axis)."""
        a, b, c = self.vertices[self.faces].transpose(1, 0, 2)
        of_face = np.repeat(np.cross(b - a, c - a), 3, axis=0)
        _, place = np.unique(np.round(self.vertices, 7), axis=0, return_inverse=True)
        total = np.zeros((int(place.max()) + 1, 3))
        np.add.at(total, place.reshape(-1)[self.faces.reshape(-1)], of_face)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        return np.asarray((total / np.maximum(length, 1e-12))[place.reshape(-1)])

    def obj(self) -> bytes:
        """Return the mesh as a Wavefront OBJ file."""
        lines = [f'v {x:.6f} {y:.6f} {z:.6f}' for x, y, z in self.vertices]
        lines += [f'vt {u:.5f} {v:.5f}' for u, v in self.uv]
        lines += [f'vn {x:.5f} {y:.5f} {z:.5f}' for x, y, z in self.normals()]
        lines += ['f ' + ' '.join(f'{k}/{k}/{k}' for k in face) for face in self.faces + 1]
        return '\n'.join(lines).encode()


def lathe(profile: Sequence[tuple[float, float]], *, segments: int = 48, rounding: int = 3) -> Mesh:
    """Turn a profile around the z axis.

    ``profile``: (radius, height) from the axis below, along the outside, to the axis again. ``rounding``: how
    often its corners are cut (Chaikin), so that light runs over the edges.
    """
    line = _cut_corners(np.array(profile, np.float64), rounding)
    # One more column than segments: u = 0 and u = 1 lie at one place with two texture coordinates.
    turn = np.linspace(0.0, 2 * np.pi, segments + 1)
    x, y = np.outer(np.cos(turn), line[:, 0]), np.outer(np.sin(turn), line[:, 0])
    z = np.broadcast_to(line[:, 1], x.shape)
    height = line[:, 1].max() - line[:, 1].min()
    u = np.broadcast_to(turn[:, None] / (2 * np.pi), x.shape)
    v = np.broadcast_to((line[:, 1] - line[:, 1].min()) / height, x.shape)
    return _grid(np.stack([x, y, z], axis=-1), np.stack([u, v], axis=-1))


def bent_tube(path: npt.NDArray[np.float64], radius: float, *, sides: int = 16) -> Mesh:
    """Sweep a circle along ``path`` (P, 3), a curve in the plane y = 0. The ends stay open: sink them in."""
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.stack([-along[:, 2], np.zeros(len(path)), along[:, 0]], axis=1)
    turn = np.linspace(0.0, 2 * np.pi, sides + 1)
    sideways = np.array([0.0, 1.0, 0.0])
    ring = np.cos(turn)[None, :, None] * across[:, None] + np.sin(turn)[None, :, None] * sideways
    u = np.broadcast_to(turn / (2 * np.pi), ring.shape[:2])
    v = np.broadcast_to(np.linspace(0.0, 1.0, len(path))[:, None], ring.shape[:2])
    return _grid(path[:, None] + radius * ring, np.stack([u, v], axis=-1))


def prism(outline: Sequence[tuple[float, float]], height: float) -> Mesh:
    """Raise an outline (x, y), star-shaped around the origin and counter-clockwise, from z = 0 to ``height``."""
    ring = np.array(outline, np.float64)
    ring = np.concatenate([ring, ring[:1]])
    flat = np.zeros(len(ring))
    rise = np.full(len(ring), height)
    # Twice at each rim, so that the light breaks at the edge.
    rows = [(0 * ring, flat), (ring, flat), (ring, flat), (ring, rise), (ring, rise), (0 * ring, rise)]
    points = np.stack([np.column_stack([place, z]) for place, z in rows], axis=1)
    u = np.linspace(0, 1, len(ring))[:, None].repeat(len(rows), axis=1)
    v = np.linspace(0, 1, len(rows))[None].repeat(len(ring), axis=0)
    return _grid(points, np.stack([u, v], axis=-1))


def _cut_corners(line: npt.NDArray[np.float64], times: int) -> npt.NDArray[np.float64]:
    for _ in range(times):
        near, far = 0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]
        between = np.stack([near, far], axis=1).reshape(-1, 2)
        line = np.concatenate([line[:1], between, line[-1:]])
    return line


def _grid(points: npt.NDArray[np.float64], uv: npt.NDArray[np.float64]) -> Mesh:
    """Triangulate a grid of points (M, N, 3)."""
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)]).reshape(-1, 3)
    vertices = points.reshape(-1, 3)
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    # At the axis the squares shrink to triangles, and half of the faces to nothing.
    return Mesh(vertices, faces[area > 1e-12], uv.reshape(-1, 2))
