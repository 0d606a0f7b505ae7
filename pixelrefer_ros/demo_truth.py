"""What the demo sets beside the node's work: the simulator's masks, and the frames that came after the questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pixelrefer_core.masks import mask_box
from pixelrefer_core.segmentation_metrics import region_similarity
from pixelrefer_core.sheet import Column
from pixelrefer_core.types import MaskArray, ObjectState, TrackedObject
from pixelrefer_ros.demo_recorder import View
from pixelrefer_sim.demo_tabletop import OBJECT_IDS, read_future, true_mask
from pixelrefer_sim.exam import Exam
from pixelrefer_sim.record import FUTURE_S, RATE_HZ

FUTURE_COLUMNS = 4


def future_columns(exam: Exam, clip: Path) -> list[Column]:
    """Return frames of the time that a prediction is about, with the true masks of the objects."""
    last = round(FUTURE_S * RATE_HZ)
    offsets = [round(last * (k + 1) / FUTURE_COLUMNS) for k in range(FUTURE_COLUMNS)]
    return [
        (
            read_future(clip, exam.end + offset),
            _true_objects(exam, exam.end + offset),
            f'+{offset / RATE_HZ:.1f} s: what happened',
        )
        for offset in offsets
    ]


def tracking_line(exam: Exam, views: Sequence[View], object_ids: Sequence[str]) -> str:
    """Return the mean overlap J of each object's masks with the true ones, in a line."""
    scored = [view for view in views if view.objects]
    parts = []
    for object_id, name in zip(object_ids, exam.objects, strict=True):
        scores = [
            region_similarity(
                true_mask(exam.view.record, name, round(view.second * RATE_HZ)), _mask(view, object_id)
            )
            for view in scored
        ]
        parts.append(f'{object_id} {np.mean(scores):.3f}' if scores else f'{object_id} never tracked')
    return f'tracking, J against the true masks: {", ".join(parts)} over {len(scored)} frames'


def _mask(view: View, object_id: str) -> MaskArray:
    masks = {item.object_id: item.mask for item in view.objects}
    return masks.get(object_id, np.zeros(view.image.shape[:2], np.bool_))


def _true_objects(exam: Exam, instant: int) -> list[TrackedObject]:
    objects = []
    for object_id, name in zip(OBJECT_IDS, exam.objects, strict=True):
        mask = true_mask(exam.view.record, name, instant)
        if mask.any():
            area = int(mask.sum())
            objects.append(
                TrackedObject(object_id, '', ObjectState.TRACKED, 1.0, mask, mask_box(mask), area, 0, 0)
            )
    return objects
