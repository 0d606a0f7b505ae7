"""The model that training begins with: a checkpoint, or a nano model with a tokenizer of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerBase, Qwen2Tokenizer

from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.errors import ModelError
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.prompt import REGION_SLOT

from .batches import order
from .nano import NAME, nano_config, new_model
from .placing import write_places
from .recipe import ModelRecipe, TokenizerRecipe
from .samples import SampleSource
from .tokenizer import train_tokenizer

NANO = 'nano'
# Samples in which places are learnt to be read: a line through some thousand objects.
_PLACED = 500
_TOWER = 'model.vision_encoder.vision_encoder.'


def start_model(recipe: ModelRecipe, source: SampleSource, *, seed: int, device: torch.device) -> PixelRefer:
    """Return the model in float32, ready to train. ``source``: of the texts that a tokenizer is learnt from.

    Raises :class:`ModelError` when a file is missing or does not fit, :class:`InvalidRequestError` when places
    cannot be written.
    """
    if recipe.start == NANO:
        tokenizer = _tokenizer(recipe.tokenizer, source, seed)
        config = nano_config(len(tokenizer))
        model = new_model(config, tokenizer, seed=seed, device=device, name=NAME)
    else:
        model = load_model(recipe.start, device=str(device), dtype='float32')
    if recipe.init_vision:
        fill_vision(model, Path(recipe.init_vision))
    if recipe.init_visual:
        fill_visual(model, Path(recipe.init_visual))
    if recipe.places:
        chosen = itertools.islice(order(len(source), seed, 0), _PLACED)
        write_places(model, (source.sample(index, 0) for index in chosen), gain=recipe.places)
    name = recipe.name or model.identity.name
    model.identity = replace(model.identity, name=name, trained=True)
    return model


def _tokenizer(recipe: TokenizerRecipe, source: SampleSource, seed: int) -> PreTrainedTokenizerBase:
    if recipe.path:
        return Qwen2Tokenizer.from_pretrained(Path(recipe.path), local_files_only=True)
    chosen = itertools.islice(order(len(source), seed, 0), recipe.samples)
    return train_tokenizer((text for index in chosen for text in _texts(source, index)), recipe.vocab_size)


def _texts(source: SampleSource, index: int) -> Iterator[str]:
    for turn in source.sample(index, 0).turns:
        # As the model reads it, with the words of the template around the objects.
        yield 'user\n' + turn.instruction.replace(REGION_SLOT, '[Time 0.0:,Time 0.0:]')
        yield 'assistant\n'
        yield turn.answer


def fill_vision(model: PixelRefer, path: Path) -> None:
    """Copy a vision encoder's weights from a safetensors file, or a folder with ``model.safetensors``.

    Keys as in the official layout, with or without the prefix of a whole model. Raises :class:`ModelError`
    when the file cannot be read or its tensors are not those of this encoder.
    """
    file = path / 'model.safetensors' if path.is_dir() else path
    loaded = _read(file, 'init_vision')
    if any(key.startswith(_TOWER) for key in loaded):
        loaded = {key: value for key, value in loaded.items() if key.startswith(_TOWER)}
    weights = {key.removeprefix(_TOWER): value for key, value in loaded.items()}
    try:
        model.visual_model.vision_encoder.model.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f'init_vision: {file} is no vision encoder of this model: {error}') from error


def fill_visual(model: PixelRefer, file: Path) -> None:
    """Copy the weights of the seeing half from a safetensors file with the names of :class:`VisualModel`.

    Raises :class:`ModelError` when it cannot be read or its tensors are not those of this model.
    """
    try:
        model.visual_model.load_state_dict(_read(file, 'init_visual'))
    except RuntimeError as error:
        raise ModelError(f'init_visual: {file} is no visual model of these sizes: {error}') from error


def _read(file: Path, key: str) -> dict[str, torch.Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise ModelError(f'{key}: {file} cannot be read: {error}') from error
