"""SAM 2 models of the nano size: made from nothing, carried between input sizes, written for the tracker."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import Sam2VideoModel

from pixelrefer_core.tracker.sam2_config import nano_config


def new_model(image_size: int, seed: int) -> Sam2VideoModel:
    """Return a nano model with random weights.

    They are drawn as torch draws them, wider the narrower a layer is. Transformers' own, all of one width that
    suits hundreds of channels, leave a model of 24 channels at the background solution for thousands of steps.
    """
    torch.manual_seed(seed)
    model = Sam2VideoModel(nano_config(image_size))
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            module.reset_parameters()
    # Where a point is and where a pixel is must be said in one language; transformers draws two at random.
    points = model.prompt_encoder.shared_embedding.positional_embedding
    points.copy_(model.shared_image_embedding.positional_embedding)
    return model.eval()


def resized(model: Sam2VideoModel, image_size: int) -> Sam2VideoModel:
    """Return a model with the same weights for another input size; the model itself when it has that size."""
    if model.config.image_size == image_size:
        return model
    other = Sam2VideoModel(nano_config(image_size))
    other.load_state_dict(model.state_dict())
    return other.eval()


def save_model(model: Sam2VideoModel, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors``, half precision, as ``from_pretrained`` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / 'model.safetensors', metadata={'format': 'pt'})
