"""Models in and out: a folder in the official layout, the hub's local cache, or a preset without training.

Nothing here uses a network.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase, Qwen2Tokenizer

from .byte_tokenizer import byte_tokenizer
from .decoding import DecodingRules
from .device import choose_attention, choose_device, choose_dtype
from .errors import ModelError
from .hub import MODEL_FILES, TOWER_FILES, cached_folder
from .model_config import (
    COMPATIBILITY,
    PRESETS,
    VISION_FOLDER,
    ModelConfig,
    VisionConfig,
    parse_config,
    parse_vision,
    to_official,
)
from .pixelrefer import Identity, PixelRefer
from .shipped import NANO, NANO_NOTE, shipped_folder
from .weights import Loader, fill, fill_random, find_tensors, official_tensors

log = logging.getLogger(__name__)

_RANDOM = 'random-'
_TOWER = 'model.vision_encoder.vision_encoder.'


def load_model(
    path: str, *, device: str = 'auto', dtype: str = 'auto', compat: str = 'fixed', threads: int = 0
) -> PixelRefer:
    """Load a model to answer with.

    ``path``: a checkpoint folder, a hub repository in the local cache, ``nano`` (the small trained model that is
    shipped), or ``random-nano``, ``random-2b``, ``random-7b`` (seeded weights without training). ``compat``:
    ``fixed`` or ``official``, see :class:`~.model_config.Compatibility`. ``threads``: CPU threads, 0 = leave as
    they are.
    Raises :class:`ModelError` saying what is missing and what to do.
    """
    if compat not in COMPATIBILITY:
        raise ModelError(f'compat must be one of {", ".join(COMPATIBILITY)}, got {compat!r}')
    place, precision = choose_device(device), choose_dtype(dtype, choose_device(device))
    if threads > 0:
        torch.set_num_threads(threads)
    if path.startswith(_RANDOM):
        return _random_model(path, place, precision, compat)
    folder = find_folder(path)
    tensors = find_tensors(folder)
    raw = _read_json(folder / 'config.json')
    config = _with_sizes(parse_config(raw, _vision_config(folder, raw, tensors)), tensors)
    tokenizer = _load_tokenizer(folder)
    rules = _read_json(folder / 'generation_config.json', missing={})
    model = _build(
        config,
        tokenizer,
        DecodingRules.parse(rules, tokenizer.eos_token_id),
        compat,
        Identity(name=path, revision=_revision(folder), trained=raw.get('trained', True)),
    )
    fill(model, tensors, place, precision)
    model.set_attention(choose_attention(place, precision))
    return model


def _random_model(path: str, device: torch.device, dtype: torch.dtype, compat: str) -> PixelRefer:
    name = path.removeprefix(_RANDOM)
    if name not in PRESETS:
        raise ModelError(
            f'{path} is no preset; known are {", ".join(_RANDOM + preset for preset in PRESETS)}'
        )
    tokenizer = byte_tokenizer()
    rules = DecodingRules.parse({}, tokenizer.eos_token_id)
    model = _build(PRESETS[name], tokenizer, rules, compat, Identity(name=path))
    fill_random(model, device, dtype)
    model.set_attention(choose_attention(device, dtype))
    return model


def _build(
    config: ModelConfig,
    tokenizer: PreTrainedTokenizerBase,
    rules: DecodingRules,
    compat: str,
    identity: Identity,
) -> PixelRefer:
    with torch.device('meta'):
        return PixelRefer(config, tokenizer, rules, compat=COMPATIBILITY[compat], identity=identity)


def find_folder(path: str) -> Path:
    """Return the folder of a model: shipped, ``path`` itself, or a repository's snapshot in the hub's local cache."""
    if path == NANO:
        log.info(NANO_NOTE)
        return shipped_folder('pixelrefer_lite_nano')
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    return cached_folder(path, MODEL_FILES)


def _revision(folder: Path) -> str:
    return folder.name if re.fullmatch('[0-9a-f]{40}', folder.name) else ''


def _read_json(file: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    if not file.is_file():
        if missing is None:
            raise ModelError(f'{file} is missing; fetch the model again')
        return missing
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ModelError(f'{file} is damaged ({error}); fetch the model again') from error
    if not isinstance(content, dict):
        raise ModelError(f'{file} does not hold a JSON object')
    return content


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    if not any((folder / name).is_file() for name in ('tokenizer.json', 'vocab.json')):
        raise ModelError(f'{folder} has no tokenizer: neither tokenizer.json nor vocab.json')
    return Qwen2Tokenizer.from_pretrained(folder, local_files_only=True)


# --- sizes from files ---


def _with_sizes(config: ModelConfig, tensors: dict[str, Loader]) -> ModelConfig:
    """Take the size of the vocabulary from the embedding table, which training resizes."""
    table = tensors.get('model.embed_tokens.weight')
    if table is None:
        return config
    return replace(config, language=replace(config.language, vocab_size=len(table())))


def _vision_config(folder: Path, raw: dict[str, Any], tensors: dict[str, Loader]) -> VisionConfig:
    """Read the vision tower's own repository; without one, take the published sizes if they fit."""
    for tower in _vision_folders(folder, str(raw.get('mm_vision_encoder', ''))):
        if (tower / 'config.json').is_file():
            processor = _read_json(tower / 'preprocessor_config.json', missing={})
            return parse_vision(_read_json(tower / 'config.json'), processor)
    published = VisionConfig()
    bias = tensors.get(_TOWER + 'embeddings.patch_embedding.bias')
    if bias is None or len(bias()) != published.hidden_size:
        raise ModelError(
            f'config.json of the vision tower ({raw.get("mm_vision_encoder")}) is needed, beside the model, '
            'inside it, or in the local hub cache'
        )
    return published


def _vision_folders(folder: Path, name: str) -> Iterator[Path]:
    if not name:
        return
    # Relative to the checkpoint, wherever the current directory is; then by its last name alone.
    yield folder / name
    yield folder / Path(name).name
    yield folder.parent / Path(name).name
    try:
        yield cached_folder(name, TOWER_FILES)
    except ModelError:
        return


# --- saving ---


def save_pretrained(model: PixelRefer, folder: Path, *, tower_weights: bool = False) -> None:
    """Write a model in the official layout, its vision tower's configuration in a folder inside.

    ``tower_weights``: also write the tower's weights there. The official code wants them, only to overwrite
    them with those of the model; this project does not.
    """
    dtype = model.info.dtype
    raw, tower, pixels = to_official(model.config, dtype)
    raw |= {'region_token_index': model.region_id, 'image_token_index': model.image_id}
    raw |= {'trained': model.identity.trained, 'eos_token_id': model.tokenizer.eos_token_id}
    tensors = official_tensors(model)
    _write_json(folder / 'config.json', raw)
    _write_json(folder / 'generation_config.json', model.decoder.rules.to_official())
    _write_json(folder / VISION_FOLDER / 'config.json', tower)
    _write_json(folder / VISION_FOLDER / 'preprocessor_config.json', pixels)
    model.tokenizer.save_pretrained(folder)
    save_file(tensors, folder / 'model.safetensors', metadata={'format': 'pt'})
    if tower_weights:
        own = {key.removeprefix(_TOWER): value for key, value in tensors.items() if key.startswith(_TOWER)}
        save_file(own, folder / VISION_FOLDER / 'model.safetensors', metadata={'format': 'pt'})


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + '\n', encoding='utf-8')
