"""The objects of the catalogue as MuJoCo bodies: what is seen of them (meshes) and what they collide with.

A body's origin is the centre of what it stands on, so that z = 0 puts it on the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from .catalogue import CATEGORIES
from .shapes import Mesh, bent_tube, lathe, prism

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Solid:
    """A primitive that collides: MuJoCo's ``kind`` and ``size``, at ``position``; ``seen``: it is drawn too."""

    kind: str
    size: Vector
    position: Vector
    euler_deg: Vector = (0, 0, 0)
    seen: bool = False


@dataclass(frozen=True)
class Body:
    """``solids`` carry the mass; ``meshes`` are drawn only, by the names of :func:`mesh_files`."""

    solids: tuple[Solid, ...]
    meshes: tuple[str, ...] = ()


BODIES: dict[str, Body] = {
    'ball': Body((Solid('sphere', (0.042,), (0, 0, 0.042), seen=True),)),
    'box': Body((Solid('box', (0.046, 0.038, 0.037), (0, 0, 0.037), seen=True),)),
    'can': Body((Solid('cylinder', (0.036, 0.052), (0, 0, 0.052), seen=True),)),
    'bottle': Body((Solid('cylinder', (0.034, 0.05), (0, 0, 0.05)),), ('bottle',)),
    'mug': Body((Solid('cylinder', (0.043, 0.044), (0, 0, 0.044)),), ('mug', 'mug_handle')),
    'bowl': Body((Solid('cylinder', (0.056, 0.024), (0, 0, 0.024)),), ('bowl',)),
    'plate': Body((Solid('cylinder', (0.078, 0.007), (0, 0, 0.007)),), ('plate',)),
    'book': Body(
        (
            Solid('box', (0.072, 0.050, 0.015), (0, 0, 0.015), seen=True),
            # The cut edges of the pages, white whatever the colour of the cover.
            Solid('box', (0.070, 0.0515, 0.011), (0.004, 0, 0.015), seen=True),
        )
    ),
    'cone': Body((Solid('cylinder', (0.046, 0.03), (0, 0, 0.03)),), ('cone',)),
    'ring': Body((Solid('cylinder', (0.060, 0.014), (0, 0, 0.014)),), ('ring',)),
    'hammer': Body(
        (
            Solid('cylinder', (0.009, 0.068), (-0.012, 0, 0.017), (0, 90, 0), seen=True),
            Solid('box', (0.016, 0.044, 0.017), (0.066, 0, 0.017), seen=True),
        )
    ),
    'star': Body((Solid('cylinder', (0.050, 0.015), (0, 0, 0.015)),), ('star',)),
}
# A solid of these is white whatever the object's colour: (category, number of the solid).
WHITE_SOLIDS = frozenset({('book', 1)})

assert BODIES.keys() == CATEGORIES.keys()


@cache
def mesh_files() -> dict[str, bytes]:
    """Return all meshes, full size, as Wavefront files by name."""
    return {f'{name}.obj': mesh.obj() for name, mesh in _meshes().items()}


def _meshes() -> dict[str, Mesh]:
    arc = np.linspace(-np.pi / 2, np.pi / 2, 9)
    ear = np.stack([0.040 + 0.026 * np.cos(arc), 0 * arc, 0.046 + 0.027 * np.sin(arc)], axis=1)
    turn = np.linspace(-np.pi, np.pi, 13)
    tube = [(0.046 + 0.014 * np.cos(angle), 0.014 + 0.014 * np.sin(angle)) for angle in turn]
    return {
        'bottle': _turned(
            (0, 0), (0.032, 0), (0.034, 0.006), (0.034, 0.09), (0.013, 0.125), (0.013, 0.168), (0, 0.17)
        ),
        'mug': _turned(
            (0, 0), (0.036, 0), (0.043, 0.008), (0.043, 0.088), (0.037, 0.088), (0.037, 0.012), (0, 0.01)
        ),
        'mug_handle': bent_tube(ear, 0.0075, sides=8),
        'bowl': _turned(
            (0, 0), (0.026, 0), (0.046, 0.014), (0.064, 0.048), (0.058, 0.048), (0.040, 0.016), (0, 0.008)
        ),
        'plate': _turned((0, 0), (0.046, 0), (0.078, 0.014), (0.073, 0.014), (0.046, 0.005), (0, 0.005)),
        'cone': _turned((0, 0), (0.050, 0), (0.050, 0.004), (0.003, 0.109), (0, 0.11), smooth=0),
        'ring': lathe(tube, segments=24, rounding=0),
        'star': prism(_star(0.066, 0.030), 0.030),
    }


def _turned(*profile: tuple[float, float], smooth: int = 1) -> Mesh:
    return lathe(profile, segments=24, rounding=smooth)


def _star(outer: float, inner: float) -> list[tuple[float, float]]:
    turn = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    radius = np.where(np.arange(10) % 2 == 0, outer, inner)
    return [(float(r * np.cos(a)), float(r * np.sin(a))) for r, a in zip(radius, turn, strict=True)]
