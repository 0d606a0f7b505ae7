"""Scenes made by hand."""

from pixelrefer_sim.layout import Layout, Placed
from pixelrefer_sim.record import SceneObject


def scene(*placed: Placed, friction: float = 0.06) -> Layout:
    return Layout(
        objects=placed,
        table=(0.36, 0.26),
        texture='plain',
        texture_seed=0,
        eye=(0.0, -0.9, 0.6),
        target=(0.0, 0.0, 0.0),
        fovy_deg=39.0,
        light_azimuth_deg=45.0,
        light_height=1.2,
        light_level=0.6,
        friction=friction,
    )


def thing(name: str, category: str, x: float, y: float, scale: float = 1.0) -> Placed:
    return Placed(SceneObject(name, category, 'red', 'large', scale), x, y, 0.0, (0.8, 0.1, 0.1))
