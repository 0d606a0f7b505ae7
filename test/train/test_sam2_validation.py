"""Validation of SAM 2: what it counts, on guesses that are known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from pixelrefer_core.tracker.sam2_network import Decoded
from pixelrefer_train.sam2_batches import ClipBatch
from pixelrefer_train.sam2_recipe import Sam2Validation
from pixelrefer_train.sam2_steps import Guess
from pixelrefer_train.sam2_validation import TrackingScore, validate_tracking, validation_batches

SIDE = 16


class Answers:
    """Stands for a model that gives these masks (T, N, S, S) and scores (T, N)."""

    def __init__(self, masks: torch.Tensor, scores: torch.Tensor) -> None:
        self.masks, self.scores = masks, scores

    def track(self, batch: ClipBatch, kind: str, random: np.random.Generator) -> Iterator[Guess]:
        for masks, scores in zip(self.masks, self.scores, strict=True):
            logits = 2 * masks[:, None] - 1
            yield Guess(logits[:, 0], scores, scores, Decoded(logits, logits, scores[:, None], scores))


def clip_with_a_gap() -> torch.Tensor:
    """Covers (4, 1, S, S) of an object that is hidden on the third frame."""
    covers = torch.zeros(4, 1, SIDE, SIDE)
    covers[[0, 1, 3], 0, :8, :8] = 1
    return covers


def judged(masks: torch.Tensor, scores: list[float]) -> TrackingScore:
    batch = ClipBatch(torch.zeros(4, 1, 3, SIDE, SIDE), clip_with_a_gap(), torch.tensor([0]))
    return validate_tracking(Answers(masks, torch.tensor(scores)[:, None]), [batch])  # type: ignore[arg-type]


def test_the_truth_scores_one_in_everything() -> None:
    score = judged(clip_with_a_gap(), [1, 1, -1, 1])
    assert score == TrackingScore(1.0, 1.0, 1.0, 1.0, 1.0)
    assert score.total == 1.0


def test_a_tracker_that_never_says_gone_is_half_right_about_presence() -> None:
    score = judged(clip_with_a_gap()[:1].expand(4, -1, -1, -1), [1, 1, 1, 1])
    assert (score.seen, score.gone, score.returned) == (1.0, 0.0, 1.0)
    assert score.overlap == pytest.approx(2 / 3)
    assert score.total == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_an_object_that_is_not_found_again_lowers_what_returned() -> None:
    masks = clip_with_a_gap()
    masks[3] = 0
    score = judged(masks, [1, 1, -1, -1])
    assert (score.returned, score.gone) == (0.0, 1.0)
    assert score.seen == pytest.approx(1 / 2)


class Standing:
    """A clip of six frames with one square that stands still."""

    frames = 6

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        masks = np.zeros((1, 60, 80), np.bool_)
        masks[0, 20:40, 30:60] = True
        return np.full((60, 80, 3), 90, np.uint8), masks


def test_every_clip_is_judged_as_it_is_and_disturbed_alike_each_time() -> None:
    settings = Sam2Validation(clips=3, frames=6, stride=1, image_size=64)
    batches = validation_batches([Standing()] * 3, settings)  # type: ignore[list-item]
    again = validation_batches([Standing()] * 3, settings)  # type: ignore[list-item]
    assert len(batches) == 6
    assert all(torch.equal(one.covers, other.covers) for one, other in zip(batches, again, strict=True))
    plain = batches[0].covers.sum(dim=(1, 2, 3))
    assert torch.equal(plain, plain[:1].expand(6))
    assert any(not torch.equal(batch.pixels[0], batch.pixels[-1]) for batch in batches[1::2])
