"""Training SAM 2: it learns, goes on where it stopped, and leaves weights that the tracker loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.settings import TrackerSettings
from pixelrefer_core.tracker import create_tracker
from pixelrefer_core.tracker.sam2_memory import Recall
from pixelrefer_core.tracker.sam2_network import Sam2Network
from pixelrefer_core.types import Frame, Prompt
from pixelrefer_train.sam2 import main
from pixelrefer_train.sam2_batches import ClipBatch, Cut, Piece, cut_piece, make_batch
from pixelrefer_train.sam2_drawn import DrawnClip
from pixelrefer_train.sam2_losses import frame_loss
from pixelrefer_train.sam2_prompts import Kind, point_prompts
from pixelrefer_train.sam2_recipe import load_sam2_recipe, parse_sam2_recipe
from pixelrefer_train.sam2_steps import Sam2Student
from pixelrefer_train.sam2_trainer import train_sam2
from pixelrefer_train.sam2_weights import new_model, resized, save_model

RECIPES = Path(__file__).parents[2] / 'model' / 'pixelrefer_train' / 'recipes'
SIZE = 64


def batch_of(frames: int, clips: int = 2, size: int = SIZE) -> ClipBatch:
    """A batch of drawn clips."""
    random = np.random.default_rng(0)
    pieces = [cut_piece(DrawnClip(seed), Cut(size, 1.0, frames, 2), random) for seed in range(3 * clips)]
    return make_batch([piece for piece in pieces if piece is not None][:clips])


def recipe_of(folder: Path, **changes: Any) -> dict[str, Any]:
    """A recipe of two short stages on drawn clips."""
    stage = {'minutes': 60, 'image_size': SIZE, 'batch': 1, 'learning_rate': 1e-3, 'drawn': 1.0, 'steps': 3}
    stages = [
        {'name': 'frames', **stage, 'objects': 2},
        {'name': 'clips', **stage, 'image_size': 96, 'frames': 3, 'objects': 1},
    ]
    return {'output': str(folder), 'clips': [], 'stages': stages, 'log_steps': 1} | changes


def fit(student: Sam2Student, batch: ClipBatch, steps: int) -> list[list[float]]:
    """Train on one batch with one prompt; returns the mean overlap of each frame, step by step."""
    optimizer = torch.optim.AdamW(student.model.parameters(), lr=1e-3)
    overlaps = []
    for _ in range(steps):
        guesses = student.track(batch, 'box', np.random.default_rng(0))
        losses = [
            frame_loss(guess.logits, guess.quality, guess.scores, covers)
            for guess, covers in zip(guesses, batch.covers, strict=True)
        ]
        optimizer.zero_grad()
        torch.stack([loss.total for loss in losses]).mean().backward()
        torch.nn.utils.clip_grad_norm_(student.model.parameters(), 1.0)
        optimizer.step()
        overlaps.append([float(loss.overlaps.mean()) for loss in losses])
    return overlaps


def test_a_batch_of_clips_is_learnt_by_heart() -> None:
    batch = one_square_moving()
    overlaps = fit(Sam2Student(new_model(SIZE, seed=0)), batch, steps=60)
    assert max(overlaps[0]) < 0.5
    assert min(overlaps[-1]) > 0.75


def test_that_an_object_is_gone_is_learnt() -> None:
    batch = one_square_moving()
    gone = batch.pixels.clone()
    gone[1] = batch.pixels[1, 0, :, :1, :1]
    covers = batch.covers.clone()
    covers[1] = 0
    both = ClipBatch(
        torch.cat([batch.pixels, gone], dim=1), torch.cat([batch.covers, covers], dim=1), torch.tensor([0, 1])
    )
    student = Sam2Student(new_model(SIZE, seed=0))
    fit(student, both, steps=60)
    with torch.no_grad():
        _, followed = student.track(both, 'box', np.random.default_rng(0))
    assert followed.scores[0] > 0 > followed.scores[1]


def one_square_moving() -> ClipBatch:
    """A bright square on a dark ground, one clip of two frames."""
    pictures = np.full((2, SIZE, SIZE, 3), 40, np.float32)
    covers = np.zeros((2, 1, SIZE, SIZE), np.float32)
    for frame in range(2):
        part = (slice(16, 36), slice(10 + 6 * frame, 34 + 6 * frame))
        pictures[frame][part] = (220, 180, 60)
        covers[frame, 0][part] = 1
    return make_batch([Piece(pictures, covers)])


def test_every_part_that_tracking_uses_gets_a_gradient() -> None:
    student = Sam2Student(new_model(SIZE, seed=0))
    losses: list[torch.Tensor] = []
    for seed, kind in enumerate(('box', 'mask')):
        guesses = student.track(batch_of(frames=4), kind, np.random.default_rng(seed), again=2)
        losses += [
            guess.logits.square().mean() + guess.quality.sum() + guess.scores.sum() for guess in guesses
        ]
    torch.stack(losses).sum().backward()
    idle = {name.split('.')[0] for name, item in student.model.named_parameters() if item.grad is None}
    # The first two stand for hidden objects, which the tracker does not remember; the third is never read.
    assert idle <= {
        'no_object_pointer',
        'occlusion_spatial_embedding_parameter',
        'no_memory_positional_encoding',
        'mask_decoder',
        'prompt_encoder',
    }


@pytest.mark.parametrize('kind', ['mask', 'box'])
def test_a_clip_is_followed_as_the_tracker_follows_it(kind: Kind) -> None:
    batch = one_square_moving()
    model = new_model(SIZE, seed=0)
    fit(Sam2Student(model), batch, steps=3)
    with torch.no_grad():
        first, second = Sam2Student(model).track(batch, kind, np.random.default_rng(1))
        network = Sam2Network(model)
        frames = [network.encode(batch.pixels[frame, 0]) for frame in range(2)]
        if kind == 'mask':
            prompted = network.adopt(frames[0], (batch.covers[0, 0] >= 0.5).float()[None, None])
        else:
            random = np.random.default_rng(1)
            assert random.random() > 0.3  # the first draw: no prompt older than the clip
            prompt = point_prompts(batch.covers[0].numpy(), kind, random)
            prompted = network.decode(frames[0], network.unconditioned(frames[0]), prompt, first=True)
        (memory,) = network.memorise(frames[0], prompted, prompted=True)
        recall = Recall(maps=((0, memory),), pointers=((1, memory),))
        followed = network.decode(frames[1], network.conditioned(frames[1], [recall]))
    for own, theirs in ((first.decoded, prompted), (second.decoded, followed)):
        for name in ('logits', 'sharp', 'pointers', 'scores'):
            assert torch.allclose(getattr(own, name), getattr(theirs, name), atol=1e-4), name


def test_weights_do_not_depend_on_the_input_size() -> None:
    model = new_model(SIZE, seed=0)
    other = resized(model, 96)
    assert other.config.image_size == 96
    assert resized(other, 96) is other
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_points_and_pixels_are_placed_by_one_encoding() -> None:
    model = new_model(SIZE, seed=0)
    points = model.prompt_encoder.shared_embedding.positional_embedding
    assert torch.equal(points, model.shared_image_embedding.positional_embedding)


def test_a_run_that_was_interrupted_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = parse_sam2_recipe(recipe_of(tmp_path / 'whole'))
    train_sam2(whole)
    half = recipe_of(tmp_path / 'parts')
    half['stages'] = half['stages'][:1]
    train_sam2(parse_sam2_recipe(half))
    progress = train_sam2(parse_sam2_recipe(recipe_of(tmp_path / 'parts')), resume=True)
    assert progress.total_steps == 6
    states = [torch.load(tmp_path / run / 'last.pt', weights_only=True) for run in ('whole', 'parts')]
    for name, value in states[0]['model'].items():
        assert torch.equal(value, states[1]['model'][name]), name
    lines = [json.loads(line) for line in (tmp_path / 'whole' / 'metrics.jsonl').read_text().splitlines()]
    assert [line['total_steps'] for line in lines if 'loss' in line] == [1, 2, 3, 4, 5, 6]


def test_a_run_is_neither_overwritten_nor_resumed_from_nothing(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path / 'run')
    recipe['stages'] = [{**recipe['stages'][0], 'steps': 1}]
    with pytest.raises(InvalidRequestError, match='no run to resume'):
        train_sam2(parse_sam2_recipe(recipe), resume=True)
    train_sam2(parse_sam2_recipe(recipe))
    with pytest.raises(InvalidRequestError, match='resume it'):
        train_sam2(parse_sam2_recipe(recipe))


def test_saved_weights_drive_the_tracker(tmp_path: Path) -> None:
    save_model(new_model(SIZE, seed=0), tmp_path)
    tracker = create_tracker(TrackerSettings(backend='sam2', path=str(tmp_path)))
    frame = Frame(np.zeros((48, 64, 3), np.uint8), 0)
    found = tracker.add([Prompt('a', box_xyxy=(8, 8, 24, 24))], [frame])
    assert found['a'].mask.shape == (48, 64)
    assert (tmp_path / 'model.safetensors').stat().st_size < 10e6


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ({'stages': []}, 'one stage'),
        ({'colour': 'red'}, 'colour'),
        (
            {'stages': [{'name': 'a', 'minutes': 0, 'image_size': 64, 'batch': 1, 'learning_rate': 1}]},
            'minutes',
        ),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        parse_sam2_recipe(recipe_of(tmp_path) | change)


def test_the_shipped_recipe_is_valid() -> None:
    assert load_sam2_recipe(RECIPES / 'sam2_nano.yaml').stages[-1].image_size == 256


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / 'recipe.yaml'
    recipe = recipe_of(tmp_path / 'run')
    recipe['stages'] = [{**recipe['stages'][0], 'drawn': 0.0}]
    file.write_text(json.dumps(recipe))
    assert main([str(file)]) == 1
    assert 'no rendered clip' in capsys.readouterr().err
