"""What is trained how fast: the paper's groups of weights, the course of the learning rate, the optimiser."""

from __future__ import annotations

import math

import torch
from torch import nn

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.pixelrefer import PixelRefer

from .recipe import LearningRates

# Beginning of a parameter's name -> its group. ``objects`` is what upstream calls the region encoder, whose
# projector learns as fast as the rest of it; ``projector`` is that of scenes.
GROUPS = {
    'visual_model.vision_encoder.': 'vision',
    'visual_model.object_': 'objects',
    'visual_model.scene_projector.': 'projector',
    'language_model.': 'language',
}


def group_of(name: str) -> str:
    """Return the group of a parameter of :class:`PixelRefer`. Raises :class:`KeyError` for an unknown one."""
    for start, group in GROUPS.items():
        if name.startswith(start):
            return group
    raise KeyError(name)


def make_optimizer(
    model: PixelRefer, rates: LearningRates, weight_decay: float, beta2: float = 0.999
) -> torch.optim.AdamW:
    """Freeze the groups whose rate is 0, and return AdamW over the others; each knows its ``peak`` rate.

    Weight decay acts on matrices. Raises :class:`InvalidRequestError` when nothing is left to train.
    """
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        group = group_of(name)
        # PixelRefer-Lite carries a projector for scenes that it never reads.
        unused = group == 'projector' and model.config.rules.infusion_heads > 0
        parameter.requires_grad_(getattr(rates, group) > 0 and not unused)
        if parameter.requires_grad:
            groups.setdefault((group, parameter.dim() > 1), []).append(parameter)
    if not groups:
        raise InvalidRequestError('every learning rate of a stage is 0: nothing would be trained')
    return torch.optim.AdamW(
        [
            {
                'params': parameters,
                'lr': getattr(rates, group),
                'peak': getattr(rates, group),
                'weight_decay': weight_decay * is_matrix,
            }
            for (group, is_matrix), parameters in groups.items()
        ],
        betas=(0.9, beta2),
        fused=True,
    )


def rate_factor(progress: float, warmup: float) -> float:
    """Return the share of the peak rate at ``progress`` (0 to 1): a linear rise, then half a cosine to 0."""
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1.0 + math.cos(math.pi * min((progress - warmup) / (1.0 - warmup), 1.0)))


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Give each group its peak rate times ``factor``."""
    for group in optimizer.param_groups:
        group['lr'] = group['peak'] * factor
