"""A training recipe: a YAML file, read into frozen values with every key and every range checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from pixelrefer_core.errors import InvalidRequestError


@dataclass(frozen=True)
class TokenizerRecipe:
    """``vocab_size``: most tokens. ``samples``: how many samples it is learnt from. ``path``: or a ready one."""

    vocab_size: int = 1200
    samples: int = 1000
    path: str = ''


@dataclass(frozen=True)
class ModelRecipe:
    """Where training starts.

    ``start``: a checkpoint in the official layout (folder or repository in the hub's cache), or ``nano`` for
    PixelRefer-Lite-nano from scratch. ``init_vision``: a vision encoder's weights, a safetensors file or a
    folder with one. ``init_visual``: of everything from the pictures to the object tokens, the file of
    :mod:`pixelrefer_sim.visual_pretraining`. ``places``: how loudly object tokens say where they are, 0 = as they do,
    for new models (:mod:`~.placing`). ``tokenizer``: of a model from scratch.
    """

    start: str
    init_vision: str = ''
    init_visual: str = ''
    places: float = 0.0
    name: str = ''
    tokenizer: TokenizerRecipe = field(default_factory=TokenizerRecipe)


@dataclass(frozen=True)
class DataRecipe:
    """Samples from one source. ``source``: ``official``, ``simulated`` or ``module:function``.

    ``options``: what the source's function is called with. ``repeat``: how often an epoch goes over it.
    """

    source: str
    options: Mapping[str, Any] = field(default_factory=dict)
    repeat: int = 1


@dataclass(frozen=True)
class LearningRates:
    """Peak learning rate of each group of weights; 0 = frozen. See :mod:`~.optimisation`."""

    language: float = 1e-5
    projector: float = 1e-5
    vision: float = 0.0
    objects: float = 1e-5


@dataclass(frozen=True)
class StageRecipe:
    """One stage. How long: one of ``epochs``, ``steps`` and ``minutes``; the learning rate is fitted to it.

    ``batch``: samples in one pass (of each process), ``accumulate``: passes in one step of the optimiser.
    ``warmup``: share of the stage. ``beta2``: of Adam; 0.95 follows faster, which suits training from scratch.
    ``clip``: largest norm of the gradient, 0 = unbounded. ``binding``, ``meaning``, ``options``, ``travel``
    and ``recall``: weights of :mod:`~.binding`, :mod:`~.meaning`, :mod:`~.options`, :mod:`~.travel` and
    :mod:`~.recall` beside the answers, for a language model from scratch.
    """

    name: str
    data: tuple[DataRecipe, ...]
    learning_rates: LearningRates
    epochs: float = 0.0
    steps: int = 0
    minutes: float = 0.0
    batch: int = 8
    accumulate: int = 1
    warmup: float = 0.03
    weight_decay: float = 0.0
    beta2: float = 0.999
    clip: float = 1.0
    binding: float = 0.0
    meaning: float = 0.0
    options: float = 0.0
    travel: float = 0.0
    recall: float = 0.0


@dataclass(frozen=True)
class ValidationRecipe:
    """Questions held back. Scored every ``minutes`` (or ``steps``; 0 = never) and at the end of each stage."""

    data: tuple[DataRecipe, ...] = ()
    samples: int = 200
    batch: int = 8
    minutes: float = 10.0
    steps: int = 0


@dataclass(frozen=True)
class Recipe:
    """All of it. ``precision``: ``auto`` (bfloat16 autocast where it is the faster), ``float32``, ``bfloat16``.

    ``workers``: processes that load data; 0 = in the training process. ``checkpoint_minutes``: how much a
    power cut may cost. ``log_steps``: steps between two lines of progress. ``feature_cache_mb``: memory, megabytes,
    for features of a frozen vision encoder; it pays where pictures come again, 0 = none is used.
    """

    model: ModelRecipe
    stages: tuple[StageRecipe, ...]
    validation: ValidationRecipe = field(default_factory=ValidationRecipe)
    output: str = 'training_output'
    seed: int = 0
    device: str = 'auto'
    precision: str = 'auto'
    threads: int = 0
    workers: int = 0
    checkpoint_minutes: float = 10.0
    log_steps: int = 20
    gradient_checkpointing: bool = False
    feature_cache_mb: int = 0


def load_recipe(file: Path) -> Recipe:
    """Read a recipe. Raises :class:`InvalidRequestError` naming the key that is wrong, or :class:`OSError`."""
    try:
        raw = yaml.safe_load(file.read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        raise InvalidRequestError(f'{file} is no YAML: {error}') from error
    return parse_recipe(raw)


def parse_recipe(raw: Any) -> Recipe:
    """Turn a recipe's content into values and check them. Raises :class:`InvalidRequestError`."""
    recipe: Recipe = build(Recipe, raw, 'the recipe')
    if not recipe.stages:
        _refuse('stages: a recipe needs one stage at least')
    if recipe.precision not in ('auto', 'float32', 'bfloat16'):
        _refuse(f'precision must be auto, float32 or bfloat16, got {recipe.precision!r}')
    for stage in recipe.stages:
        _check_stage(stage)
    for data in (*(item for stage in recipe.stages for item in stage.data), *recipe.validation.data):
        if data.repeat < 1:
            _refuse(f'data: repeat must be 1 or more, got {data.repeat}')
    return recipe


def _check_stage(stage: StageRecipe) -> None:
    where = f'stage {stage.name}'
    if not stage.data:
        _refuse(f'{where}: data is empty')
    if sum(value > 0 for value in (stage.epochs, stage.steps, stage.minutes)) != 1:
        _refuse(f'{where}: give one of epochs, steps and minutes, positive')
    if stage.batch < 1 or stage.accumulate < 1:
        _refuse(f'{where}: batch and accumulate must be 1 or more')
    if not 0.0 <= stage.warmup < 1.0:
        _refuse(f'{where}: warmup must lie in [0, 1), got {stage.warmup}')
    if not 0.0 < stage.beta2 < 1.0:
        _refuse(f'{where}: beta2 must lie between 0 and 1, got {stage.beta2}')
    rates = stage.learning_rates
    guides = (stage.binding, stage.meaning, stage.options, stage.travel, stage.recall)
    if (
        min(
            rates.language,
            rates.projector,
            rates.vision,
            rates.objects,
            stage.weight_decay,
            stage.clip,
            *guides,
        )
        < 0
    ):
        _refuse(
            f'{where}: learning rates, weight_decay, clip, binding, meaning, options, travel and '
            'recall must not be negative'
        )


def _refuse(message: str) -> None:
    raise InvalidRequestError(message)


# --- from plain YAML to dataclasses ---


def build(kind: Any, raw: Any, where: str) -> Any:
    """Turn a mapping into a dataclass of this kind. Raises :class:`InvalidRequestError` for keys that do not fit."""
    if not isinstance(raw, Mapping):
        raise InvalidRequestError(f'{where} must be a mapping of keys to values, got {raw!r}')
    known = {item.name: item for item in fields(kind)}
    unknown = sorted(str(key) for key in raw.keys() - known.keys())
    if unknown:
        raise InvalidRequestError(
            f'{where} has unknown keys: {", ".join(unknown)}; known are {", ".join(known)}'
        )
    needed = {
        name for name, item in known.items() if item.default is MISSING and item.default_factory is MISSING
    }
    missing = sorted(needed - raw.keys())
    if missing:
        raise InvalidRequestError(f'{where} lacks {", ".join(missing)}')
    hints = get_type_hints(kind)
    return kind(**{name: _convert(hints[name], value, f'{where}: {name}') for name, value in raw.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return build(hint, value, where)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise InvalidRequestError(f'{where} must be a list, got {value!r}')
        kind = get_args(hint)[0]
        return tuple(_convert(kind, item, f'{where}[{index}]') for index, item in enumerate(value))
    if get_origin(hint) is not None:
        hint = get_origin(hint)
    return _plain(hint, value, where)


def _plain(kind: type, value: Any, where: str) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    convert: dict[type, tuple[bool, Callable[[Any], Any]]] = {
        float: (is_number or _is_scientific(value), float),
        int: (is_number and value == int(value), int),
    }
    fits, change = convert.get(kind, (isinstance(value, kind), lambda same: same))
    if not fits:
        raise InvalidRequestError(f'{where} must be {kind.__name__}, got {value!r}')
    return change(value)


def _is_scientific(value: Any) -> bool:
    # YAML 1.1 reads 1e-5, without a point, as a text.
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True
