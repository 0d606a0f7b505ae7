"""The pictures of an item, from memory, an image file, a video, or a folder of frames."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelrefer_core.clip import open_clip
from pixelrefer_core.errors import InvalidImageError, InvalidRequestError
from pixelrefer_core.images import decode_compressed
from pixelrefer_core.types import NANOSECONDS, Frame, MaskArray, ObjectView

from ..mask_coding import decode_mask, fill_box
from .item import Appearance, Box, EvaluationItem, Region

# As in the official evaluation: scene frames a second, their number at most, and the rate of folders of frames.
SCENE_RATE_HZ = 1.0
MAX_SCENE_FRAMES = 768
FOLDER_RATE_HZ = 3.0


@dataclass(frozen=True, eq=False)
class Shown:
    """What a model is shown: views of each object, and the frames of the scene where it sees one."""

    objects: tuple[tuple[ObjectView, ...], ...]
    scene: tuple[Frame, ...] = ()


def load_item(item: EvaluationItem, *, with_scene: bool) -> Shown:
    """Read the pictures of an item and decode its masks.

    Frames on which an object has no pixels are left out, unless it has none anywhere. Raises
    :class:`InvalidImageError`, :class:`InvalidRequestError` or :class:`MaskSizeMismatchError`.
    """
    wanted = {view.frame for views in item.objects for view in views}
    if item.frames:
        frames, scene = dict(enumerate(item.frames)), item.frames
    elif item.media is None:
        raise InvalidRequestError(f'{item.item_id} has neither frames nor a file')
    elif item.is_video:
        frames, scene = read_video(item.media, wanted, with_scene=with_scene)
    else:
        frames = {0: read_image(item.media)}
        scene = (frames[0],)
    lost = sorted(wanted - frames.keys())
    if lost:
        raise InvalidRequestError(f'{item.item_id}: a mask is on frame {lost[0]}, which {item.media} lacks')
    objects = tuple(_views(views, frames) for views in item.objects)
    return Shown(objects, tuple(scene) if with_scene else ())


def read_image(file: Path) -> Frame:
    """Read an image file as the only frame of a clip. Raises :class:`InvalidImageError`."""
    try:
        return Frame(decode_compressed(file.read_bytes()), stamp_ns=0)
    except FileNotFoundError as error:
        raise InvalidImageError(
            f'{file} does not exist: name the folder of the pictures with --media'
        ) from error


def read_video(
    path: Path, wanted: Collection[int], *, with_scene: bool
) -> tuple[dict[int, Frame], tuple[Frame, ...]]:
    """Return the ``wanted`` frames by number and, ``with_scene``, one frame a second of the whole video.

    Raises :class:`InvalidImageError`.
    """
    found: dict[int, Frame] = {}
    scene: list[Frame] = []
    last = max(wanted, default=-1)
    for index, frame in enumerate(open_clip(path, folder_rate_hz=FOLDER_RATE_HZ)):
        if index in wanted:
            found[index] = frame
        if with_scene and frame.stamp_ns * SCENE_RATE_HZ >= len(scene) * NANOSECONDS:
            scene.append(frame)
        if not with_scene and index >= last:
            break
    chosen = np.linspace(0, len(scene) - 1, min(len(scene), MAX_SCENE_FRAMES)).astype(int)
    return found, tuple(scene[index] for index in chosen)


def region_mask(region: Region, height: int, width: int) -> MaskArray:
    """Return a region as a mask, bool (``height``, ``width``). Raises what :func:`decode_mask` raises."""
    if isinstance(region, Box):
        return fill_box((region.x1, region.y1, region.x2, region.y2), height, width)
    if isinstance(region, np.ndarray):
        return region
    return decode_mask(region, height, width)


def _views(views: tuple[Appearance, ...], frames: dict[int, Frame]) -> tuple[ObjectView, ...]:
    seen = []
    for view in views:
        frame = frames[view.frame]
        seen.append(ObjectView(frame, region_mask(view.region, frame.height, frame.width)))
    return tuple(view for view in seen if view.mask.any()) or tuple(seen[:1])
