"""Renders the demo clip: a gripper pushes a ball, which rolls behind a mug and off the table.

python -m pixelrefer_sim.demo_clip --output config/demo_clip
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pixelrefer_core.types import ImageArray, MaskArray

from .demo_scene import load_scene
from .pointing import objects_file

HEIGHT, WIDTH = 360, 480
RATE_HZ = 10
FRAMES = 51
# In the order in which the demo numbers them.
OBJECTS = ('ball', 'mug', 'box')

# WebP: better than JPEG at half of its size. Masks: one bit a pixel.
_IMAGE_FORMAT = (cv2.IMWRITE_WEBP_QUALITY, 82)
_MASK_FORMAT = (
    *(cv2.IMWRITE_PNG_BILEVEL, 1),
    *(cv2.IMWRITE_PNG_COMPRESSION, 9),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT),
)
_SCALE = 2  # each pixel is the mean of 2 x 2
_LAMP_RADIUS_M, _LAMP_SAMPLES = 0.09, 10
# The gripper's speed to the right at some times, straight lines between: it waits, pushes, lets go, draws back.
_PUSH_S = (0.2, 0.6, 0.95, 1.1, 1.3, 2.0, 2.2)
_PUSH_M_S = (0.0, 0.24, 0.24, 0.0, -0.18, -0.18, 0.0)


@dataclass(frozen=True, eq=False)
class RenderedFrame:
    """One image, uint8 RGB (H, W, 3), and the visible part of each object, bool (H, W)."""

    index: int
    image: ImageArray
    masks: Mapping[str, MaskArray]


def render_clip(indices: Collection[int] = range(FRAMES), *, seed: int = 0) -> Iterator[RenderedFrame]:
    """Yield the frames of the clip that are asked for; all of it is simulated.

    The same seed gives the same frames on one machine; another OpenGL may differ in single levels of colour.
    Raises :class:`ImportError` without MuJoCo, and what MuJoCo raises when there is no OpenGL.
    """
    if sys.platform == 'linux':
        # MuJoCo reads it while it is imported; a screen is not needed.
        os.environ.setdefault('MUJOCO_GL', 'egl')
    import mujoco

    model = load_scene(seed)
    data = mujoco.MjData(model)
    with mujoco.Renderer(model, HEIGHT * _SCALE, WIDTH * _SCALE) as renderer:
        for index in range(max(indices, default=-1) + 1):
            while data.time < index / RATE_HZ - model.opt.timestep / 2:
                data.mocap_pos[0, 0] += gripper_speed(data.time) * model.opt.timestep
                mujoco.mj_step(model, data)
            if index in indices:
                mujoco.mj_forward(model, data)
                yield RenderedFrame(index, _photograph(model, data, renderer), _masks(model, data, renderer))


def gripper_speed(time_s: float) -> float:
    """Return the speed of the gripper to the right, m/s."""
    return float(np.interp(time_s, _PUSH_S, _PUSH_M_S))


def save_clip(folder: Path, *, seed: int = 0) -> None:
    """Write ``frames/``, ``truth/<object_id>/`` and ``objects.json``."""
    (folder / 'frames').mkdir(parents=True, exist_ok=True)
    for name in OBJECTS:
        (folder / 'truth' / name).mkdir(parents=True, exist_ok=True)
    for frame in render_clip(seed=seed):
        image = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / 'frames' / f'{frame.index:05d}.webp'), image, _IMAGE_FORMAT)
        for name, mask in frame.masks.items():
            file = folder / 'truth' / name / f'{frame.index:05d}.png'
            cv2.imwrite(str(file), mask.astype(np.uint8) * 255, _MASK_FORMAT)
        if frame.index == 0:
            (folder / 'objects.json').write_text(objects_file(frame.masks, 'truth/box/00000.png'))


def _photograph(model: Any, data: Any, renderer: Any) -> ImageArray:
    """Return the mean of pictures whose lamp stands at places on a disc: its shadows get soft edges."""
    lamp = model.light('lamp').id
    centre = data.light_xpos[lamp].copy()
    total: npt.NDArray[np.float64] = np.zeros((HEIGHT, WIDTH, 3))
    for sample in range(_LAMP_SAMPLES):
        # A sunflower: the samples share the disc evenly.
        radius = _LAMP_RADIUS_M * np.sqrt((sample + 0.5) / _LAMP_SAMPLES)
        turn = sample * np.pi * (3 - np.sqrt(5))
        data.light_xpos[lamp] = centre + radius * np.array([np.cos(turn), np.sin(turn), 0.0])
        renderer.update_scene(data, 'robot')
        total += cv2.resize(renderer.render(), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    data.light_xpos[lamp] = centre
    return np.asarray(np.round(total / _LAMP_SAMPLES), np.uint8)


def _masks(model: Any, data: Any, renderer: Any) -> dict[str, MaskArray]:
    """Return the pixels of which an object fills more than half: no pixel belongs to two."""
    renderer.enable_segmentation_rendering()
    renderer.update_scene(data, 'robot')
    geoms = renderer.render()[..., 0].copy()
    renderer.disable_segmentation_rendering()
    # -1, the background, must not become the last geom.
    bodies = np.where(geoms >= 0, model.geom_bodyid[geoms], -1)
    masks = {}
    for name in OBJECTS:
        filled = (bodies == model.body(name).id).astype(np.float32)
        masks[name] = np.asarray(cv2.resize(filled, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) > 0.5)
    return masks


def main() -> None:
    """Render the clip into a folder."""
    parser = argparse.ArgumentParser(prog='python -m pixelrefer_sim.demo_clip', description=__doc__)
    parser.add_argument('--output', type=Path, required=True, metavar='DIR')
    parser.add_argument('--seed', type=int, default=0, help='of the textures')
    options = parser.parse_args()
    save_clip(options.output, seed=options.seed)


if __name__ == '__main__':
    main()
