"""Depth that was recorded beside the pictures of a clip: ``depth/NAME.png`` for each picture, and ``camera.json``.

The PNGs have 16 bits, millimetres, 0 = no measurement. ``camera.json`` is an object with the fields of
:class:`Intrinsics` except distortion, at the size of the pictures.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from .errors import InvalidCameraInfoError, InvalidImageError
from .types import DepthImage, Intrinsics

DEPTH_FOLDER, CAMERA_FILE = 'depth', 'camera.json'
_FIELDS = ('width', 'height', 'fx', 'fy', 'cx', 'cy')
_FARTHEST_MM = np.iinfo(np.uint16).max


@dataclass(frozen=True)
class ClipDepth:
    """The depth images of one clip."""

    folder: Path
    intrinsics: Intrinsics

    def of(self, picture: Path) -> DepthImage | None:
        """Return what was measured together with a picture, None when nothing was.

        Raises :class:`InvalidImageError` for a file that is no 16-bit PNG.
        """
        file = self.folder / f'{picture.stem}.png'
        if not file.exists():
            return None
        pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 2:
            raise InvalidImageError(f'{file} is no grey PNG of 16 bits')
        return DepthImage(np.asarray(pixels, np.uint16), '16UC1', self.intrinsics)


def open_depth(clip: Path) -> ClipDepth | None:
    """Return the depth of the clip in a folder, None when it has none.

    Raises :class:`InvalidCameraInfoError` when ``camera.json`` is missing or none.
    """
    if not (clip / DEPTH_FOLDER).is_dir():
        return None
    return ClipDepth(clip / DEPTH_FOLDER, _read_camera(clip / CAMERA_FILE))


def save_camera(camera: Intrinsics, clip: Path) -> None:
    """Write ``camera.json``."""
    values = {name: value for name, value in asdict(camera).items() if name in _FIELDS}
    (clip / CAMERA_FILE).write_text(json.dumps(values) + '\n')


def save_depth(metres: npt.NDArray[np.float32], file: Path) -> None:
    """Write a depth image (H, W); what is farther than 65 m, or not finite, becomes no measurement."""
    with np.errstate(invalid='ignore'):
        millimetres = np.rint(1000.0 * metres)
        known = (millimetres > 0) & (millimetres <= _FARTHEST_MM)
    cv2.imwrite(str(file), np.where(known, millimetres, 0).astype(np.uint16))


def _read_camera(file: Path) -> Intrinsics:
    try:
        values = json.loads(file.read_text())
        width, height, fx, fy, cx, cy = (float(values[name]) for name in _FIELDS)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidCameraInfoError(
            f'{file} must be an object with the numbers {", ".join(_FIELDS)}: {error!r}'
        ) from error
    if not (min(width, height, fx, fy) > 0.0 and all(map(math.isfinite, (width, height, fx, fy, cx, cy)))):
        raise InvalidCameraInfoError(f'{file}: sizes and focal lengths must be finite and above zero')
    return Intrinsics(round(width), round(height), fx, fy, cx, cy)
