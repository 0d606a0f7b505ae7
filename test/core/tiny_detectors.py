"""Checkpoints of zero-shot detectors as the hub holds them, with random weights and a few thousand parameters."""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertTokenizerFast,
    CLIPTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    Owlv2Config,
    Owlv2ForObjectDetection,
    OwlViTConfig,
    OwlViTForObjectDetection,
    SwinConfig,
)

SIDE = 64
MEAN, DEVIATION = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]


def save_owl(folder: Path, *, version: int = 2) -> Path:
    """An OWLv2, or an OWL-ViT, that sees 64 x 64 pixels in patches of 16 and reads letters."""
    common = {'hidden_size': 32, 'intermediate_size': 64, 'num_hidden_layers': 2, 'num_attention_heads': 2}
    text = {**common, 'vocab_size': 60, 'max_position_embeddings': 16}
    text |= {'pad_token_id': 0, 'bos_token_id': 58, 'eos_token_id': 59}
    vision = {**common, 'image_size': SIDE, 'patch_size': 16}
    kind, config = (
        (Owlv2ForObjectDetection, Owlv2Config) if version == 2 else (OwlViTForObjectDetection, OwlViTConfig)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = kind(config(text_config=text, vision_config=vision, projection_dim=32))
    # As they are drawn, these layers push every side of every box, and every score, to 0 or 1.
    for layer in (network.box_head.dense2, network.class_head.logit_scale, network.class_head.logit_shift):
        layer.weight.data *= 0.01
    network.save_pretrained(folder)
    letters = ['!', *string.ascii_lowercase, *(f'{letter}</w>' for letter in string.ascii_lowercase)]
    tokens = [*letters, *(f'<{k}>' for k in range(58 - len(letters))), '<|startoftext|>', '<|endoftext|>']
    (folder / 'vocab.json').write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / 'merges.txt').write_text('#version: 0.2\n')
    CLIPTokenizer(
        str(folder / 'vocab.json'), str(folder / 'merges.txt'), pad_token='!', model_max_length=16
    ).save_pretrained(folder)
    _save_recipe(folder, {'height': SIDE, 'width': SIDE})
    return folder


def save_dino(folder: Path) -> Path:
    """A Grounding DINO that sees 64 pixels, at most 96, and reads letters, which are tokens of their own."""
    vision = SwinConfig(
        image_size=SIDE, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=['stage2', 'stage3', 'stage4'],
    )  # fmt: skip
    text = BertConfig(
        vocab_size=1060, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    config = GroundingDinoConfig(
        backbone_config=vision, text_config=text, d_model=32, num_queries=20, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_text_len=64,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        GroundingDinoForObjectDetection(config).save_pretrained(folder)
    # The network knows these by their numbers.
    tokens = [f'[unused{k}]' for k in range(1060)]
    for index, token in {0: '[PAD]', 100: '[UNK]', 101: '[CLS]', 102: '[SEP]', 1012: '.', 1029: '?'}.items():
        tokens[index] = token
    for index, letter in enumerate(string.ascii_lowercase):
        tokens[200 + index], tokens[300 + index] = letter, f'##{letter}'
    (folder / 'vocab.txt').write_text('\n'.join(tokens))
    BertTokenizerFast(str(folder / 'vocab.txt')).save_pretrained(folder)
    _save_recipe(folder, {'shortest_edge': SIDE, 'longest_edge': 96})
    return folder


def _save_recipe(folder: Path, size: dict[str, int]) -> None:
    recipe = {'size': size, 'image_mean': MEAN, 'image_std': DEVIATION}
    (folder / 'preprocessor_config.json').write_text(json.dumps(recipe))
