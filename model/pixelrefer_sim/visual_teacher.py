"""Draws pictures with labels from rendered clips, for the part of a model that sees.

``N`` object-frames of a lesson, ``T`` patches of all its pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from pixelrefer_core.geometry import Grid
from pixelrefer_core.masks import mask_box
from pixelrefer_core.model_config import COMPATIBILITY, ModelConfig
from pixelrefer_core.object_views import ViewPlan, plan_views
from pixelrefer_core.preprocess import grid_of
from pixelrefer_core.types import Frame, ImageArray, MaskArray, ObjectView

from .catalogue import CATEGORIES, COLOURS, SIZES
from .disturb import Look, Rng, disturb_mask, strange_colours
from .questions.view import View
from .record import HEIGHT, MINIMUM_VISIBLE_PX, WIDTH, ClipRecord, SceneObject, load_record
from .samples import mask_of, read_frames

# What objects are told apart by, and the values in the order of their numbers.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    'category': tuple(CATEGORIES),
    'colour': tuple(COLOURS),
    'size': tuple(SIZES),
}
NOTHING, MIXED = 0, -1  # labels of patches; values are counted from 1
UNASKED = -1  # label of an attribute that cannot be told
# An encoder that has seen each shape in seven colours of eight takes the eighth for another shape.
_STRANGE_SHARE = 0.4
_PURE_SHARE = 0.4
_RECORDS_KEPT = 4096

Labels = npt.NDArray[np.int64]
Pixels = TypeVar('Pixels', ImageArray, MaskArray)


@dataclass(frozen=True, eq=False)
class Marked:
    """An object on a frame, its mask as a tracker might have it. ``has_colour``: it is seen in its own.

    ``planes``: category and colour of every pixel of the frame, from 1, uint8 (H, W).
    """

    view: ObjectView
    item: SceneObject
    planes: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
    has_colour: bool = True


@dataclass(frozen=True, eq=False)
class Lesson:
    """Planned views with what they show.

    ``patch_category``, ``patch_colour``: int64 (T), ``NOTHING``, ``MIXED``, or a value counted from 1.
    ``attributes``: int64 (N) for each of :data:`ATTRIBUTES`, or ``UNASKED``. ``boxes``: float32 (N, 4), centre x and
    y, width and height of what is seen of the object, in units of the picture's sides.
    """

    plan: ViewPlan
    patch_category: Labels
    patch_colour: Labels
    attributes: dict[str, Labels]
    boxes: npt.NDArray[np.float32]


class Teacher:
    """Draws lessons from clips in folders."""

    def __init__(
        self, folders: Sequence[Path], config: ModelConfig, *, seed: int, disturbed: bool = True
    ) -> None:
        """Raises :class:`FileNotFoundError` when there are no clips. ``disturbed``: pictures and masks a little off."""
        self._clips = sorted(file.parent for folder in folders for file in folder.glob('*/clip.json'))
        if not self._clips:
            raise FileNotFoundError(f'no clip.json in {", ".join(str(folder) for folder in folders)}')
        self._config, self._disturbed = config, disturbed
        self._rng = np.random.default_rng(seed)
        self._record = lru_cache(_RECORDS_KEPT)(load_record)

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self._clips)

    def draw(self, frames: int) -> Lesson:
        """Draw frames of clips with all objects that are seen on them."""
        marked: list[Marked] = []
        while frames:
            drawn = self._frame()
            marked += drawn
            frames -= bool(drawn)
        return label(marked, self._config)

    def _frame(self) -> list[Marked]:
        rng = self._rng
        folder = self._clips[int(rng.integers(len(self._clips)))]
        record = self._record(folder)
        number = int(rng.integers(len(record.masks)))
        look = Look(rng) if self._disturbed else None
        frame = read_frames(View(record, (number,)), folder, look)[0]
        masks = [mask_of(record, item.name, number) for item in record.objects]
        if self._disturbed and rng.random() < 0.5:
            frame = Frame(_mirrored(frame.image), frame.stamp_ns)
            masks = [_mirrored(mask) for mask in masks]
        marked = mark(record, frame, masks, rng if self._disturbed else None)
        if self._disturbed and rng.random() < _STRANGE_SHARE:
            strange = Frame(strange_colours(frame.image, rng), frame.stamp_ns)
            marked = [replace(one, view=replace(one.view, frame=strange), has_colour=False) for one in marked]
        return marked


def mark(record: ClipRecord, frame: Frame, masks: Sequence[MaskArray], rng: Rng | None) -> list[Marked]:
    """Return the objects that are seen on a frame, their masks disturbed by ``rng`` or left as they are."""
    planes = (np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8))
    for item, mask in zip(record.objects, masks, strict=True):
        planes[0][mask] = ATTRIBUTES['category'].index(item.category) + 1
        planes[1][mask] = ATTRIBUTES['colour'].index(item.colour) + 1
    return [
        Marked(ObjectView(frame, mask if rng is None else disturb_mask(mask, rng)), item, planes)
        for item, mask in zip(record.objects, masks, strict=True)
        if np.count_nonzero(mask) >= MINIMUM_VISIBLE_PX
    ]


def label(marked: Sequence[Marked], config: ModelConfig) -> Lesson:
    """Plan the views of objects and label them."""
    plan = plan_views([one.view for one in marked], config, COMPATIBILITY['fixed'])
    windows = [
        (slice(crop.box.top, crop.box.bottom + 1), slice(crop.box.left, crop.box.right + 1))
        for crop in plan.objects
    ]
    # The picture of each view in the order of the plan, and the part of which object's frame it shows.
    parts = [(number, windows[number]) for number in range(len(marked))]
    shown = [*parts, *(parts[plan.local_of.index(rank)] for rank in range(len(plan.local)))]
    everything = (slice(None), slice(None))
    shown += [(plan.whole_of.index(rank), everything) for rank in range(len(plan.whole))]
    grids = [grid_of(picture) for picture in plan.pictures]
    patches = [
        np.concatenate(
            [
                label_patches(marked[number].planes[plane][window], grid)
                if marked[number].has_colour or plane == 0
                else np.full(grid.cells, MIXED, np.int64)
                for (number, window), grid in zip(shown, grids, strict=True)
            ]
        )
        for plane in range(2)
    ]
    attributes = {
        name: np.array([values.index(getattr(one.item, name)) for one in marked], np.int64)
        for name, values in ATTRIBUTES.items()
    }
    attributes['colour'][[not one.has_colour for one in marked]] = UNASKED
    boxes = np.array([_box(one.view.mask) for one in marked], np.float32)
    return Lesson(plan, patches[0], patches[1], attributes, boxes)


def label_patches(plane: npt.NDArray[np.uint8], grid: Grid) -> Labels:
    """Return the value that fills most of each cell, ``MIXED`` where none fills 40 % of it; (h * w)."""
    values = np.unique(plane)
    planes = ((plane == value).astype(np.float32) for value in values)
    shares = np.stack([cv2.resize(p, grid[::-1], interpolation=cv2.INTER_AREA) for p in planes])
    best = shares.argmax(axis=0)
    pure = shares.max(axis=0) >= _PURE_SHARE
    return np.where(pure, values.astype(np.int64)[best], MIXED).reshape(-1)


def _box(mask: MaskArray) -> tuple[float, float, float, float]:
    box = mask_box(mask)
    assert box is not None  # what is disturbed keeps half of its pixels
    x1, y1, x2, y2 = box
    return (x1 + x2) / (2 * WIDTH), (y1 + y2) / (2 * HEIGHT), (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT


def _mirrored(picture: Pixels) -> Pixels:
    return np.ascontiguousarray(picture[:, ::-1])
