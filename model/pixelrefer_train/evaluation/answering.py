"""A model answers the items of a benchmark, also with part of what it sees taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch

from pixelrefer_core.errors import PixelReferError
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.scene import SceneTokens
from pixelrefer_core.types import Frame, GenerationOptions, ObjectTokens, ObjectView

from .item import EvaluationItem, Prediction
from .media import Shown, load_item

_GREY = 127
_KEPT_VIEWS = 256

Objects: TypeAlias = tuple[tuple[ObjectTokens, ...], ...]
ViewKey: TypeAlias = tuple[int, bytes]


def variant_of(model: PixelRefer) -> str:
    """Return ``lite`` for a model that reads object tokens alone, ``pixelrefer`` for one that sees the scene."""
    return 'lite' if model.config.rules.infusion_heads else 'pixelrefer'


def fingerprint(model: PixelRefer) -> float:
    """Return a number that changes when any part of a model is trained further: the sum of its first weights."""
    return float(sum(parameter.detach().flatten()[0].double().item() for parameter in model.parameters()))


# --- taking away ---


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
        tuple(replace(view, tokens=torch.zeros_like(view.tokens)) for view in views) for views in objects
    )


ABLATIONS = {
    'question-only': 'object tokens are zeros',
    'geometry-only': 'pictures are grey',
    'shuffle-masks': 'each object has the masks of the next; questions about one object are left out',
}


def is_ablated(item: EvaluationItem, ablation: str) -> bool:
    """Tell whether an ablation changes anything for an item; the others are left out of the run."""
    return ablation != 'shuffle-masks' or len(item.objects) > 1


class Answerer:
    """Asks one model. ``probabilities``: also how probable it finds each of the classes of an item."""

    def __init__(
        self,
        model: PixelRefer,
        *,
        options: GenerationOptions,
        probabilities: bool = False,
        ablation: str = '',
    ) -> None:
        self.model, self.options = model, options
        self.probabilities, self.ablation = probabilities, ablation
        self._sees_scene = variant_of(model) == 'pixelrefer'
        self._tokens: dict[ViewKey, tuple[Frame, ObjectTokens]] = {}

    def answer(self, item: EvaluationItem) -> Prediction:
        """Answer one item; what the model refuses becomes the ``error`` of the prediction.

        Raises what :func:`load_item` raises for pictures that cannot be read.
        """
        shown = load_item(item, with_scene=self._sees_scene)
        try:
            return self._answer(item, self._take_away(shown))
        except PixelReferError as error:
            return Prediction(item.item_id, '', error=f'{type(error).__name__}: {error}')

    def _take_away(self, shown: Shown) -> Shown:
        if self.ablation == 'shuffle-masks':
            return shuffle_masks(shown)
        return geometry_only(shown) if self.ablation == 'geometry-only' else shown

    def _answer(self, item: EvaluationItem, shown: Shown) -> Prediction:
        objects = self._encode(shown.objects, keep=bool(item.frames))
        if self.ablation == 'question-only':
            objects = without_tokens(objects)
        scene = self._scene(item, shown)
        # Scene tokens come first by themselves; the tags that name their place are of the official format.
        instruction = item.instruction.removeprefix('<video>').removeprefix('<image>').strip()
        generation = self.model.generate(instruction, objects, options=self.options, scene=scene)
        shares = {}
        if self.probabilities and item.classes:
            shares = self.model.choose(instruction, objects, item.classes, scene=scene)
        return Prediction(item.item_id, generation.text, shares)

    def _scene(self, item: EvaluationItem, shown: Shown) -> SceneTokens | None:
        if not self._sees_scene or self.ablation == 'question-only':
            return None
        return self.model.encode_scene(shown.scene, video=item.is_video)

    def _encode(self, objects: Sequence[Sequence[ObjectView]], *, keep: bool) -> Objects:
        """Make tokens of views. ``keep``: for further questions about the same frames in memory."""
        # A kept frame stays alive, so that no other one can get its id.
        keys = {_key(view): view for views in objects for view in views}
        if not keep or len(self._tokens) + len(keys) > _KEPT_VIEWS:
            self._tokens.clear()
        new = [(key, view) for key, view in keys.items() if key not in self._tokens]
        encoded = self.model.encode_objects([view for _, view in new])
        for (key, view), tokens in zip(new, encoded, strict=True):
            self._tokens[key] = view.frame, tokens
        return tuple(tuple(self._tokens[_key(view)][1] for view in views) for views in objects)


def _key(view: ObjectView) -> ViewKey:
    return id(view.frame), np.packbits(view.mask).tobytes()


def answer_all(
    answerer: Answerer,
    items: Sequence[EvaluationItem],
    done: dict[str, Prediction],
    keep: Callable[[Prediction], None],
) -> Iterator[Prediction]:
    """Yield the prediction of each item, in order: one of ``done`` where there is one, else a new one.

    ``keep`` is given each new one at once, so that a run that stops can go on.
    """
    for item in items:
        prediction = done.get(item.item_id)
        if prediction is None:
            prediction = answerer.answer(item)
            keep(prediction)
        yield prediction
