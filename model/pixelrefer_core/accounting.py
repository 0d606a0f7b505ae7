"""The paper's accounting of cost: equations 9 and 10, and Table 5 beside what they give.

``d`` width of the language model, ``d_kv`` width of its keys, ``m`` width of its MLP. What the paper calls a
FLOP is one multiply-accumulate. :mod:`.cost_model` counts what really runs, vision encoder included.
"""

from __future__ import annotations

from dataclasses import dataclass

from .model_config import PRESETS, LanguageConfig

# Matrices of an MLP: three in Qwen2 and in the equations, two in the numbers of Table 5.
QWEN2_MLP_MATRICES = 3
TABLE_5_MLP_MATRICES = 2
OBJECT_TOKENS = 32
LOCAL_TOKENS = 256
GLOBAL_TOKENS = 576


def decoder_macs(tokens: int, language: LanguageConfig, mlp_matrices: int = QWEN2_MLP_MATRICES) -> int:
    """Return what all layers spend on reading ``tokens``: the bracket of equations 9 and 10, times K.

    ``2 n d^2`` queries and output, ``2 n d d_kv`` keys and values, ``2 n^2 d`` attention (the masked half
    counted too), ``3 n d m`` MLP.
    """
    width = language.hidden_size
    key_width = width // language.num_heads * language.num_kv_heads
    layer = tokens * (
        2 * width**2
        + 2 * width * key_width
        + 2 * tokens * width
        + mlp_matrices * width * language.intermediate_size
    )
    return language.num_layers * layer


def vision_object_macs(
    object_tokens: int, scene_tokens: int, language: LanguageConfig, mlp_matrices: int = QWEN2_MLP_MATRICES
) -> int:
    """Return the cost of PixelRefer (equation 9), whose language model reads the scene and the object."""
    return decoder_macs(object_tokens + scene_tokens, language, mlp_matrices)


def object_only_macs(
    object_tokens: int, language: LanguageConfig, mlp_matrices: int = QWEN2_MLP_MATRICES
) -> int:
    """Return the cost of PixelRefer-Lite for one object-frame (equation 10): decoder, then infusion."""
    return decoder_macs(object_tokens, language, mlp_matrices) + infusion_macs(object_tokens, language)


def infusion_macs(object_tokens: int, language: LanguageConfig) -> int:
    """Return the last two terms of equation 10: the projections of both cross-attentions.

    The attention proper is left out and the width is the language model's, as in the paper.
    """
    rows = (object_tokens + LOCAL_TOKENS) + (object_tokens + GLOBAL_TOKENS)
    return 2 * rows * language.hidden_size**2


@dataclass(frozen=True)
class PublishedCost:
    """A row of the paper's Table 5. ``scene_tokens`` 0 = PixelRefer-Lite; ``frames``: of the video, or 1."""

    model: str
    preset: str
    scene_tokens: int
    frames: int
    tera: float

    def recomputed(self, mlp_matrices: int, frames_read: int = 1) -> float:
        """Return this row by equation 9 or 10, in 10^12.

        ``frames_read``: frames whose object tokens Lite's language model reads; the infusion runs for all.
        """
        language = PRESETS[self.preset].language
        if self.scene_tokens:
            return vision_object_macs(OBJECT_TOKENS, self.scene_tokens, language, mlp_matrices) / 1e12
        decoder = decoder_macs(frames_read * OBJECT_TOKENS, language, mlp_matrices)
        return (decoder + self.frames * infusion_macs(OBJECT_TOKENS, language)) / 1e12


# DLC-Bench (one image), then HC-STVG (20 frames sampled from a video).
TABLE_5 = (
    PublishedCost('PixelRefer-2B', '2b', 1408, 1, 1.51),
    PublishedCost('PixelRefer-Lite-2B', '2b', 0, 1, 0.03),
    PublishedCost('PixelRefer-7B', '7b', 1408, 1, 7.08),
    PublishedCost('PixelRefer-Lite-7B', '7b', 0, 1, 0.17),
    PublishedCost('PixelRefer-2B', '2b', 7185, 20, 11.15),
    PublishedCost('PixelRefer-Lite-2B', '2b', 0, 20, 0.11),
    PublishedCost('PixelRefer-7B', '7b', 7185, 20, 43.83),
    PublishedCost('PixelRefer-Lite-7B', '7b', 0, 20, 0.61),
)
