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
    """Fetch a model and its vision tower's configuration. Returns where they are."""
    from ..hub import MODEL_FILES, fetch_folder

    folder = fetch_folder(options.repository, MODEL_FILES, options.revision)
    print(f'{options.repository} is in {folder}')
    tower = _fetch_tower(folder)
    print(f'use it: pixelrefer ask CLIP "What is it?" --model.path {options.repository}')
    return {
        'repository': options.repository,
        'revision': folder.name,
        'folder': str(folder),
        'vision_tower_folder': tower and str(tower),
    }


def _fetch_tower(folder: Path) -> Path | None:
    """Fetch the configuration of the vision tower that a model names, unless it holds it itself."""
    from ..hub import TOWER_FILES, fetch_folder

    name = _tower(folder)
    if not name or (folder / name / 'config.json').is_file():
        return None
    try:
        tower = fetch_folder(name, TOWER_FILES)
    except ModelError as error:
        print(f'its vision tower was not fetched: {error}\nwithout it the published sizes are taken')
        return None
    print(f'its vision tower {name} is in {tower}')
    return tower


def _tower(folder: Path) -> str:
    try:
        return str(json.loads((folder / 'config.json').read_text(encoding='utf-8'))['mm_vision_encoder'])
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f'{folder} holds no PixelRefer: its config.json names no vision encoder') from error
