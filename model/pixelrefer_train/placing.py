"""Makes a new model attend to where objects are, from its first step on.

Object tokens of a picture that was learnt well tell where they are to a pixel, but faintly: the way from frame to frame
is thousands of times fainter than what the object is, and the first layer drowns it. So places are written into
directions that the tokens do not use, loudly, which is linear and needs no new weights; and of each group of heads in
the first layer one adds what it finds there and another takes it away. Those of the first group look at the right
frames from the beginning (:mod:`.frame_heads`), the others learn to (:mod:`.travel`).
``N`` object-frames, ``D`` their tokens' size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.object_views import plan_views
from pixelrefer_core.pixelrefer import PixelRefer

from .frame_heads import write_frame_heads
from .samples import Sample
from .travel import middle

_RIDGE = 0.1
# How loud a difference is; of the sum over all groups.
_DIFFERENCE = 3.0
_AXES = 2


@dataclass(frozen=True, eq=False)
class Places:
    """Where in object tokens places are. ``readout`` (D, 2): of the middle of the mask, in widths, from ``mean`` (D).

    ``unused`` (D, 4): orthonormal, the directions in which the tokens differ least.
    """

    mean: torch.Tensor
    readout: torch.Tensor
    unused: torch.Tensor


def find_places(tokens: torch.Tensor, middles: torch.Tensor) -> Places:
    """Read ``middles`` (N, 2) from ``tokens`` (N, D) as well as a line can, in float64.

    Raises :class:`InvalidRequestError` when there are too few of them.
    """
    count, size = tokens.shape
    if count < 2 * size:
        raise InvalidRequestError(
            f'places: {count} views of objects are too few for tokens of {size} numbers'
        )
    tokens, middles = tokens.double(), middles.double()
    mean = tokens.mean(dim=0)
    centred, moved = tokens - mean, middles - middles.mean(dim=0)
    spread = centred.T @ centred + _RIDGE * torch.eye(size, dtype=torch.float64, device=tokens.device)
    readout = torch.linalg.solve(spread, centred.T @ moved)
    unused = torch.linalg.eigh(tokens.T @ tokens)[1][:, : 2 * _AXES]
    return Places(mean.float(), readout.float(), unused.float())


@torch.no_grad()
def write_places(model: PixelRefer, samples: Iterable[Sample], *, gain: float) -> None:
    """Write places into the object tokens of a model, ``gain`` for a width, and their differences into its attention.

    Raises :class:`InvalidRequestError` when the samples show too few objects, or groups of heads are too small.
    """
    tokens, middles = _seen(model, samples)
    places = find_places(tokens.mean(dim=1), middles)
    axes, results = places.unused[:, :_AXES], places.unused[:, _AXES:]
    last: Any = model.visual_model.object_projector[-1]
    change = gain * axes @ places.readout.T
    last.bias += change @ (last.bias - places.mean)
    last.weight += change @ last.weight
    write_differences(model, axes, results)
    write_frame_heads(model, (tokens + (tokens - places.mean) @ change.T).flatten(0, 1))


@torch.no_grad()
def write_differences(model: PixelRefer, axes: torch.Tensor, results: torch.Tensor) -> None:
    """Let attention of the first layer add ``axes`` (D, 2) in a head of each group and take them away in the next.

    The sum goes to ``results`` (D, 2), by way of the two values of each group that tell least. Raises
    :class:`InvalidRequestError` when a group has one head.
    """
    layer: Any = model.language_model.model.model.layers[0]
    attention = layer.self_attn
    each, size = attention.num_key_value_groups, attention.head_dim
    if each < 2:
        raise InvalidRequestError('places: differences need two heads in each group')
    values = attention.v_proj.weight.unflatten(0, (-1, size))  # (groups, E, D)
    biases = attention.v_proj.bias.unflatten(0, (-1, size))
    outputs = attention.o_proj.weight.unflatten(1, (len(values), each, size))  # (D, groups, heads, E)
    told = values.norm(dim=2) * outputs.norm(dim=(0, 2))
    signs = torch.tensor([1.0, -1.0] + [0.0] * (each - 2), device=outputs.device) * _DIFFERENCE / len(values)
    for group, least in enumerate(told.argsort(dim=1)[:, :_AXES].tolist()):
        for number, axis, result in zip(least, axes.T, results.T, strict=True):
            values[group, number] = axis / layer.input_layernorm.weight
            biases[group, number] = 0.0
            outputs[:, group, :, number] = result[:, None] * signs


def _seen(model: PixelRefer, samples: Iterable[Sample]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the tokens of each object-frame, (N, T, D), and the middle of its mask, (N, 2)."""
    seen, middles = [], []
    for sample in samples:
        views = [view for own in sample.views() for view in own]
        plan = plan_views(views, model.config, model.compat)
        pictures = model.visual_model.encode_pictures(plan.pictures)
        tokens = model.visual_model.tokenize_views(plan, *pictures).unbind()
        for view, token in zip(views, tokens, strict=True):
            place = torch.from_numpy(middle(view.mask))
            if not math.isnan(float(place.sum())):
                seen.append(token)
                middles.append(place)
    if not seen:
        raise InvalidRequestError('places: no objects are seen')
    return torch.stack(seen), torch.stack(middles).to(model.device)
