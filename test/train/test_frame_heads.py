"""Heads look at an object's frames before anything is learnt."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_train.frame_heads import fit_window, hold_frame_heads
from pixelrefer_train.guide import Compared
from pixelrefer_train.learner import Learner, prepare
from pixelrefer_train.nano import nano_config, new_model
from pixelrefer_train.packing import PackedBatch
from pixelrefer_train.placing import write_places
from pixelrefer_train.tokenizer import train_tokenizer

sys.path.insert(0, str(Path(__file__).parent))
from toys import Discs, disc_sample


@pytest.mark.parametrize(('first', 'count'), [(0, 8), (15, 8), (9, 4)])
def test_a_window_of_distances_is_seen_evenly_and_hardly_anything_else(first: int, count: int):
    frequencies = 1e6 ** (-torch.arange(5) / 16)
    weights = fit_window(frequencies, first=first, count=count)
    angles = torch.arange(200)[:, None] * frequencies
    shares = (torch.cat([angles.cos(), angles.sin()], dim=1) @ weights).softmax(dim=0)
    window = shares[first : first + count]
    assert window.sum() > 0.95
    assert window.max() < 1.6 * window.min()


class Heard:
    """A guide that keeps what it is shown."""

    def __init__(self) -> None:
        self.rows: PackedBatch | None = None

    def loss(self, rows: PackedBatch, embeds: torch.Tensor) -> torch.Tensor:
        self.rows = rows
        return embeds.new_zeros(())


def looks(model: PixelRefer, *, head: int, frame: int) -> torch.Tensor:
    """Return the shares that the last token of a disc's frame gives to the tokens of each frame, (frames)."""
    learner, heard = Learner(model), Heard()
    compared = Compared(model, 0)
    learner._guides = [(1.0, heard)]
    with torch.no_grad():
        learner(prepare([disc_sample(903, frames=4)], model.config, model.compat))
        rows = heard.rows
        places = rows.places.unflatten(0, (4, -1))  # (frames, tokens of each)
        last = places[frame, -1:]
        scores = compared.scores(rows, last, torch.arange(int(last) + 1), head=head)[0, :, 0]
    shares = torch.zeros(int(places.max()) + 1).index_copy(
        0, torch.arange(len(scores)), scores.softmax(dim=0)
    )
    return shares[places].sum(dim=1)


def a_new_model() -> PixelRefer:
    tokenizer = train_tokenizer(['The disc is red.'] * 8, 500)
    return new_model(nano_config(len(tokenizer)), tokenizer, seed=2, device=torch.device('cpu'), name='nano')


def test_in_a_new_model_one_head_looks_at_the_frame_before_and_another_at_its_own():
    torch.set_num_threads(1)
    model = a_new_model()
    before = looks(model, head=0, frame=2)
    assert before[1] < 0.6
    discs = Discs(150, frames=4)
    write_places(model, (discs.sample(number, 0) for number in range(150)), gain=1.0)
    assert looks(model, head=0, frame=2)[1] > 0.9
    assert looks(model, head=1, frame=2)[2] > 0.9


def changed(model: PixelRefer) -> torch.Tensor:
    """Return which of the numbers of the first layer's queries and keys a step of training changes."""
    attention = model.language_model.model.model.layers[0].self_attn
    parts = [attention.q_proj.weight, attention.q_proj.bias, attention.k_proj.weight, attention.k_proj.bias]
    before = [part.detach().clone() for part in parts]
    optimizer = torch.optim.Adam(parts, lr=0.01)
    Learner(model)(prepare([disc_sample(903, frames=4)], model.config, model.compat)).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return torch.cat([(old != new).flatten() for old, new in zip(before, parts, strict=True)])


def test_training_changes_all_of_attention_but_the_windows_that_are_held():
    torch.set_num_threads(1)
    model = a_new_model()
    hold_frame_heads(model)
    assert changed(model).float().mean() > 0.95  # nothing is held where nothing was written
    discs = Discs(150, frames=4)
    write_places(model, (discs.sample(number, 0) for number in range(150)), gain=1.0)
    hold_frame_heads(model)
    assert 0.5 < changed(model).float().mean() < 0.9
    assert looks(model, head=0, frame=2)[1] > 0.9
    assert looks(model, head=1, frame=2)[2] > 0.9
