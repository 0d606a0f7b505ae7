"""Checkpoints that transformers reads, from a local folder: what is wrong with one is said in words. No network."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from .errors import ModelError

# What goes wrong with files that are missing, damaged, or of another kind than they say.
DAMAGE = (OSError, RuntimeError, ValueError, KeyError, ImportError, SafetensorError)


def read_config(folder: Path, kinds: Collection[str], what: str) -> PreTrainedConfig:
    """Read ``config.json``, whose ``model_type`` must be one of ``kinds``; ``what``: that they are, for people.

    Raises :class:`ModelError`.
    """
    file = folder / 'config.json'
    try:
        raw: dict[str, Any] = json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ModelError(f'{file} is missing or damaged ({error})') from error
    kind = raw.get('model_type')
    if kind not in kinds:
        raise ModelError(f'{folder} holds a {kind!r}, not a {what}; supported are {", ".join(kinds)}')
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except DAMAGE as error:
        raise ModelError(f'{file} cannot be used ({error})') from error


def load_network(kind: Any, folder: Path, config: PreTrainedConfig) -> PreTrainedModel:
    """Load the network of a folder; ``kind``: its class, or one of transformers' Auto classes.

    Raises :class:`ModelError`, also where tensors are missing, of which transformers only warns.
    """
    try:
        network, report = kind.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except DAMAGE as error:
        raise ModelError(f'{folder} cannot be loaded ({error})') from error
    missing = sorted(report['missing_keys'])
    if missing:
        raise ModelError(f'{folder} lacks {len(missing)} tensors, such as {missing[0]}: fetch it again')
    return network
