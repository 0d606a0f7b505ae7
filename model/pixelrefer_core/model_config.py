"""The numbers of a model: read from the config.json files of the official layout, or from a preset.

Two variants share every line of code and differ by :class:`ObjectRules`. Where upstream and good sense
differ, :class:`Compatibility` says which of the two is followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .errors import ModelError
from .geometry import PATCH


@dataclass(frozen=True)
class VisionConfig:
    """Size of the vision encoder and what its pixels look like."""

    hidden_size: int = 1152
    intermediate_size: int = 4304
    num_layers: int = 27
    num_heads: int = 16
    layer_norm_eps: float = 1e-6
    image_mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    image_std: tuple[float, ...] = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class LanguageConfig:
    """Size of the language model, a Qwen2."""

    vocab_size: int = 151669
    hidden_size: int = 1536
    intermediate_size: int = 8960
    num_layers: int = 28
    num_heads: int = 12
    num_kv_heads: int = 2
    max_position_embeddings: int = 32768
    rope_theta: float = 1e6
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = True


@dataclass(frozen=True)
class ObjectRules:
    """How a variant turns an object into tokens; what tells PixelRefer from PixelRefer-Lite.

    ``infusion_heads``: attention heads of object-centric infusion, 0 = none (Vision-Object, which shows the
    language model the whole scene instead). ``large_object_cells``: objects larger than this shrink.
    ``keep_last_line``: a crop includes the last row and column of its box. ``smooth_mask``: any overlap makes
    a cell the object's, rather than half of it. ``pad_tokens``: always ``num_tokens``, filled up with zeros.
    ``area_shrink``: average when shrinking. ``region_times``: a region of a video is written with its times.
    """

    model_type: str
    infusion_heads: int
    kmeans_iterations: int
    large_object_cells: int
    keep_last_line: bool
    smooth_mask: bool
    pad_tokens: bool
    area_shrink: bool
    region_times: bool
    num_tokens: int = 32
    padding_px: int = 28
    global_px: int = 336
    local_px: int = 224


VISION_OBJECT = ObjectRules(
    model_type='pixelrefer_qwen2',
    infusion_heads=0,
    kmeans_iterations=5,
    large_object_cells=100,
    keep_last_line=False,
    smooth_mask=False,
    pad_tokens=False,
    area_shrink=False,
    region_times=False,
)
OBJECT_ONLY = ObjectRules(
    model_type='pixelreferlite_qwen2',
    infusion_heads=8,
    kmeans_iterations=3,
    large_object_cells=50,
    keep_last_line=True,
    smooth_mask=True,
    pad_tokens=True,
    area_shrink=True,
    region_times=True,
)
VARIANTS = {rules.model_type: rules for rules in (VISION_OBJECT, OBJECT_ONLY)}


@dataclass(frozen=True)
class Compatibility:
    """Faults of the upstream code, each mended or reproduced. docs/parity.md lists them with reasons.

    ``share_local_crop``: every object of a frame sees the local crop of the first. ``split_budget``: the
    pictures of a query share one token budget, so that a resolution depends on the number of masks.
    ``random_seeds``: clustering starts from the global random state. ``accept_empty_mask``: an object
    without pixels makes tokens out of zeros. ``lose_thin_objects``: a mask that covers no cell by half
    makes no tokens. ``max_crop_cells``: most patches of one object's crop, 0 = no bound.
    """

    share_local_crop: bool
    split_budget: bool
    random_seeds: bool
    accept_empty_mask: bool
    lose_thin_objects: bool
    max_crop_cells: int


COMPATIBILITY = {
    'fixed': Compatibility(
        share_local_crop=False,
        split_budget=False,
        random_seeds=False,
        accept_empty_mask=False,
        lose_thin_objects=False,
        max_crop_cells=1024,
    ),
    'official': Compatibility(
        share_local_crop=True,
        split_budget=True,
        random_seeds=True,
        accept_empty_mask=True,
        lose_thin_objects=True,
        max_crop_cells=0,
    ),
}


@dataclass(frozen=True)
class ModelConfig:
    """Everything about a model but its weights.

    ``max_length``: budget of scene tokens. ``extra``: further entries of config.json, kept for saving.
    """

    vision: VisionConfig = field(default_factory=VisionConfig)
    language: LanguageConfig = field(default_factory=LanguageConfig)
    rules: ObjectRules = OBJECT_ONLY
    max_length: int = 8192
    spatial_merge: int = 2
    extra: Mapping[str, Any] = field(default_factory=dict)


# Names of LanguageConfig in config.json.
_LANGUAGE_KEYS = {
    'vocab_size': 'vocab_size',
    'hidden_size': 'hidden_size',
    'intermediate_size': 'intermediate_size',
    'num_layers': 'num_hidden_layers',
    'num_heads': 'num_attention_heads',
    'num_kv_heads': 'num_key_value_heads',
    'max_position_embeddings': 'max_position_embeddings',
    'rope_theta': 'rope_theta',
    'rms_norm_eps': 'rms_norm_eps',
    'tie_word_embeddings': 'tie_word_embeddings',
}
_VISION_KEYS = {
    'hidden_size': 'hidden_size',
    'intermediate_size': 'intermediate_size',
    'num_layers': 'num_hidden_layers',
    'num_heads': 'num_attention_heads',
    'layer_norm_eps': 'layer_norm_eps',
}
# Names of ObjectRules in config.json. Official files have the first; the others are for models smaller than
# the published ones, and are written only where they differ from those.
_RULE_KEYS = {
    'num_tokens': 'mask_num',
    'padding_px': 'object_padding_px',
    'global_px': 'global_view_px',
    'local_px': 'local_view_px',
    'large_object_cells': 'large_object_cells',
}


def parse_language(raw: Mapping[str, Any]) -> LanguageConfig:
    """Read the language part of a model's config.json. Raises :class:`ModelError` naming what is missing."""
    rope = raw.get('rope_parameters') or {}  # where transformers 5 writes rope_theta
    defaults = {'tie_word_embeddings': False}
    return LanguageConfig(**_pick({**defaults, **rope, **raw}, _LANGUAGE_KEYS, 'config.json'))


def parse_vision(raw: Mapping[str, Any], processor: Mapping[str, Any]) -> VisionConfig:
    """Read config.json and preprocessor_config.json of the vision tower's own repository."""
    patch = raw.get('patch_size', 14)
    if patch != 14:
        raise ModelError(f'the vision tower cuts patches of {patch} px; only 14 px is supported')
    values = _pick({'layer_norm_eps': 1e-6, **raw}, _VISION_KEYS, 'config.json of the vision tower')
    pixels: dict[str, Any] = {
        key: tuple(processor[key]) for key in ('image_mean', 'image_std') if key in processor
    }
    return VisionConfig(**values, **pixels)


def parse_config(raw: Mapping[str, Any], vision: VisionConfig) -> ModelConfig:
    """Read a model's config.json in the official layout.

    Raises :class:`ModelError` for another architecture, a missing key or a feature that does not exist here.
    """
    kind = raw.get('model_type')
    if kind not in VARIANTS:
        raise ModelError(
            f'model_type {kind!r} in config.json is no PixelRefer; known are {", ".join(VARIANTS)}'
        )
    if raw.get('rope_scaling') or raw.get('use_sliding_window'):
        raise ModelError('rope_scaling and use_sliding_window of config.json are not supported')
    if raw.get('mm_projector_type', 'mlp2x_gelu') != 'mlp2x_gelu':
        raise ModelError(f'mm_projector_type {raw["mm_projector_type"]!r} is not supported, only mlp2x_gelu')
    merge = int(raw.get('spatial_merge_size', 2))
    return ModelConfig(
        vision=vision,
        language=parse_language(raw),
        rules=_parse_rules(raw, VARIANTS[kind]),
        max_length=int(raw.get('mm_max_length', 9477 // merge**2)),
        spatial_merge=merge,
        extra=dict(raw),
    )


def _parse_rules(raw: Mapping[str, Any], published: ObjectRules) -> ObjectRules:
    values: dict[str, Any] = {name: int(raw[key]) for name, key in _RULE_KEYS.items() if key in raw}
    rules = replace(published, **values)
    for side in (rules.global_px, rules.local_px):
        if side <= 0 or side % PATCH:
            raise ModelError(f'a view of {side} px in config.json is no multiple of {PATCH} px, one patch')
    return rules


def _pick(raw: Mapping[str, Any], names: Mapping[str, str], source: str) -> dict[str, Any]:
    missing = [key for key in names.values() if key not in raw]
    if missing:
        raise ModelError(f'{source} lacks {", ".join(missing)}')
    return {name: raw[key] for name, key in names.items()}


def to_official(config: ModelConfig, dtype: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return config.json of the model, config.json of its vision tower, and preprocessor_config.json."""
    language, vision = asdict(config.language), asdict(config.vision)
    published = VARIANTS[config.rules.model_type]
    rules = {key: (getattr(config.rules, name), getattr(published, name)) for name, key in _RULE_KEYS.items()}
    model = {
        **{key: value for key, value in config.extra.items() if key not in rules},
        **{key: value for key, (value, usual) in rules.items() if value != usual},
        **{key: language[name] for name, key in _LANGUAGE_KEYS.items()},
        'model_type': config.rules.model_type,
        'hidden_act': 'silu',
        'mm_vision_encoder': VISION_FOLDER,
        'mm_hidden_size': vision['hidden_size'],
        'mm_projector_type': 'mlp2x_gelu',
        'mm_max_length': config.max_length,
        'spatial_merge_size': config.spatial_merge,
        'mask_num': config.rules.num_tokens,
        'use_token_compression': True,
        'torch_dtype': dtype,
    }
    tower = {key: vision[name] for name, key in _VISION_KEYS.items()}
    tower |= {'model_type': 'damovl', 'patch_size': 14, 'num_channels': 3, 'hidden_act': 'gelu_pytorch_tanh'}
    pixels = {
        'image_mean': vision['image_mean'],
        'image_std': vision['image_std'],
        'patch_size': 14,
        'resample': 3,
    }
    return model, tower, pixels


# Upstream picks the encoder class by this name, so a saved folder keeps it.
VISION_FOLDER = 'vision_encoder_damovl'

_NANO = ModelConfig(
    vision=VisionConfig(hidden_size=192, intermediate_size=512, num_layers=6, num_heads=6),
    language=LanguageConfig(
        vocab_size=263,
        hidden_size=256,
        intermediate_size=768,
        num_layers=4,
        num_heads=4,
        num_kv_heads=2,
        max_position_embeddings=4096,
    ),
)
_7B = ModelConfig(
    language=LanguageConfig(
        hidden_size=3584,
        intermediate_size=18944,
        num_layers=28,
        num_heads=28,
        num_kv_heads=4,
        tie_word_embeddings=False,
    ),
)
_LITE = {'nano': _NANO, '2b': ModelConfig(), '7b': _7B}
# The sizes as PixelRefer-Lite, and as PixelRefer (Vision-Object).
PRESETS = _LITE | {f'pixelrefer-{size}': replace(lite, rules=VISION_OBJECT) for size, lite in _LITE.items()}
