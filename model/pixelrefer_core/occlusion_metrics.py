"""How well a tracker lives through an occlusion: scores of one object that vanishes and comes back.

A frame counts as visible when at least half of the object shows, as hidden when nothing does; between the two,
nobody can say where the mask should end, and nothing is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .masks import mask_iou
from .types import NANOSECONDS, MaskArray, MaskEstimate, ObjectState

VISIBLE_SHARE = 0.5
# Overlap from which on a mask lies on the object.
FOUND_IOU = 0.5


@dataclass(frozen=True)
class OcclusionScore:
    """``region``: mean J over visible frames, those before the tracker has found the object again included.

    ``hidden_area``: mean area of the mask on hidden frames, in areas of the whole object. ``hidden_states``: share of
    the hidden frames on which the object is called OCCLUDED or LOST. ``reacquired_s``: from the first visible frame
    after the last hidden one until mask and state are right, seconds; None when that never happens.
    """

    region: float
    hidden_area: float
    hidden_states: float
    reacquired_s: float | None


def occlusion_score(
    truth: Sequence[MaskArray], estimates: Sequence[MaskEstimate], stamps_ns: Sequence[int]
) -> OcclusionScore:
    """Score one object over a clip; the first frame is the prompt and does not count.

    Raises ValueError unless the object is hidden at least once and visible after it.
    """
    areas = np.array([np.count_nonzero(mask) for mask in truth])
    whole = int(areas.max())
    visible, hidden = areas >= VISIBLE_SHARE * whole, areas == 0
    visible[0] = hidden[0] = False
    back = np.flatnonzero(visible & (np.arange(len(areas)) > _last(hidden))).tolist()
    if not back:
        raise ValueError('the object must be hidden once and come back')
    overlap = [mask_iou(mask, item.mask) for mask, item in zip(truth, estimates, strict=True)]
    gone = [estimates[k] for k in np.flatnonzero(hidden).tolist()]
    found = [k for k in back if overlap[k] >= FOUND_IOU and estimates[k].state is ObjectState.TRACKED]
    return OcclusionScore(
        region=float(np.mean([overlap[k] for k in np.flatnonzero(visible).tolist()])),
        hidden_area=float(np.mean([np.count_nonzero(item.mask) for item in gone])) / whole,
        hidden_states=float(
            np.mean([item.state in (ObjectState.OCCLUDED, ObjectState.LOST) for item in gone])
        ),
        reacquired_s=(stamps_ns[found[0]] - stamps_ns[back[0]]) / NANOSECONDS if found else None,
    )


def _last(flags: np.ndarray) -> int:
    places = np.flatnonzero(flags)
    return int(places[-1]) if len(places) else len(flags)
