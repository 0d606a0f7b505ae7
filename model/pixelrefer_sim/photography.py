"""What the camera sees of a scene: picture, masks, depth, and the camera itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pixelrefer_core.types import ImageArray, Intrinsics

from .record import HEIGHT, WIDTH, Camera


@dataclass(frozen=True, eq=False)
class Photograph:
    """``image``: uint8 RGB (H, W, 3). ``masks``: bool (n, H, W), what is seen of each object.

    ``whole_px``: (n), how many pixels each would show if nothing stood in front of it.
    """

    image: ImageArray
    masks: npt.NDArray[np.bool_]
    whole_px: tuple[int, ...]


def camera_of(model: Any, data: Any) -> Camera:
    """Return the camera as its messages describe it: x right, y down, z forward."""
    name = model.camera('robot').id
    # MuJoCo's cameras look along -z with y up.
    axes = data.cam_xmat[name].reshape(3, 3).T * np.array([[1], [-1], [-1]])
    focal = HEIGHT / 2 / math.tan(math.radians(float(model.cam_fovy[name])) / 2)
    rotation = tuple(tuple(float(value) for value in row) for row in axes)
    position = tuple(float(value) for value in data.cam_xpos[name])
    return Camera(position, rotation, focal, (WIDTH / 2, HEIGHT / 2))


def intrinsics_of(camera: Camera) -> Intrinsics:
    """Return the camera without its place. Records count from the corner of the first pixel, we from its middle."""
    cx, cy = (value - 0.5 for value in camera.centre_px)
    return Intrinsics(WIDTH, HEIGHT, camera.focal_px, camera.focal_px, cx, cy)


class Photographer:
    """Renders one model without a screen; use it in a ``with`` statement."""

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        """Raise what MuJoCo raises when there is no OpenGL; see :mod:`.opengl`."""
        import mujoco

        self._model = model
        self._renderer = mujoco.Renderer(model, HEIGHT, WIDTH)
        self._bodies = [model.body(name).id for name in names]
        self._things = np.array([model.body(i).name != 'world' for i in range(model.nbody)])

    def __enter__(self) -> Photographer:
        return self

    def __exit__(self, *_: object) -> None:
        self._renderer.close()

    def photograph(self, data: Any) -> Photograph:
        """Render the scene as it is."""
        self._renderer.update_scene(data, 'robot')
        image = self._renderer.render().copy()
        self._renderer.enable_segmentation_rendering()
        try:
            seen = self._bodies_seen(data)
            masks = np.stack([seen == body for body in self._bodies])
            whole = tuple(self._whole(data, index, masks, seen) for index in range(len(masks)))
        finally:
            self._renderer.disable_segmentation_rendering()
        return Photograph(image, masks, whole)

    def depth(self, data: Any) -> npt.NDArray[np.float32]:
        """Render the distance along the camera's axis, metres, float32 (H, W)."""
        self._renderer.enable_depth_rendering()
        try:
            self._renderer.update_scene(data, 'robot')
            return np.asarray(self._renderer.render().copy(), np.float32)
        finally:
            self._renderer.disable_depth_rendering()

    def _bodies_seen(self, data: Any) -> npt.NDArray[np.int64]:
        """Return the body behind each pixel, -1 = none."""
        self._renderer.update_scene(data, 'robot')
        geoms = self._renderer.render()[..., 0]
        # -1, the background, must not become the last geom.
        return np.where(geoms >= 0, self._model.geom_bodyid[geoms], -1)

    def _whole(self, data: Any, index: int, masks: npt.NDArray[np.bool_], seen: npt.NDArray[np.int64]) -> int:
        """Count the pixels of one object with everything else out of its way."""
        mask = masks[index]
        area = int(mask.sum())
        around = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~mask
        if area and not self._things[seen[around]].any():
            return area  # nothing stands beside it in the picture, so nothing covers it
        body = self._bodies[index]
        kept = self._model.geom_rgba[:, 3].copy()
        # What is wholly transparent is not drawn.
        self._model.geom_rgba[self._model.geom_bodyid != body, 3] = 0.0
        try:
            return max(area, int((self._bodies_seen(data) == body).sum()))
        finally:
            self._model.geom_rgba[:, 3] = kept
