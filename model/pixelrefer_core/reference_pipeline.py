"""A model driven the way the official code drives it, to measure what this project's own way gains.

The weights, the pictures and the prompt are the same; the work is not: nothing outlives a question, the
encoder is called three times, the frame is encoded once for each object on it, objects are clustered one by
one and cluster by cluster, and ``generate`` of transformers decodes, with the text written out anew after
every token. Cutting, scaling and the encoder itself are shared code, so what upstream does slower there is not
part of a ratio.

``N`` cells of an object, ``K`` tokens, ``C`` channels of the vision encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from transformers import GenerationConfig, PreTrainedTokenizerBase, StoppingCriteriaList

from .clustering import strided_seeds
from .geometry import Grid
from .model_config import ObjectRules
from .object_infusion import ObjectInfusion
from .object_tokenizer import ObjectCrop, resample
from .object_views import ViewPlan
from .official_query import EmbeddedQuery, OfficialQuery, embed_query
from .pixelrefer import PixelRefer
from .types import ImageArray
from .visual_model import EncodedObjects, VisualModel


@dataclass(frozen=True, eq=False)
class ReferenceAnswer:
    """An answer of the reference pipeline and the tensors that it rests on."""

    embedded: EmbeddedQuery
    token_ids: tuple[int, ...]


@torch.no_grad()
def answer(model: PixelRefer, query: OfficialQuery, new_tokens: int) -> ReferenceAnswer:
    """Answer a query from its pictures, greedily, with exactly ``new_tokens`` tokens."""
    embedded = embed_query(model, query, embed_one_by_one)
    config = GenerationConfig(
        max_new_tokens=new_tokens,
        do_sample=False,
        repetition_penalty=model.decoder.rules.repetition_penalty,
        eos_token_id=None,
        pad_token_id=model.tokenizer.eos_token_id,
    )
    ids = model.language_model.model.generate(
        inputs_embeds=embedded.inputs_embeds[None],
        attention_mask=torch.ones(1, len(embedded.inputs_embeds), dtype=torch.long, device=model.device),
        generation_config=config,
        stopping_criteria=StoppingCriteriaList([_end_word(model.tokenizer)]),
    )
    return ReferenceAnswer(embedded, tuple(ids[0].tolist()))


def _end_word(tokenizer: PreTrainedTokenizerBase) -> Callable[..., torch.Tensor]:
    """Return a criterion that looks for the end token's name in the whole text, where it never is."""

    def ended(input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        texts = tokenizer.batch_decode(input_ids, skip_special_tokens=True)
        return torch.tensor([tokenizer.eos_token in text for text in texts], device=input_ids.device)

    return ended


def embed_one_by_one(visual: VisualModel, plan: ViewPlan) -> EncodedObjects:
    """Make object tokens; gives what :meth:`VisualModel.embed_views` gives."""
    rules = visual.config.rules
    crops, grids = _encode(visual, plan.crops)
    clusters, filled = [], []
    for features, grid, item, seeds in zip(crops, grids, plan.objects, plan.seeds, strict=True):
        if grid != item.grid:
            features = resample(features, grid, item.grid)
        cells = _object_cells(visual, features, item)
        filled.append(min(len(cells), rules.num_tokens))
        clusters.append(_reduce(cells, rules, seeds))
    tokens = torch.stack(clusters).to(crops[0].dtype)  # (B, K, C)
    fused = tokens
    if visual.object_infusion is not None:
        whole, _ = _encode(visual, [plan.whole[index] for index in plan.whole_of])
        local, _ = _encode(visual, [plan.local[index] for index in plan.local_of])
        fused = _infuse(visual.object_infusion, tokens, torch.stack(local), torch.stack(whole))
    given = (rules.num_tokens,) * len(filled) if rules.pad_tokens else tuple(filled)
    return EncodedObjects(tokens, visual.object_projector(fused), tuple(filled), given)


def _encode(visual: VisualModel, pictures: Sequence[ImageArray]) -> tuple[list[torch.Tensor], list[Grid]]:
    features, grids = visual.encode_pictures(pictures)
    return list(features.split([grid.cells for grid in grids])), grids


def _object_cells(visual: VisualModel, features: torch.Tensor, item: ObjectCrop) -> torch.Tensor:
    """Add positions, then keep the object's cells: float32 (N, C)."""
    positions = torch.from_numpy(item.positions).to(features)
    placed = features + visual.object_tokenizer.pos_linear(positions)
    inside = torch.from_numpy(item.mask_grid > 0).to(features.device).flatten()
    return placed.float()[inside]


def _reduce(cells: torch.Tensor, rules: ObjectRules, seeds: npt.NDArray[np.int64] | None) -> torch.Tensor:
    """Return (K, C): the cells themselves and zeros, or the means of their clusters."""
    missing = rules.num_tokens - len(cells)
    if missing >= 0:
        return functional.pad(cells, (0, 0, 0, missing))
    first = strided_seeds(len(cells), rules.num_tokens) if seeds is None else seeds
    centroids = cells[torch.from_numpy(first).to(cells.device)]
    for _ in range(rules.kmeans_iterations):
        moved = _update(cells, centroids)
        if torch.allclose(moved, centroids, rtol=1e-5, atol=1e-6):
            break
        centroids = moved
    return centroids


def _update(cells: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    distances = (cells[:, None] - centroids[None]).square().sum(dim=2)  # (N, K)
    nearest = distances.argmin(dim=1)
    moved = centroids.clone()
    for cluster in range(len(centroids)):
        members = cells[nearest == cluster]
        if len(members):
            moved[cluster] = members.mean(dim=0)
    return moved


def _infuse(
    infusion: ObjectInfusion, tokens: torch.Tensor, local: torch.Tensor, whole: torch.Tensor
) -> torch.Tensor:
    """Run both cross-attentions with their averaged weight maps, which nobody reads."""
    tokens = tokens + infusion.attention_local(infusion.ln_local(tokens), local, local)[0]
    return tokens + infusion.attention_global(infusion.ln_global(tokens), whole, whole)[0]
