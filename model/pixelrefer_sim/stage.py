"""Builds the MuJoCo model of a scene: table, objects, the robot's rod, and a screen that can hide things."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from pixelrefer_core.types import ImageArray

from .bodies import BODIES, WHITE_SOLIDS, Solid, mesh_files
from .layout import Layout, Placed
from .opengl import choose_opengl
from .textures import mottled, noise, wood

FLOOR_M = -0.74
TIMESTEP_S = 0.004
RODS = 2
ROD_RADIUS_M, ROD_LENGTH_M = 0.011, 0.5
SCREEN_M = (0.085, 0.004, 0.085)  # half sizes
# Where props wait: under the floor, which hides them.
PARKED_M = (0.0, 0.0, -3.0)
_DENSITY = 400.0  # kg/m3
# Resistance to rolling, metres: with it a pushed ball comes to rest within the table's length or two.
_ROLLING_M = 0.0012
_TEXTURE_PX = 256

_AXES = (('x', (1, 0, 0)), ('y', (0, 1, 0)), ('z', (0, 0, 1)))

# Bits of MuJoCo's contype: who may touch whom.
_THINGS, _PROPS = 1, 2


def build_model(layout: Layout, *, width: int, height: int) -> Any:
    """Return the compiled ``mujoco.MjModel``. Raises :class:`ImportError` without MuJoCo."""
    choose_opengl()
    import mujoco

    texture = cv2.imencode('.png', cv2.cvtColor(table_texture(layout), cv2.COLOR_RGB2BGR))[1]
    files = mesh_files() | {'table.png': bytes(texture)}
    return mujoco.MjModel.from_xml_string(_scene(layout, width, height), files)


def table_texture(layout: Layout) -> ImageArray:
    """Paint the table: uint8 RGB, square."""
    rng = np.random.default_rng(layout.texture_seed)
    first, second = (_colour(rng) for _ in range(2))
    size = _TEXTURE_PX
    rows, columns = np.mgrid[:size, :size]
    step = int(rng.integers(16, 48))
    if layout.texture == 'wood':
        return np.asarray(cv2.resize(wood(rng, height=512, width=512, planks=4), (size, size)), np.uint8)
    if layout.texture == 'mottled':
        return mottled(rng, first, size=size, strength=0.25)
    patterns = {
        'plain': np.zeros((size, size), bool),
        'checker': (rows // step + columns // step) % 2 == 1,
        'stripes': (rows + columns * int(rng.integers(-1, 2))) // step % 2 == 1,
        'dots': (rows % step - step / 2) ** 2 + (columns % step - step / 2) ** 2 < (0.3 * step) ** 2,
        'marble': np.abs(noise(rng, (size, size), (4, 4), octaves=5)) < 0.12,
    }
    chosen = patterns[layout.texture][..., None]
    grain = 1 + 0.04 * noise(rng, (size, size), (16, 16), octaves=3)[..., None]
    picture = np.where(chosen, np.array(second), np.array(first)) * grain
    return np.clip(picture, 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Draw a muted colour, so that the table never looks like an object."""
    grey = rng.uniform(70, 190)
    red, green, blue = np.clip(grey + rng.normal(0, 22, 3), 30, 215)
    return int(red), int(green), int(blue)


def _scene(layout: Layout, width: int, height: int) -> str:
    x, y = layout.table
    objects = ''.join(_object(placed, layout.friction) for placed in layout.objects)
    meshes = sorted({(name, f'{p.item.scale:.4f}') for p in layout.objects for name in _meshes(p)})
    assets = ''.join(
        f'<mesh name="{name}_{scale}" file="{name}.obj" scale="{scale} {scale} {scale}" inertia="shell"/>'
        for name, scale in meshes
    )
    rods = ''.join(
        # Driven by speed rather than by place: physics feels how fast it comes.
        f'<body name="rod{number}" pos="{_text(PARKED_M)}" gravcomp="1">'
        + ''.join(
            f'<joint name="rod{number}{axis}" type="slide" axis="{_text(way)}"/>' for axis, way in _AXES
        )
        + f'<inertial pos="0 0 0" mass="20" diaginertia="1 1 1"/>'
        f'<geom type="capsule" size="{ROD_RADIUS_M} {ROD_LENGTH_M / 2}" pos="0 0 {ROD_LENGTH_M / 2}" '
        f'rgba="0.45 0.47 0.5 1" friction="0.02 0.001 0.0001" contype="{_PROPS}" conaffinity="{_THINGS}"/>'
        f'<geom type="cylinder" size="0.02 0.015" pos="0 0 0.11" rgba="0.2 0.2 0.22 1" '
        'contype="0" conaffinity="0"/></body>'
        for number in range(RODS)
    )
    return f"""<mujoco>
  <compiler angle="degree"/>
  <option timestep="{TIMESTEP_S}" integrator="implicitfast" cone="elliptic"/>
  <visual>
    <global offwidth="{width}" offheight="{height}"/>
    <quality shadowsize="1024" offsamples="0"/>
    <headlight ambient="0.34 0.34 0.35" diffuse="0.18 0.18 0.18" specular="0 0 0"/>
    <map znear="0.05" zfar="8" shadowclip="1.5"/>
  </visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1="0.7 0.72 0.75" rgb2="0.4 0.42 0.46"
      width="64" height="64"/>
    <texture name="table" type="2d" file="table.png"/>
    <material name="table" texture="table" specular="0.1" shininess="0.3"/>
    {assets}
  </asset>
  <worldbody>
    {_light(layout)}
    <camera name="robot" pos="{_text(layout.eye)}" xyaxes="{_axes(layout)}" fovy="{layout.fovy_deg:.4f}"/>
    <geom name="floor" type="plane" size="4 4 0.1" pos="0 0 {FLOOR_M}" rgba="0.42 0.42 0.44 1"
      contype="{_PROPS}" conaffinity="{_THINGS}"/>
    <geom name="table" type="box" size="{x:.4f} {y:.4f} 0.018" pos="0 0 -0.018" material="table"
      friction="0.01 0.001 0.0001" contype="{_PROPS}" conaffinity="{_THINGS}"/>
    {objects}
    {rods}
    <body name="screen" mocap="true" pos="{_text(PARKED_M)}">
      <geom type="box" size="{_text(SCREEN_M)}" rgba="0.5 0.42 0.33 1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
</mujoco>"""


def _object(placed: Placed, friction: float) -> str:
    item, scale = placed.item, placed.item.scale
    rolling = _ROLLING_M if item.category == 'ball' else 0.0001
    solids = ''.join(
        _solid(solid, scale, (1, 1, 1) if (item.category, number) in WHITE_SOLIDS else placed.shade)
        for number, solid in enumerate(BODIES[item.category].solids)
    ).replace('<geom', f'<geom friction="{friction:.4f} 0.002 {rolling}"')
    meshes = ''.join(
        f'<geom type="mesh" mesh="{name}_{scale:.4f}" rgba="{_text(placed.shade)} 1" '
        'contype="0" conaffinity="0" mass="0"/>'
        for name in BODIES[item.category].meshes
    )
    turn = f'{math.cos(placed.yaw / 2):.6f} 0 0 {math.sin(placed.yaw / 2):.6f}'
    place = _text((placed.x, placed.y, 0.0005))
    return f'<body name="{item.name}" pos="{place}" quat="{turn}"><freejoint/>{solids}{meshes}</body>\n'


def _solid(solid: Solid, scale: float, shade: tuple[float, float, float]) -> str:
    # What is not drawn goes to group 3, which the renderer leaves out.
    look = f'rgba="{_text(shade)} 1"' if solid.seen else 'group="3"'
    return (
        f'<geom type="{solid.kind}" size="{_text(solid.size, scale)}" pos="{_text(solid.position, scale)}" '
        f'euler="{_text(solid.euler_deg)}" density="{_DENSITY}" condim="6" '
        f'contype="{_THINGS}" conaffinity="{_THINGS | _PROPS}" {look}/>'
    )


def _meshes(placed: Placed) -> tuple[str, ...]:
    return BODIES[placed.item.category].meshes


def _light(layout: Layout) -> str:
    angle = math.radians(layout.light_azimuth_deg)
    place = np.array([0.9 * math.cos(angle), 0.9 * math.sin(angle), layout.light_height])
    level = _text((layout.light_level,) * 3)
    return (
        f'<light type="directional" pos="{_text(place)}" dir="{_text(-place / np.linalg.norm(place))}" '
        f'diffuse="{level}" specular="0.3 0.3 0.3" castshadow="true"/>'
    )


def _axes(layout: Layout) -> str:
    """Return the camera's x and y axes: it looks at the target and does not roll."""
    forward = np.subtract(layout.target, layout.eye)
    right = np.cross(forward, (0, 0, 1))
    up = np.cross(right, forward)
    return _text((*(right / np.linalg.norm(right)), *(up / np.linalg.norm(up))))


def _text(values: Sequence[float] | np.ndarray[Any, Any], scale: float = 1.0) -> str:
    return ' '.join(f'{value * scale:.6g}' for value in values)
