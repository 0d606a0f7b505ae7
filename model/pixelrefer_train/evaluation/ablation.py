"""What is taken away from a model's view to find short cuts: answers that are right without looking."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np

from pixelrefer_core.types import Frame, ObjectTokens, ObjectView

from .item import EvaluationItem
from .media import Shown

_GREY = 127

Objects: TypeAlias = tuple[tuple[ObjectTokens, ...], ...]


def shuffle_masks(shown: Shown) -> Shown:
    """Give each object the pictures of the next one, the last those of the first."""
    return replace(shown, objects=shown.objects[1:] + shown.objects[:1])


def geometry_only(shown: Shown) -> Shown:
    """Replace all pictures by grey ones: what remains is where the masks are, how large, and when."""
    grey: dict[int, Frame] = {}

    def blank(frame: Frame) -> Frame:
        if id(frame) not in grey:
            grey[id(frame)] = replace(frame, image=np.full_like(frame.image, _GREY))
        return grey[id(frame)]

    objects = tuple(tuple(ObjectView(blank(v.frame), v.mask) for v in views) for views in shown.objects)
    return Shown(objects, tuple(blank(frame) for frame in shown.scene))


def without_tokens(objects: Objects) -> Objects:
    """Replace object tokens by zeros: the question remains, and how many objects there are on which frames."""
    return tuple(
        tuple(replace(view, tokens=view.tokens.new_zeros(view.tokens.shape)) for view in views)
        for views in objects
    )


ABLATIONS = {
    'question-only': 'object tokens are zeros',
    'geometry-only': 'pictures are grey',
    'shuffle-masks': 'each object has the masks of the next; questions about one object are left out',
}


def is_ablated(item: EvaluationItem, ablation: str) -> bool:
    """Tell whether an ablation changes anything for an item; the others are left out of the run."""
    return ablation != 'shuffle-masks' or len(item.objects) > 1
