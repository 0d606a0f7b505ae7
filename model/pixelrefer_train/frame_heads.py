"""Makes heads of the first layer look at frames from their first step on: at an object's own, and at the one before.

The tokens of a frame stand at fixed distances in a prompt, so where to look is a matter of distance alone, which rotary
positions can say: a query and a key that are the same for all tokens give a sum of cosines of their distance, and a few
of the fastest frequencies suffice for a window with sharp ends (:func:`fit_window`). Only object tokens look so; words
go on as they do. ``D`` the width of the model, ``E`` of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.prompt import region_slot

# The fastest of a head's frequencies say distances; the others go on comparing what tokens are.
_PAIRS = 5
# Prompts of several objects, in tokens.
_REACH = 300
_NEARBY = 40
_RIDGE = 1e-6
# The constant key. Queries are as much smaller as it is larger.
_KEY = 16.0
# Directions that hold less of the object tokens' power belong to words.
_OBJECTS_OWN = 0.005
_GATE_RIDGE = 1e-4


def fit_window(frequencies: torch.Tensor, *, first: int, count: int) -> torch.Tensor:
    """Return weights (2P) of cosines, then sines, whose sum over distances is high in a window and low outside it.

    The softmax of the sum is as even as it can be over the distances ``first`` to ``first + count - 1``.
    ``frequencies`` (P): radians a token.
    """
    distances = torch.arange(_REACH, dtype=torch.float64)
    angles = distances[:, None] * frequencies.double()
    waves = torch.cat([angles.cos(), angles.sin()], dim=1)  # (_REACH, 2P)
    inside = (distances >= first) & (distances < first + count)
    weights = torch.zeros(waves.shape[1], dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [weights],
        max_iter=1000,
        history_size=50,
        tolerance_grad=1e-9,
        tolerance_change=1e-11,
        line_search_fn='strong_wolfe',
    )

    def miss() -> torch.Tensor:
        search.zero_grad()
        loss = _RIDGE * weights.square().sum()
        for reach in (max(_NEARBY, first + count), _REACH):  # in short prompts as in long ones
            loss = loss - (waves[:reach] @ weights).log_softmax(dim=0)[inside[:reach]].mean()
        loss.backward()
        return loss

    search.step(miss)
    return weights.detach().float()


@torch.no_grad()
def write_frame_heads(model: PixelRefer, tokens: torch.Tensor) -> None:
    """Let two heads of the first group look at frames: the first at the one before, the second at its own.

    ``tokens`` (N, D): of some objects. Raises :class:`InvalidRequestError` when a group has one head.
    """
    decoder: Any = model.language_model.model.model
    attention, norm = decoder.layers[0].self_attn, decoder.layers[0].input_layernorm
    if attention.num_key_value_groups < 2:
        raise InvalidRequestError('places: frames are looked at by two heads of a group')
    half = attention.head_dim // 2
    pairs = [*range(_PAIRS), *range(half, half + _PAIRS)]
    _say_nothing(attention.k_proj, 0, pairs)
    attention.k_proj.bias[:_PAIRS] = _KEY
    for head in range(attention.num_key_value_groups):
        _say_nothing(attention.q_proj, head * 2 * half, pairs)
    objects = norm(tokens)
    gate, others = _gate(objects, norm(decoder.embed_tokens.weight)), _apart_from(objects)
    period, count = _layout(model)
    for head, first in enumerate((period, 0)):
        with torch.enable_grad():
            window = fit_window(decoder.rotary_emb.inv_freq[:_PAIRS], first=first, count=count)
        cosines, sines = (window / (attention.scaling * _KEY)).to(gate).chunk(2)
        begin = head * 2 * half
        queries, bias = (part[begin : begin + 2 * half] for part in attention.q_proj.parameters())
        # What objects ask for by their content goes, and so does the bias, where the token is an object's.
        queries.copy_(queries @ others - torch.outer(bias, gate))
        queries[pairs] = torch.outer(torch.cat([cosines, -sines]), gate)


def hold_frame_heads(model: PixelRefer) -> None:
    """Keep training from changing where heads look that :func:`write_frame_heads` wrote; other models go on as before.

    Left to answers alone, windows drift apart within minutes, long before answers have learnt to use them.
    """
    attention: Any = model.language_model.model.model.layers[0].self_attn
    half = attention.head_dim // 2
    pairs = [*range(_PAIRS), *range(half, half + _PAIRS)]
    if attention.k_proj.weight[pairs].any():
        return
    queries = [head * 2 * half + pair for head in range(attention.num_key_value_groups) for pair in pairs]
    for projection, rows in ((attention.q_proj, queries), (attention.k_proj, pairs)):
        for parameter in projection.parameters():
            parameter.requires_grad_(True)  # a hook needs it; what is trained is decided later
            parameter.register_hook(_without(rows))


def _without(rows: Sequence[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what takes the gradient of these rows away."""
    return lambda gradient: gradient.index_fill(0, torch.tensor(rows, device=gradient.device), 0.0)


def _say_nothing(projection: Any, begin: int, pairs: Sequence[int]) -> None:
    rows = [begin + pair for pair in pairs]
    projection.weight[rows], projection.bias[rows] = 0.0, 0.0


def _gate(objects: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Return the direction (D) on which object tokens are 1 and words 0, as well as a line can tell."""
    tokens = torch.cat([objects / len(objects) ** 0.5, words / len(words) ** 0.5])
    wanted = torch.cat([objects.new_full((len(objects),), len(objects) ** -0.5), words.new_zeros(len(words))])
    spread = tokens.T @ tokens + _GATE_RIDGE * torch.eye(tokens.shape[1], device=tokens.device)
    return torch.linalg.solve(spread, tokens.T @ wanted)


def _apart_from(objects: torch.Tensor) -> torch.Tensor:
    """Return the projection (D, D) that takes away the directions in which object tokens lie."""
    powers, directions = torch.linalg.eigh(objects.T @ objects)
    own = directions[:, powers > _OBJECTS_OWN * powers.sum()]
    return torch.eye(len(own), device=own.device) - own @ own.T


def _layout(model: PixelRefer) -> tuple[int, int]:
    """Return how far apart an object's frames are in a prompt, and how many tokens each has."""
    count = model.config.rules.num_tokens
    ids = model.token_ids(region_slot([count] * 2, [0.0, 0.2]))
    places = [place for place, token in enumerate(ids) if token == model.region_id]
    return places[count] - places[0], count
