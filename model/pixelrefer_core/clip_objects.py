"""Which objects of a clip to point at: those that its folder names, those that a person gives, or the middle one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .errors import InvalidPromptError
from .types import MaskArray, Prompt

OBJECTS_FILE = 'objects.json'


def clip_prompts(
    clip: Path, boxes: Sequence[Sequence[float]] = (), *, height: int, width: int
) -> list[Prompt]:
    """Return prompts for the first frame of a clip.

    ``boxes`` (x, y, width, height) win. Else the clip's own ``objects.json`` is read, else the first PNG of its
    ``masks`` folder; without either, the pixel in the middle of the image is pointed at. ``height``, ``width``:
    of the image. Raises :class:`InvalidPromptError` for a file that cannot be read.
    """
    if boxes:
        return [Prompt(box_xyxy=(x, y, x + w, y + h)) for x, y, w, h in boxes]
    if (clip / OBJECTS_FILE).exists():
        return read_objects(clip / OBJECTS_FILE)
    masks = sorted((clip / 'masks').glob('*.png'))
    if masks:
        return [Prompt(mask=read_mask(masks[0]))]
    return [Prompt(points=np.array([[width / 2, height / 2]], np.float32))]


def read_objects(file: Path) -> list[Prompt]:
    """Read ``{"objects": [{"object_id", "label", and "box" | "points" [+ "point_labels"] | "mask"}]}``.

    ``box``: [x, y, width, height]; ``points``: [[x, y], ...]; ``mask``: a PNG beside the file, non-zero = object.
    """
    try:
        entries: list[dict[str, Any]] = json.loads(file.read_text())['objects']
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidPromptError(f'{file} is no list of objects: {error!r}') from error
    return [_prompt(entry, file.parent) for entry in entries]


def read_mask(file: Path) -> MaskArray:
    """Read a PNG as a mask, bool (H, W). Raises :class:`InvalidPromptError`."""
    mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise InvalidPromptError(f'{file} cannot be read as an image')
    return np.asarray(mask != 0)


def _prompt(entry: dict[str, Any], folder: Path) -> Prompt:
    box, points, labels = (entry.get(key) for key in ('box', 'points', 'point_labels'))
    return Prompt(
        object_id=entry.get('object_id', ''),
        label=entry.get('label', ''),
        box_xyxy=None if box is None else (box[0], box[1], box[0] + box[2], box[1] + box[3]),
        points=None if points is None else np.array(points, np.float32),
        point_labels=None if labels is None else np.array(labels, np.bool_),
        mask=read_mask(folder / entry['mask']) if 'mask' in entry else None,
    )
