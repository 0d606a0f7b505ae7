"""What a mask, its predicted quality and "is it there" are worth: SAM 2's losses (Ravi et al., 2024, appendix D)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .sam2_batches import PROMPT_PX, SEEN_PX

FOCAL_WEIGHT, DICE_WEIGHT, QUALITY_WEIGHT, SCORE_WEIGHT = 20.0, 1.0, 0.2, 1.0
# Frames that hide an object are the fewer ones; without more weight, "it is there" is a good answer always.
HIDDEN_WEIGHT = 2.0
FOCAL_ALPHA, FOCAL_GAMMA = 0.5, 2.0


@dataclass(frozen=True, eq=False)
class FrameLoss:
    """Loss of one frame, and the intersection over union of each of its M visible objects, (M,)."""

    total: torch.Tensor
    overlaps: torch.Tensor


def focal_loss(logits: torch.Tensor, covers: torch.Tensor) -> torch.Tensor:
    """Return the focal loss (Lin et al., 2017) of each mask, (N,): its mean over the pixels of (N, h, w).

    ``covers`` may lie between 0 and 1: on the border a pixel is partly the object's, and should say so.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, covers, reduction='none')
    distance = (torch.sigmoid(logits) - covers).abs()
    balance = FOCAL_ALPHA * covers + (1 - FOCAL_ALPHA) * (1 - covers)
    return (balance * distance**FOCAL_GAMMA * entropy).mean(dim=(-2, -1))


def dice_loss(logits: torch.Tensor, covers: torch.Tensor) -> torch.Tensor:
    """Return 1 - the soft Dice coefficient of each mask, (N,); one pixel is added, so that it is defined."""
    guess = torch.sigmoid(logits)
    both = (guess * covers).sum(dim=(-2, -1))
    return 1 - (2 * both + 1) / (guess.sum(dim=(-2, -1)) + covers.sum(dim=(-2, -1)) + 1)


def mask_overlap(logits: torch.Tensor, covers: torch.Tensor) -> torch.Tensor:
    """Return the intersection over union of each mask (N, h, w), cut at logit 0 and at half a pixel; (N,)."""
    guess, truth = logits > 0, covers >= 0.5
    both = (guess & truth).sum(dim=(-2, -1)).float()
    return both / (guess | truth).sum(dim=(-2, -1)).clamp(min=1)


def frame_loss(
    logits: torch.Tensor, quality: torch.Tensor, scores: torch.Tensor, covers: torch.Tensor
) -> FrameLoss:
    """Score a frame with N objects.

    ``logits``: (N, h, w), not yet cut by the score. ``quality``: (N,), predicted overlap. ``scores``: (N,),
    > 0 = visible. ``covers``: (N, S, S). Masks count where the object is seen; the score everywhere but where
    hardly anything of it is seen.
    """
    area = (covers >= 0.5).sum(dim=(-2, -1))
    visible, hidden = area >= PROMPT_PX, area < SEEN_PX
    total = SCORE_WEIGHT * _score_loss(scores, visible, hidden)
    if not visible.any():
        return FrameLoss(total, scores.new_zeros(0))
    # Twice as fine as the model's masks: between its cells it is interpolated, and there it is judged, too.
    sharp = F.interpolate(logits[visible][:, None], scale_factor=2, mode='bilinear', align_corners=False)[
        :, 0
    ]
    truth = F.adaptive_avg_pool2d(covers[visible][:, None], (sharp.shape[-2], sharp.shape[-1]))[:, 0]
    overlaps = mask_overlap(sharp.detach(), truth)
    masks = FOCAL_WEIGHT * focal_loss(sharp, truth) + DICE_WEIGHT * dice_loss(sharp, truth)
    total = total + masks.mean() + QUALITY_WEIGHT * (quality[visible] - overlaps).abs().mean()
    return FrameLoss(total, overlaps)


def _score_loss(scores: torch.Tensor, visible: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    certain = visible | hidden
    losses = F.binary_cross_entropy_with_logits(scores, visible.float(), reduction='none')
    weights = visible.float() + HIDDEN_WEIGHT * hidden.float()
    # By their count, not their weight: else a lone hidden object would weigh no more than a visible one.
    return (losses * weights).sum() / certain.sum().clamp(min=1)
