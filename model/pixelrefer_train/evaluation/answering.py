"""A model answers the items of a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from pixelrefer_core.errors import InvalidImageError, PixelReferError
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.scene import SceneTokens
from pixelrefer_core.types import Frame, GenerationOptions, ObjectTokens, ObjectView

from .ablation import Objects, geometry_only, shuffle_masks, without_tokens
from .item import Answered, EvaluationItem, Prediction
from .media import Shown, load_item

_KEPT_VIEWS = 256

ViewKey: TypeAlias = tuple[int, bytes]


def variant_of(model: PixelRefer) -> str:
    """Return ``lite`` for a model that reads object tokens alone, ``pixelrefer`` for one that sees the scene."""
    return 'lite' if model.config.rules.infusion_heads else 'pixelrefer'


def fingerprint(model: PixelRefer) -> float:
    """Return a number that changes when any part of a model is trained further: the sum of its first weights."""
    return float(sum(parameter.detach().flatten()[0].double().item() for parameter in model.parameters()))


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
        """Answer one item; masks that cannot be read and what the model refuses become the prediction's ``error``.

        Raises :class:`InvalidImageError` for pictures that are missing: then a folder is wrong, not an item.
        """
        try:
            shown = load_item(item, with_scene=self._sees_scene)
            return self._answer(item, self._take_away(shown))
        except InvalidImageError:
            raise
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
    items: Iterable[EvaluationItem],
    done: Mapping[str, Prediction],
    keep: Callable[[Prediction], None],
) -> Iterator[Answered]:
    """Yield each item, without its pictures, and its prediction: one of ``done`` if it is there, else a new one.

    ``keep`` is given each new one at once, so that a run that stops can go on.
    """
    for item in items:
        prediction = done.get(item.item_id)
        if prediction is None:
            prediction = answerer.answer(item)
            keep(prediction)
        yield Answered(replace(item, frames=(), objects=()), prediction)
