"""SAM 2's losses on values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pixelrefer_train.sam2_losses import (
    DICE_WEIGHT,
    FOCAL_WEIGHT,
    HIDDEN_WEIGHT,
    QUALITY_WEIGHT,
    SCORE_WEIGHT,
    dice_loss,
    focal_loss,
    frame_loss,
    mask_overlap,
)

# Logits of probability 3/4 and 1/4.
LIKELY, UNLIKELY = math.log(3), -math.log(3)


def test_focal_loss_weighs_a_pixel_by_the_square_of_its_error() -> None:
    logits = torch.tensor([[[LIKELY, LIKELY]]])
    covers = torch.tensor([[[1.0, 0.0]]])
    right = 0.5 * 0.25**2 * -math.log(0.75)
    wrong = 0.5 * 0.75**2 * -math.log(0.25)
    assert focal_loss(logits, covers).tolist() == pytest.approx([(right + wrong) / 2])


def test_dice_loss_is_one_minus_twice_the_common_part_over_the_sum() -> None:
    logits = torch.tensor([[[LIKELY, UNLIKELY]]])
    covers = torch.tensor([[[1.0, 0.0]]])
    # Common 3/4, sum of both 1 + 1; one pixel is added above and below.
    assert dice_loss(logits, covers).tolist() == pytest.approx([1 - (2 * 0.75 + 1) / (1 + 1 + 1)])


def test_overlap_cuts_logits_at_zero_and_covers_at_a_half() -> None:
    logits = torch.tensor([[[1.0, 2.0, -1.0, -1.0]], [[-1.0, -1.0, -1.0, -1.0]]])
    covers = torch.tensor([[[0.5, 0.0, 0.6, 0.4]], [[0.0, 0.0, 0.0, 0.0]]])
    assert mask_overlap(logits, covers).tolist() == pytest.approx([1 / 3, 0.0])


def test_a_hidden_object_costs_only_the_belief_that_it_is_there() -> None:
    loss = frame_loss(
        logits=torch.full((1, 4, 4), 5.0),
        quality=torch.zeros(1),
        scores=torch.tensor([LIKELY]),
        covers=torch.zeros(1, 16, 16),
    )
    assert float(loss.total) == pytest.approx(SCORE_WEIGHT * HIDDEN_WEIGHT * -math.log(0.25))
    assert loss.overlaps.numel() == 0


def test_an_object_of_which_hardly_anything_is_seen_costs_nothing() -> None:
    covers = torch.zeros(1, 16, 16)
    covers[0, 0, :8] = 1  # fewer pixels than a prompt needs, more than none
    loss = frame_loss(torch.zeros(1, 4, 4), torch.zeros(1), torch.tensor([-3.0]), covers)
    assert float(loss.total) == 0.0


def test_a_visible_object_is_judged_by_mask_quality_and_score() -> None:
    covers = torch.ones(1, 16, 16)
    loss = frame_loss(torch.zeros(1, 4, 4), torch.tensor([0.25]), torch.zeros(1), covers)
    focal = 0.5 * 0.5**2 * math.log(2)
    dice = 1 - (2 * 32 + 1) / (32 + 64 + 1)
    # A logit of 0 is background: nothing of the object is found.
    expected = FOCAL_WEIGHT * focal + DICE_WEIGHT * dice + QUALITY_WEIGHT * 0.25 + SCORE_WEIGHT * math.log(2)
    assert float(loss.total) == pytest.approx(expected)
    assert loss.overlaps.tolist() == [0.0]
