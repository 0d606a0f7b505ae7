"""The scene of the demo clip: ``demo_scene.xml`` with the meshes and textures that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pixelrefer_core.types import ImageArray

from .shapes import Mesh, bent_tube, lathe
from .textures import mottled, wood

SCENE = Path(__file__).with_name('demo_scene.xml')

RED, BLUE, GREEN, YELLOW = (196, 34, 28), (40, 84, 168), (28, 104, 62), (232, 182, 36)
CREAM, BROWN, CHARCOAL = (238, 230, 208), (120, 84, 48), (44, 46, 50)

BALL_RADIUS = 0.034
# (radius, height) of half a cross-section, metres: up along the outside, down along the inside.
MUG = (
    (0, 0), (0.034, 0), (0.041, 0.006), (0.043, 0.05), (0.043, 0.088), (0.0385, 0.088), (0.038, 0.05),
    (0.036, 0.012), (0, 0.009),
)  # fmt: skip
BOTTLE = (
    (0, 0), (0.032, 0), (0.034, 0.006), (0.034, 0.09), (0.034, 0.135), (0.014, 0.165), (0.0125, 0.195),
    (0.0145, 0.196), (0.0145, 0.216), (0, 0.217),
)  # fmt: skip


def load_scene(seed: int = 0) -> Any:
    """Return the compiled ``mujoco.MjModel``. Raises :class:`ImportError` without MuJoCo."""
    import mujoco

    return mujoco.MjModel.from_xml_string(SCENE.read_text(), _meshes() | _textures(seed))


def _meshes() -> dict[str, bytes]:
    arc = np.linspace(-np.pi / 2, np.pi / 2, 25)
    ball = [(BALL_RADIUS * np.cos(angle), BALL_RADIUS * np.sin(angle)) for angle in arc]
    ear = np.stack([0.040 + 0.028 * np.cos(arc), 0 * arc, 0.046 + 0.027 * np.sin(arc)], axis=1)
    meshes: dict[str, Mesh] = {
        'ball': lathe(ball, rounding=0),
        'mug': lathe(MUG),
        'handle': bent_tube(ear, 0.0055),
        'bottle': lathe(BOTTLE),
    }
    return {f'{name}.obj': mesh.obj() for name, mesh in meshes.items()}


def _textures(seed: int) -> dict[str, bytes]:
    rng = np.random.default_rng(seed)
    pictures = {
        'wood': wood(rng),
        'floor': mottled(rng, (112, 114, 118), size=512, strength=0.10),
        'ball': _banded(mottled(rng, RED), (0.475, 0.525, CREAM)),
        'mug': _banded(mottled(rng, BLUE, strength=0.06), (0.22, 0.28, CREAM)),
        'bottle': _banded(
            mottled(rng, GREEN), (0.20, 0.50, CREAM), (0.31, 0.36, GREEN), (0.90, 1.0, CHARCOAL)
        ),
        'box': _carton(mottled(rng, YELLOW, size=128, strength=0.05)),
    }
    return {f'{name}.png': _png(picture) for name, picture in pictures.items()}


def _banded(picture: ImageArray, *bands: tuple[float, float, tuple[int, int, int]]) -> ImageArray:
    """Paint bands (from, to, colour) across a picture; 0 is its lower edge."""
    painted = picture.copy()
    for start, end, colour in bands:
        rows = slice(round((1 - end) * len(painted)), round((1 - start) * len(painted)))
        shade = picture[rows].mean(axis=2, keepdims=True) / picture.mean()
        painted[rows] = np.clip(shade * np.array(colour), 0, 255).astype(np.uint8)
    return painted


def _carton(side: ImageArray) -> ImageArray:
    """Return the six sides of a parcel as a cross of 3 x 4 squares: tape over the top, labels front and back."""
    size = len(side)
    top, front = side.copy(), side.copy()
    top[:, round(0.44 * size) : round(0.56 * size)] = BROWN
    cv2.rectangle(front, (size // 8, size // 4), (size // 2, size * 3 // 4), CREAM, cv2.FILLED)
    for row in range(4):
        y = size * (7 + 2 * row) // 20
        cv2.line(front, (size // 6, y), (size * (8 - row) // 18, y), CHARCOAL, 2, cv2.LINE_AA)
    # MuJoCo's U and D lie on y, its F and B on z.
    cross = np.zeros((3 * size, 4 * size, 3), np.uint8)
    places = ((0, 1, front), (1, 0, side), (1, 1, top), (1, 2, side), (1, 3, top), (2, 1, front))
    for row, column, picture in places:
        cross[row * size : (row + 1) * size, column * size : (column + 1) * size] = picture
    return cross


def _png(picture: ImageArray) -> bytes:
    return bytes(cv2.imencode('.png', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1])
