"""Places are written into object tokens, and their differences into attention."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_train.learner import prepare
from pixelrefer_train.nano import nano_config, new_model
from pixelrefer_train.placing import find_places, write_differences, write_places
from pixelrefer_train.tokenizer import train_tokenizer

sys.path.insert(0, str(Path(__file__).parent))
from toys import Discs, disc_sample

GAIN = 1e4  # an encoder that has learnt nothing tells places very faintly


def nano() -> PixelRefer:
    torch.set_num_threads(1)
    tokenizer = train_tokenizer(['The disc is red.'] * 8, 500)
    return new_model(nano_config(len(tokenizer)), tokenizer, seed=2, device=torch.device('cpu'), name='nano')


def tokens_of(model: PixelRefer, *, index: int) -> torch.Tensor:
    """Return the mean object tokens of a disc that goes right, (frames, D)."""
    plan = prepare([disc_sample(index, frames=4)], model.config, model.compat).plan
    with torch.no_grad():
        pictures = model.visual_model.encode_pictures(plan.pictures)
        return torch.stack(
            [t.mean(dim=0) for t in model.visual_model.tokenize_views(plan, *pictures).unbind()]
        )


def test_a_place_is_read_from_what_is_told_faintly_and_the_least_used_directions_are_found():
    generator = torch.Generator().manual_seed(0)
    middles = torch.rand(500, 2, generator=generator)
    content = torch.randn(500, 6, generator=generator)
    tokens = torch.cat([content, 0.3 * middles, 1e-6 * torch.randn(500, 4, generator=generator)], dim=1)
    places = find_places(tokens, middles)
    assert (tokens - places.mean) @ places.readout + middles.mean(dim=0) == pytest.approx(
        middles.numpy(), abs=0.02
    )
    assert places.unused[:8].abs().max() < 1e-4


def test_too_few_objects_are_refused():
    with pytest.raises(InvalidRequestError, match='3 views of objects are too few for tokens of 192'):
        write_places(nano(), [disc_sample(0, frames=3)], gain=1.0)


def test_tokens_say_where_they_are_in_directions_that_nothing_else_uses():
    model = nano()
    discs = Discs(150, frames=4)
    before = tokens_of(model, index=903)
    write_places(model, (discs.sample(number, 0) for number in range(150)), gain=GAIN)
    after = tokens_of(model, index=903)
    change = after - before
    assert torch.linalg.matrix_rank(change, rtol=1e-3) <= 2
    across = change - change.mean(dim=0)
    goes = (across[1:] - across[:-1]) @ torch.linalg.svd(across)[2][0]
    assert (goes > 0).all() or (goes < 0).all()


def test_attention_takes_one_mean_from_another():
    model = nano()
    axes, results = torch.eye(192)[:, :2], torch.eye(192)[:, 2:4]
    write_differences(model, axes, results)
    attention = model.language_model.model.model.layers[0].self_attn
    then, now = torch.zeros(192), torch.zeros(192)
    then[:2], now[:2] = torch.tensor([0.1, 0.5]), torch.tensor([0.4, 0.3])
    groups = attention.k_proj.out_features // attention.head_dim
    looks_at = [now, then] + [torch.zeros(192)] * (attention.num_key_value_groups - 2)
    values = [
        attention.v_proj(seen).unflatten(0, (groups, -1))[group]
        for group in range(groups)
        for seen in looks_at
    ]
    told = attention.o_proj(torch.cat(values)).detach()
    # Beside what all other values say by chance.
    assert told[2:4] == pytest.approx([3.0 * 0.3, 3.0 * -0.2], abs=0.1)
