"""PixelRefer-Lite-nano: the architecture of PixelRefer-Lite at a few million parameters, and how it begins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from pixelrefer_core.decoding import DecodingRules
from pixelrefer_core.model_config import OBJECT_ONLY, LanguageConfig, ModelConfig, VisionConfig
from pixelrefer_core.pixelrefer import Identity, PixelRefer
from pixelrefer_core.visual_model import VisualModel
from pixelrefer_core.weights import fill_random

NAME = 'PixelRefer-Lite-nano'
# Spread of the embedding table; everything that enters the language model begins on this scale. On a smaller one
# the first steps of the optimiser, each as large as the weights, would make all object tokens alike.
EMBEDDING_STD = 0.1
# Positions lie in [0, 1], beside features of spread 1: an object on the left must differ from one on the right
# as much as a ball from a box.
POSITION_STD = 3.0
# Spread of GELU(x) for a normal x, mean included.
_GELU_RMS = 0.65


def nano_config(vocab_size: int) -> ModelConfig:
    """Return the sizes of PixelRefer-Lite-nano: smaller views and fewer tokens, for pictures of a tabletop."""
    return ModelConfig(
        vision=VisionConfig(hidden_size=128, intermediate_size=512, num_layers=4, num_heads=4),
        language=LanguageConfig(
            vocab_size=vocab_size,
            hidden_size=192,
            intermediate_size=384,
            num_layers=6,
            num_heads=6,
            num_kv_heads=2,
            max_position_embeddings=2048,
        ),
        rules=replace(
            OBJECT_ONLY, num_tokens=8, padding_px=14, global_px=168, local_px=112, large_object_cells=24
        ),
    )


def new_model(
    config: ModelConfig, tokenizer: PreTrainedTokenizerBase, *, seed: int, device: torch.device, name: str
) -> PixelRefer:
    """Build a model that can be trained from scratch, float32, the same for the same ``seed``."""
    rules = DecodingRules.parse({}, tokenizer.eos_token_id)
    with torch.device('meta'):
        model = PixelRefer(config, tokenizer, rules, identity=Identity(name))
    fill_random(model, device, torch.float32, seed)
    with torch.no_grad():
        _scale(model, torch.Generator(device).manual_seed(seed))
    return model


def new_visual_model(config: ModelConfig, *, seed: int) -> VisualModel:
    """Build the seeing half alone, to be trained from scratch on the CPU, the same for the same ``seed``."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        visual_model = VisualModel(config)
    with torch.no_grad():
        _scale_seeing(visual_model, torch.Generator().manual_seed(seed))
    return visual_model


def _scale(model: PixelRefer, generator: torch.Generator) -> None:
    """Bring signals to the scale at which the parts learn from each other from the first step on."""
    table = model.language_model.model.get_input_embeddings().weight
    for parameter in model.language_model.parameters():
        if parameter.dim() > 1:
            narrow = parameter.shape[1] ** -0.5  # keeps the size of what passes, at any width
            parameter.normal_(0.0, EMBEDDING_STD if parameter is table else narrow, generator=generator)
    for layer in model.language_model.model.model.layers:
        _match_alike(layer.self_attn)
    _scale_seeing(model.visual_model, generator)


def _match_alike(attention: Any) -> None:
    """Let the first head of each group look for what is like its own token, from the first step on.

    Questions are answered by finding the same again: the name before an object, the word among the options. With
    equal projections for queries and keys, what is alike attracts (compare Trockman and Kolter, "Mimetic
    Initialization of Self-Attention Layers", 2023).
    """
    width, groups = attention.head_dim, attention.num_key_value_groups
    queries = attention.q_proj.weight.unflatten(0, (-1, groups, width))  # (key heads, G, E, D)
    queries[:, 0] = attention.k_proj.weight.unflatten(0, (-1, width))


def _scale_seeing(visual_model: VisualModel, generator: torch.Generator) -> None:
    position = visual_model.object_tokenizer.pos_linear
    position.weight.normal_(0.0, POSITION_STD, generator=generator)
    position.bias.copy_(-0.5 * position.weight.sum(dim=1))  # the middle of the picture adds nothing
    for projector in (visual_model.object_projector, visual_model.scene_projector):
        last = projector[-1]
        assert isinstance(last, nn.Linear)
        spread = EMBEDDING_STD / (_GELU_RMS * last.in_features**0.5)
        last.weight.normal_(0.0, spread, generator=generator)
