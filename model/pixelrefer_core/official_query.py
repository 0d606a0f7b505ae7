"""One query through the whole model, with the inputs of the official ``mm_infer`` and every tensor kept.

For comparing with the official code and for offline evaluation; the engine instead makes object tokens while
it tracks. ``L`` positions, ``K`` object tokens, ``C`` channels, ``D`` width, ``S`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from .errors import InvalidRequestError
from .geometry import PaddedBox
from .object_views import ViewPlan, plan_views
from .pixelrefer import PixelRefer
from .prompt import chat, fill_regions, region_slot, scene_slot
from .scene import SceneTokens
from .types import Frame, ImageArray, MaskArray, ObjectView
from .visual_model import EncodedObjects, VisualModel


@dataclass(frozen=True, eq=False)
class OfficialQuery:
    """Pictures, masks and a prompt.

    ``frames``: RGB uint8 (H, W, 3), of one size; for PixelRefer the scene, for Lite those that carry masks.
    ``prompt``: with one ``<region>`` for each mask, or, of a Lite video, for each object. A leading
    ``<image>`` or ``<video>`` shows PixelRefer the scene. ``times_s``: of the frames of a video, empty for an
    image. ``mask_frames``: for each mask the index of its frame, in ``annotated_frames`` if there are any.
    ``object_frames``: of a Lite video, for each object the frames that show it; masks follow this order.
    ``seeds``: for each mask the initial centroids, indices into its active cells; None = the model's choice.
    """

    frames: Sequence[ImageArray]
    prompt: str
    times_s: Sequence[float] = ()
    masks: Sequence[MaskArray] = ()
    mask_frames: Sequence[int] = ()
    object_frames: Sequence[Sequence[int]] = ()
    annotated_frames: Sequence[ImageArray] = ()
    seeds: Sequence[npt.NDArray[np.int64] | None] | None = None


@dataclass(frozen=True, eq=False)
class EmbeddedQuery:
    """What a query became on its way to the language model.

    ``input_ids``: (L,), before repeated scene tokens are dropped. Of each mask: ``boxes``, ``mask_grids``
    (h, w) and ``clusters`` (n, C), after clustering and before padding. ``region_tokens``: (R, D), all object
    tokens. ``inputs_embeds``: (L', D).
    """

    input_ids: list[int]
    boxes: tuple[PaddedBox, ...]
    mask_grids: tuple[npt.NDArray[np.float32], ...]
    clusters: tuple[torch.Tensor, ...]
    region_tokens: torch.Tensor
    inputs_embeds: torch.Tensor


@dataclass(frozen=True, eq=False)
class QueryTensors(EmbeddedQuery):
    """An embedded query and its ``logits`` (L', S), of every position."""

    logits: torch.Tensor


EmbedViews = Callable[[VisualModel, ViewPlan], EncodedObjects]


@torch.no_grad()
def run_query(model: PixelRefer, query: OfficialQuery) -> QueryTensors:
    """Run a query to the logits. Raises what :meth:`PixelRefer.encode_objects` and the prompt raise."""
    embedded = embed_query(model, query)
    return QueryTensors(**vars(embedded), logits=model.language_model(embedded.inputs_embeds[None])[0])


@torch.no_grad()
def embed_query(
    model: PixelRefer, query: OfficialQuery, embed_views: EmbedViews = VisualModel.embed_views
) -> EmbeddedQuery:
    """Run a query as far as the language model. ``embed_views``: another way to the same object tokens."""
    plan = _plan(model, query)
    encoded = embed_views(model.visual_model, plan) if plan else None
    regions = encoded.unbind() if encoded else []
    scene, text = _scene(model, query)
    content = fill_regions(text, _slots(model, query, encoded))
    vectors = {model.region_id: regions, model.image_id: list(scene.frames) if scene else []}
    full, kept = _scene_slots(scene)
    prompt = model.language_model.embed_prompt(model.token_ids(chat(kept + content)), vectors)
    return EmbeddedQuery(
        input_ids=model.token_ids(chat(full + content)),
        boxes=tuple(item.box for item in plan.objects) if plan else (),
        mask_grids=tuple(item.mask_grid for item in plan.objects) if plan else (),
        clusters=tuple(c[:n] for c, n in zip(encoded.clusters, encoded.filled, strict=True))
        if encoded
        else (),
        region_tokens=torch.cat(regions) if regions else prompt.embeds[:0],
        inputs_embeds=prompt.embeds,
    )


def _plan(model: PixelRefer, query: OfficialQuery) -> ViewPlan | None:
    if len(query.masks) != len(query.mask_frames):
        raise InvalidRequestError(f'{len(query.masks)} masks with the frames of {len(query.mask_frames)}')
    if not query.masks:
        return None
    frames = [Frame(image, stamp_ns=0) for image in query.annotated_frames or query.frames]
    views = [
        ObjectView(frames[index], mask) for index, mask in zip(query.mask_frames, query.masks, strict=True)
    ]
    return plan_views(views, model.config, model.compat, query.seeds)


def _scene(model: PixelRefer, query: OfficialQuery) -> tuple[SceneTokens | None, str]:
    """Return the scene, if the prompt begins with its tag, and the prompt without the tag."""
    tag = '<video>' if query.times_s else '<image>'
    if not query.prompt.startswith(tag):
        return None, query.prompt
    frames = [Frame(image, stamp_ns=0) for image in query.frames]
    model.check_scene(frames, video=bool(query.times_s))
    scene = model.visual_model.embed_scene(query.frames, query.times_s or None)
    return scene, query.prompt.removeprefix(tag).strip()


def _scene_slots(scene: SceneTokens | None) -> tuple[str, str]:
    """Return the scene's slot before and after repeated tokens were dropped."""
    if scene is None:
        return '', ''
    kept = [len(frame) for frame in scene.frames]
    return scene_slot(scene.full_counts, scene.times_s), scene_slot(kept, scene.times_s)


def _slots(model: PixelRefer, query: OfficialQuery, encoded: EncodedObjects | None) -> list[str]:
    if encoded is None:
        return []
    if not (query.times_s and model.config.rules.region_times):
        return [region_slot([count]) for count in encoded.given]
    counts = iter(encoded.given)
    return [
        region_slot([next(counts) for _ in seen], [query.times_s[index] for index in seen])
        for seen in query.object_frames
    ]
