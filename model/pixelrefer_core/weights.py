"""Tensors of a checkpoint: their official names, their files, and how they get into a model.

A model is built on torch's meta device, without memory, and each parameter takes the place of its tensor;
so the peak is one model and one tensor.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from .errors import ModelError
from .packed_linear import pack
from .pixelrefer import PixelRefer

# Beginning of an official key -> beginning of the parameter's name here.
_PREFIXES = {
    'model.vision_encoder.vision_encoder.': 'visual_model.vision_encoder.model.',
    'model.mm_projector.readout.': 'visual_model.scene_projector.',
    'model.region_encoder.feat_linear.': 'visual_model.object_projector.',
    'model.region_encoder.pos_linear.': 'visual_model.object_tokenizer.pos_linear.',
    'model.region_encoder.fusion_attention_': 'visual_model.object_infusion.attention_',
    'model.region_encoder.ln_': 'visual_model.object_infusion.ln_',
    'model.embed_tokens.': 'language_model.model.model.embed_tokens.',
    'model.layers.': 'language_model.model.model.layers.',
    'model.norm.': 'language_model.model.model.norm.',
    'lm_head.': 'language_model.model.lm_head.',
}
# Trained into Lite checkpoints, used by no line of the official code.
DEAD_KEYS = ('model.region_encoder.mask_embedding.weight', 'model.region_encoder.mask_embedding.bias')
LM_HEAD = 'lm_head.weight'

Loader = Callable[[], torch.Tensor]


def official_name(name: str) -> str:
    """Return the official key of one of our parameters."""
    for theirs, ours in _PREFIXES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise KeyError(name)


def find_tensors(folder: Path) -> dict[str, Loader]:
    """Return ``{official key: function that reads the tensor}`` for the weight files of a folder.

    safetensors are preferred over ``.bin``, an index (sharded files) over single files. Raises
    :class:`ModelError` when there are none, or a file is missing or damaged.
    """
    for stem, suffix, reader in (
        ('model', '.safetensors', _safetensors),
        ('pytorch_model', '.bin', _pickled),
    ):
        files = _weight_files(folder, stem + suffix)
        if files:
            return {key: load for file in files for key, load in _read(file, reader)}
    raise ModelError(
        f'{folder} has no weights: neither model.safetensors nor pytorch_model.bin, nor an index of them'
    )


def _weight_files(folder: Path, name: str) -> list[Path]:
    index = folder / f'{name}.index.json'
    if not index.is_file():
        return [folder / name] if (folder / name).is_file() else []
    shards = _shards(index)
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing:
        raise ModelError(
            f'{folder} lacks {", ".join(missing)}, which {index.name} names; fetch the model again'
        )
    return [folder / shard for shard in shards]


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text(encoding='utf-8'))['weight_map'].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f'{index} is damaged ({error!r}); fetch the model again') from error


def _read(file: Path, reader: Callable[[Path], Iterable[tuple[str, Loader]]]) -> list[tuple[str, Loader]]:
    try:
        return list(reader(file))
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ModelError(f'{file} is damaged or holds more than tensors ({error})') from error


def _safetensors(file: Path) -> Iterator[tuple[str, Loader]]:
    handle: Any = safe_open(file, framework='pt')
    for key in list(handle.keys()):
        yield key, partial(handle.get_tensor, key)


def _pickled(file: Path) -> Iterator[tuple[str, Loader]]:
    tensors = torch.load(file, map_location='cpu', weights_only=True, mmap=True)
    for key in tensors:
        yield key, partial(tensors.__getitem__, key)


def fill(model: PixelRefer, tensors: Mapping[str, Loader], device: torch.device, dtype: torch.dtype) -> None:
    """Put a checkpoint's tensors into a model built on the meta device.

    Raises :class:`ModelError` naming the keys that are missing, unknown, or of another shape.
    """
    wanted = {official_name(name): name for name, _ in model.named_parameters()}
    tied = {LM_HEAD} if model.config.language.tie_word_embeddings else set()
    _complain('lacks', wanted.keys() - tensors.keys() - tied)
    _complain('has unknown', tensors.keys() - wanted.keys() - {*DEAD_KEYS, LM_HEAD})
    for key, name in wanted.items():
        if key in tensors and key not in tied:
            tensor, shape = tensors[key](), model.get_parameter(name).shape
            if tensor.shape != shape:
                raise ModelError(
                    f'{key} is {tuple(tensor.shape)} in the weights, {tuple(shape)} in config.json'
                )
            _put(model, name, tensor.to(device=device, dtype=dtype))
    finish(model, device)


def _complain(verb: str, keys: Iterable[str]) -> None:
    names = sorted(keys)
    if names:
        more = f' and {len(names) - 8} more' if len(names) > 8 else ''
        raise ModelError(f'the checkpoint {verb} weights: {", ".join(names[:8])}{more}')


def fill_random(model: PixelRefer, device: torch.device, dtype: torch.dtype, seed: int = 0) -> None:
    """Give a model built on the meta device random weights that keep the size of signals."""
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in list(model.named_parameters()):
        tensor = torch.zeros(parameter.shape, device=device, dtype=dtype)
        if parameter.dim() > 1:
            tensor.normal_(0.0, parameter[0].numel() ** -0.5, generator=generator)
        elif name.endswith('.weight'):
            tensor.fill_(1.0)  # of a norm
        _put(model, name, tensor)
    finish(model, device)


def _put(model: nn.Module, name: str, tensor: torch.Tensor) -> None:
    owner, _, leaf = name.rpartition('.')
    setattr(model.get_submodule(owner), leaf, nn.Parameter(tensor))


def finish(model: PixelRefer, device: torch.device) -> None:
    """Set what no file holds: shared tables, rotary frequencies, the layout of weights."""
    model.language_model.tie()
    model.language_model.reset_rotary(device)
    model.visual_model.vision_encoder.reset_rotary(device)
    model.eval()
    pack(model)


def official_tensors(model: PixelRefer) -> dict[str, torch.Tensor]:
    """Return the weights under their official keys, on the host, dead ones included."""
    tensors = {official_name(name): _plain(parameter) for name, parameter in model.named_parameters()}
    if model.visual_model.object_infusion is not None:
        channels = model.config.vision.hidden_size
        shapes = ((channels, 1, 1, 1), (channels,))
        tensors |= {
            key: torch.zeros(shape, dtype=model.dtype) for key, shape in zip(DEAD_KEYS, shapes, strict=True)
        }
    return tensors


def _plain(parameter: nn.Parameter) -> torch.Tensor:
    weight = parameter.detach()
    return weight.to_dense() if weight.is_mkldnn else weight.cpu()
