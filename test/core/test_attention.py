"""Attention stays inside each picture, however it is computed; flash-attention is taken where it can be."""

from __future__ import annotations

import pytest
import torch
from transformers.utils import is_flash_attn_2_available

from pixelrefer_core import device as device_module
from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.device import choose_attention
from pixelrefer_core.geometry import Grid

GRIDS, MERGES = [Grid(4, 6), Grid(3, 3)], [1, 1]


@pytest.mark.parametrize(
    ('device', 'dtype', 'installed', 'chosen'),
    [
        ('cuda', torch.bfloat16, True, 'flash_attention_2'),
        ('cuda', torch.float16, True, 'flash_attention_2'),
        ('cuda', torch.float32, True, 'sdpa'),
        ('cuda', torch.bfloat16, False, 'sdpa'),
        ('cpu', torch.bfloat16, True, 'sdpa'),
    ],
)
def test_flash_attention_is_taken_only_where_it_works(monkeypatch, device, dtype, installed, chosen):
    monkeypatch.setattr(device_module, 'is_flash_attn_2_available', lambda: installed)
    assert choose_attention(torch.device(device), dtype) == chosen


def features(model, patches):
    with torch.no_grad():
        return model.visual_model.vision_encoder(patches, GRIDS, MERGES)


def test_pictures_bounded_by_us_give_the_features_of_pictures_bounded_by_the_model():
    model = load_model('random-nano', device='cpu')
    patches = torch.randn(24 + 9, 588, generator=torch.Generator().manual_seed(0))
    expected = features(model, patches)
    model.set_attention('eager')
    torch.testing.assert_close(features(model, patches), expected, atol=1e-5, rtol=1e-5)


def test_flash_attention_agrees_with_sdpa():
    if not (torch.cuda.is_available() and is_flash_attn_2_available()):
        pytest.skip('needs a GPU and flash-attn')
    model = load_model('random-nano', device='cuda', dtype='float16')
    patches = torch.randn(24 + 9, 588, dtype=torch.float16, device='cuda')
    flash = features(model, patches)
    model.set_attention('sdpa')
    torch.testing.assert_close(flash, features(model, patches), atol=2e-2, rtol=2e-2)
