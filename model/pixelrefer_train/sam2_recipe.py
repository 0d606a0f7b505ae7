"""What a SAM 2 training run is made of: a YAML file, read into frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pixelrefer_core.errors import InvalidRequestError

from .recipe import build


@dataclass(frozen=True)
class Sam2Stage:
    """One stage: ``minutes`` of training, or ``steps`` if they are done earlier (0 = unlimited).

    ``image_size``: of the model's input. ``batch``: clips a step. ``frames``: most frames a clip; 1 = single
    frames. ``objects``: most objects a clip. ``zoom``: least part of the picture that is shown. ``drawn``: share
    of drawn clips. ``learning_rate``: its peak; it falls along half a cosine to ``last_rate`` times that.
    """

    name: str
    minutes: float
    image_size: int
    batch: int
    learning_rate: float
    steps: int = 0
    frames: int = 1
    objects: int = 4
    zoom: float = 1.0
    drawn: float = 0.0
    warmup: float = 0.05
    last_rate: float = 0.05


@dataclass(frozen=True)
class Sam2Validation:
    """Clips kept back (see :data:`~.sam2_clips.VALIDATION_EVERY`): the first ``clips`` of them are followed over
    ``frames`` frames every ``minutes`` of training and after each stage. ``image_size``: of the model that is kept.
    """

    clips: int = 12
    frames: int = 8
    objects: int = 3
    stride: int = 2
    minutes: float = 6.0
    image_size: int = 256


@dataclass(frozen=True)
class Sam2Recipe:
    """All of it. ``clips``: folders of rendered clips; they may grow during training. ``start``: weights to begin
    with, a folder of this trainer's; empty = from scratch.
    """

    output: str
    clips: tuple[str, ...]
    stages: tuple[Sam2Stage, ...]
    validation: Sam2Validation = Sam2Validation()
    start: str = ''
    seed: int = 0
    threads: int = 1
    weight_decay: float = 0.01
    clip: float = 1.0
    checkpoint_minutes: float = 3.0
    log_steps: int = 50


def load_sam2_recipe(file: Path) -> Sam2Recipe:
    """Read a recipe. Raises :class:`InvalidRequestError` naming the key that is wrong, or :class:`OSError`."""
    try:
        raw = yaml.safe_load(file.read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        raise InvalidRequestError(f'{file} is no YAML: {error}') from error
    return parse_sam2_recipe(raw)


def parse_sam2_recipe(raw: Any) -> Sam2Recipe:
    """Turn a recipe's content into values and check them. Raises :class:`InvalidRequestError`."""
    recipe: Sam2Recipe = build(Sam2Recipe, raw, 'the recipe')
    if not recipe.stages:
        raise InvalidRequestError('stages: a recipe needs one stage at least')
    for stage in recipe.stages:
        if stage.minutes <= 0 or min(stage.batch, stage.frames, stage.objects) < 1:
            raise InvalidRequestError(
                f'stage {stage.name}: minutes, batch, frames and objects must be positive'
            )
        if not 0 <= stage.drawn <= 1 or not 0 < stage.zoom <= 1:
            raise InvalidRequestError(f'stage {stage.name}: drawn and zoom are shares, from 0 to 1')
    return recipe
