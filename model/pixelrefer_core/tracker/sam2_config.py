"""Configurations of SAM 2: another input size with all that depends on it, and a nano model for tests and training."""

from __future__ import annotations

from copy import deepcopy
from math import isqrt
from typing import TypeVar

from transformers import PreTrainedConfig, Sam2VideoConfig, Sam2VisionConfig
from transformers.models.sam2.configuration_sam2 import Sam2HieraDetConfig
from transformers.models.sam2_video.configuration_sam2_video import (
    Sam2VideoMaskDecoderConfig,
    Sam2VideoPromptEncoderConfig,
)

from ..errors import ModelError

Config = TypeVar('Config', bound=PreTrainedConfig)

# Pixels to one cell of the three maps that the image encoder gives, finest first; masks, memories and rotary
# positions live on the last.
STRIDES = (4, 8, 16)
# The encoder's coarsest map has this stride, and is doubled onto the one before it: sides are whole multiples.
SIDE_STEP = 32
# The encoder of SAM 3's tracker has other strides; it runs at its own size.
SIZABLE = ('sam2_video', 'edgetam_video')


def with_image_size(config: Config, image_size: int) -> Config:
    """Return a copy of a video configuration for square inputs of ``image_size`` pixels.

    The picture's side is written in five places, which must agree; no weight depends on any of them.
    Raises :class:`ModelError` for a side that the model cannot take.
    """
    if config.model_type not in SIZABLE:
        raise ModelError(f'a {config.model_type} has one input size: leave tracker.image_size at 0')
    step = _side_step(config)
    if image_size < step or image_size % step:
        raise ModelError(f'tracker.image_size must be a multiple of {step}, got {image_size}')
    sized = deepcopy(config)
    sized.image_size = image_size
    sized.prompt_encoder_config.image_size = image_size
    sized.vision_config.backbone_feature_sizes = [[image_size // stride] * 2 for stride in STRIDES]
    sized.memory_attention_rope_feat_sizes = [image_size // STRIDES[-1]] * 2
    backbone = sized.vision_config.backbone_config
    # A backbone of timm takes any size and has no such field.
    if hasattr(backbone, 'image_size'):
        backbone.image_size = [image_size, image_size]
    return sized


def nano_config(image_size: int = 256) -> Sam2VideoConfig:
    """Return SAM 2's architecture at about two million parameters, quick enough for a CPU.

    ``hidden`` is the smallest that the object pointers allow: they are cut into pieces of 64, and there must be two
    or more. The memory encoder's 64 output channels are fixed by the memory attention. One mask is predicted,
    not three: choosing among several is a skill of its own.
    """
    hidden = 128
    backbone = Sam2HieraDetConfig(
        hidden_size=24,
        blocks_per_stage=[1, 2, 3, 1],
        embed_dim_per_stage=[24, 48, 96, 192],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 8, 4],
        # Never the first block of a stage: it pools its windows, of which global attention has none.
        global_attention_blocks=[4, 5],
    )
    config = Sam2VideoConfig(
        vision_config=Sam2VisionConfig(
            backbone_config=backbone, backbone_channel_list=[192, 96, 48, 24], fpn_hidden_size=hidden
        ),
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(hidden_size=hidden),
        mask_decoder_config=Sam2VideoMaskDecoderConfig(
            hidden_size=hidden,
            mlp_dim=256,
            num_attention_heads=4,
            iou_head_hidden_dim=hidden,
            dynamic_multimask_via_stability=False,
        ),
        multimask_output_in_sam=False,
        multimask_output_for_tracking=False,
        memory_attention_hidden_size=hidden,
        memory_attention_num_layers=2,
        memory_attention_feed_forward_hidden_size=256,
        memory_encoder_hidden_size=hidden,
        mask_downsampler_embed_dim=hidden,
        memory_fuser_embed_dim=hidden,
        memory_fuser_intermediate_dim=256,
    )
    return with_image_size(config, image_size)


def _side_step(config: PreTrainedConfig) -> int:
    # EdgeTAM sums up its memories in a square of latents, each of which looks at a window of whole cells.
    latents = getattr(config, 'perceiver_resampler_num_latents_2d', 0)
    return max(SIDE_STEP, STRIDES[-1] * isqrt(latents))
