"""Pictures that a command saves."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2

from ..types import ImageArray

_FORMATS = ('.png', '.jpg', '.jpeg', '.webp')


def picture_file(text: str) -> Path:
    """Read the name of a picture from a command line, before any work is done for it."""
    file = Path(text)
    if file.suffix.lower() not in _FORMATS:
        raise argparse.ArgumentTypeError(f'{text} names no picture: end it in {", ".join(_FORMATS)}')
    return file


def save_picture(image: ImageArray, file: Path) -> None:
    """Write an image, uint8 RGB (H, W, 3), and say so."""
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    print(f'saved {file}')
