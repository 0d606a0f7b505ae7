"""What the vision encoder must see to make the tokens of a set of objects. Host only, no weights.

Three kinds of pictures: each object's crop, its local view, and the whole frame, which the objects of one
frame share. PixelRefer (Vision-Object) needs the crops alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import EmptyPromptError, InvalidImageError, InvalidRequestError, MaskSizeMismatchError
from .geometry import CELL_AREA, PATCH, smart_resize
from .model_config import Compatibility, ModelConfig
from .object_tokenizer import ObjectCrop, crop_object, random_seeds
from .preprocess import resize_area, resize_bicubic
from .types import ImageArray, MaskArray, ObjectView


@dataclass(frozen=True, eq=False)
class ViewPlan:
    """The pictures of one encoder call: ``crops``, then ``local``, then ``whole``, all uint8 (H, W, 3).

    ``objects``: one for each view. ``crops``: what the encoder sees of them. ``local_of`` and ``whole_of``:
    for each object the index of its local view and of its frame; empty without infusion.
    ``seeds``: initial centroids of each object; None = evenly spaced.
    """

    objects: tuple[ObjectCrop, ...]
    crops: tuple[ImageArray, ...]
    local: tuple[ImageArray, ...]
    whole: tuple[ImageArray, ...]
    local_of: tuple[int, ...]
    whole_of: tuple[int, ...]
    seeds: tuple[npt.NDArray[np.int64] | None, ...]

    @property
    def pictures(self) -> tuple[ImageArray, ...]:
        """All pictures in the order in which they are encoded."""
        return self.crops + self.local + self.whole


def plan_views(
    views: Sequence[ObjectView],
    config: ModelConfig,
    compat: Compatibility,
    seeds: Sequence[npt.NDArray[np.int64] | None] | None = None,
) -> ViewPlan:
    """Cut and scale everything that is needed to tokenize ``views``.

    ``seeds``: initial centroids as indices into each object's active cells, instead of those of ``compat``.
    Raises :class:`InvalidImageError`, :class:`MaskSizeMismatchError`, :class:`EmptyPromptError`, or
    :class:`InvalidRequestError` for seeds out of range.
    """
    rules = config.rules
    objects = [crop_object(view.frame.image, _checked_mask(view, compat), rules, compat) for view in views]
    if seeds is None:
        seeds = [random_seeds(item, rules.num_tokens) if compat.random_seeds else None for item in objects]
    _check_seeds(objects, seeds)
    whole_from, local_from = _shared_views(views, compat) if rules.infusion_heads else ([], [])
    local = [resize_area(objects[i].context, rules.local_px, rules.local_px) for i in sorted(set(local_from))]
    images = [views[i].frame.image for i in sorted(set(whole_from))]
    whole = [resize_area(image, rules.global_px, rules.global_px) for image in images]
    budget = config.max_length // len(views) if compat.split_budget else None
    return ViewPlan(
        objects=tuple(objects),
        crops=_fit([item.picture for item in objects], budget),
        local=_fit(local, budget),
        whole=_fit(whole, budget),
        local_of=_ranks(local_from),
        whole_of=_ranks(whole_from),
        seeds=tuple(seeds),
    )


def _shared_views(views: Sequence[ObjectView], compat: Compatibility) -> tuple[list[int], list[int]]:
    """Return for each view the view whose frame, and the view whose local crop, stands in for its own."""
    frames = [id(view.frame.image) for view in views]
    first = [frames.index(frame) for frame in frames]
    # upstream: mm_utils.py caches the local crop by frame, so its first object's serves all.
    return first, first if compat.share_local_crop else list(range(len(views)))


def _check_seeds(objects: Sequence[ObjectCrop], seeds: Sequence[npt.NDArray[np.int64] | None]) -> None:
    for item, seed in zip(objects, seeds, strict=True):
        if seed is not None and not np.isin(seed, np.arange(len(item.active))).all():
            raise InvalidRequestError(
                f'initial centroids must be indices into {len(item.active)} active cells'
            )


def _ranks(values: Sequence[int]) -> tuple[int, ...]:
    distinct = sorted(set(values))
    return tuple(distinct.index(value) for value in values)


def _fit(pictures: Sequence[ImageArray], budget: int | None) -> tuple[ImageArray, ...]:
    """Resize pictures to at most ``budget`` patches each, as the official image processor does."""
    if budget is None:
        return tuple(pictures)
    return tuple(fit_picture(picture, budget * CELL_AREA, factor=PATCH) for picture in pictures)


def fit_picture(picture: ImageArray, max_pixels: int, *, factor: int) -> ImageArray:
    """Resize a picture to multiples of ``factor`` and at most ``max_pixels``, antialiased bicubic.

    Raises :class:`InvalidImageError` for a picture more than 200 times longer than wide.
    """
    try:
        size = smart_resize(*picture.shape[:2], factor=factor, max_pixels=max_pixels)
    except ValueError as error:
        raise InvalidImageError(str(error)) from error
    return resize_bicubic(picture, *size)


def check_image(image: ImageArray) -> None:
    """Raise :class:`InvalidImageError` unless ``image`` is uint8 (H, W, 3) with at least one pixel."""
    if not isinstance(image, np.ndarray):
        kind = f'{type(image).__module__}.{type(image).__qualname__}'
        raise InvalidImageError(f'an image must be a numpy array, got {kind}: convert it with numpy.asarray')
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise InvalidImageError(f'an image must be uint8 RGB (H, W, 3), got {image.dtype} {image.shape}')


def _checked_mask(view: ObjectView, compat: Compatibility) -> MaskArray:
    check_image(view.frame.image)
    mask = np.asarray(view.mask) != 0  # 0/1 and 0/255 mean the same
    if mask.shape != view.frame.image.shape[:2]:
        raise MaskSizeMismatchError(
            f'the mask is {mask.shape}, but its image is {view.frame.image.shape[:2]} (rows, columns)'
        )
    if not mask.any() and not compat.accept_empty_mask:
        raise EmptyPromptError('the mask has no pixels: leave frames out on which the object is hidden')
    return mask
