"""``pixelrefer fetch``: brings a model into the user's hub cache; nothing else here uses a network."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..errors import ModelError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('repository', metavar='REPO', help='such as Alibaba-DAMO-Academy/PixelRefer-Lite-2B')
    parser.add_argument('--revision', help='branch, tag or commit; the newest by default')


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Fetch a model, with its vision tower's configuration, a tracker or a detector. Returns where they are."""
    from ..hub import MODEL_FILES, fetch_folder

    folder = fetch_folder(options.repository, MODEL_FILES, options.revision)
    print(f'{options.repository} is in {folder}')
    config = _read_config(folder)
    tower = _fetch_tower(folder, config)
    print(f'use it: {_use_of(config, options.repository)}')
    return {
        'repository': options.repository,
        'revision': folder.name,
        'folder': str(folder),
        'vision_tower_folder': tower and str(tower),
    }


def _fetch_tower(folder: Path, config: dict[str, Any]) -> Path | None:
    """Fetch the configuration of the vision tower that a model names, unless it holds it itself."""
    from ..hub import TOWER_FILES, fetch_folder

    name = str(config.get('mm_vision_encoder', ''))
    if not name or (folder / name / 'config.json').is_file():
        return None
    try:
        tower = fetch_folder(name, TOWER_FILES)
    except ModelError as error:
        print(f'its vision tower was not fetched: {error}\nwithout it the published sizes are taken')
        return None
    print(f'its vision tower {name} is in {tower}')
    return tower


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / 'config.json').read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ModelError(f'the config.json of {folder} is missing or damaged ({error})') from error
    return config


def _use_of(config: dict[str, Any], repository: str) -> str:
    """Say where the repository is named. Raises :class:`ModelError` for one that is of no use here."""
    if 'mm_vision_encoder' in config:
        return f'pixelrefer ask CLIP "What is it?" --model.path {repository}'
    # Imported here: they bring torch and transformers.
    from ..detector.loading import FITS
    from ..tracker.sam2_loading import CLASSES

    kind = config.get('model_type')
    if kind in CLASSES:
        return f'pixelrefer ask CLIP "What is it?" --tracker sam2:{repository}'
    if kind in FITS:
        return f'the parameter detector.path = {repository} of pixelrefer_node and detector_node'
    raise ModelError(f'{repository} holds no PixelRefer, no tracker and no detector, but a {kind!r}')
