"""What a model costs by its configuration alone: floating point operations and bytes.

A multiplication and an addition are two operations. Only matrix products count; norms, softmax and
clustering are below one per cent. ``n`` tokens, ``L`` features, ``C`` and ``D`` widths of vision encoder and
language model.
"""

from __future__ import annotations

from dataclasses import dataclass

from .geometry import PATCH
from .model_config import LanguageConfig, ModelConfig, VisionConfig

_PIXELS = 3 * PATCH * PATCH


# --- operations ---


def encoder_flops(cells: int, vision: VisionConfig) -> int:
    """Return the cost of encoding one picture of ``cells`` patches."""
    width = vision.hidden_size
    weights = 4 * width**2 + 2 * width * vision.intermediate_size
    layer = cells * weights + 2 * cells**2 * width
    return 2 * (cells * _PIXELS * width + vision.num_layers * layer)


def infusion_flops(config: ModelConfig) -> int:
    """Return the cost of infusing one object-frame with its local and its global view; 0 without infusion."""
    rules, width = config.rules, config.vision.hidden_size
    if not rules.infusion_heads:
        return 0
    views = [(side // PATCH) ** 2 for side in (rules.local_px, rules.global_px)]
    n = rules.num_tokens
    return 2 * sum(2 * (n + cells) * width**2 + 2 * n * cells * width for cells in views)


def projector_flops(tokens: int, config: ModelConfig) -> int:
    """Return the cost of bringing ``tokens`` to the language model's width."""
    width = config.language.hidden_size
    return 2 * tokens * width * (config.vision.hidden_size + width)


def prefill_flops(tokens: int, language: LanguageConfig) -> int:
    """Return the cost of reading a prompt; each position attends to itself and those before it."""
    attention = tokens * (tokens + 1) * language.hidden_size * language.num_layers
    head = language.hidden_size * language.vocab_size  # of the last position
    return 2 * (tokens * _matrices(language) + attention + head)


def decode_flops(context: int, language: LanguageConfig) -> int:
    """Return the cost of one more token after ``context`` positions."""
    attention = 2 * (context + 1) * language.hidden_size * language.num_layers
    head = language.hidden_size * language.vocab_size
    return 2 * (_matrices(language) + attention + head)


def object_frame_flops(
    crop_cells: int, config: ModelConfig, *, objects: int = 1, shared: bool = True
) -> float:
    """Return the cost of the tokens of one object on one frame that shows ``objects`` of them.

    ``crop_cells``: patches of the scaled crop. ``shared``: the frame's global view is encoded once for all.
    """
    rules, vision = config.rules, config.vision
    cost: float = encoder_flops(crop_cells, vision) + projector_flops(rules.num_tokens, config)
    if rules.infusion_heads:
        whole = encoder_flops((rules.global_px // PATCH) ** 2, vision)
        cost += encoder_flops((rules.local_px // PATCH) ** 2, vision) + infusion_flops(config)
        cost += whole / objects if shared else whole
    return cost


# --- bytes ---


@dataclass(frozen=True)
class Memory:
    """Bytes that a model needs. ``tables``: embeddings and output layer; weights that are shared count once."""

    vision_encoder: int
    object_tokenizer: int
    projectors: int
    decoder: int
    tables: int
    kv_per_token: int
    tokens_per_object_frame: int

    @property
    def weights(self) -> int:
        """All weights."""
        return self.vision_encoder + self.object_tokenizer + self.projectors + self.decoder + self.tables

    def window(self, prompt_tokens: int, object_frames: int) -> int:
        """Return the bytes of a window: its object tokens, and keys and values of a prompt about them."""
        return prompt_tokens * self.kv_per_token + object_frames * self.tokens_per_object_frame


def memory(config: ModelConfig, element_bytes: int) -> Memory:
    """Return the memory of a model whose numbers take ``element_bytes`` each (2 = bfloat16, 4 = float32)."""
    language, vision, width = config.language, config.vision, config.language.hidden_size
    projector = vision.hidden_size * width + width**2 + 2 * width
    tables = (1 if language.tie_word_embeddings else 2) * language.vocab_size * width
    return Memory(
        vision_encoder=_encoder_parameters(vision) * element_bytes,
        object_tokenizer=_tokenizer_parameters(config) * element_bytes,
        projectors=2 * projector * element_bytes,
        decoder=_decoder_parameters(language) * element_bytes,
        tables=tables * element_bytes,
        kv_per_token=2 * language.num_layers * _key_width(language) * element_bytes,
        tokens_per_object_frame=config.rules.num_tokens * width * element_bytes,
    )


def decode_bytes(config: ModelConfig, element_bytes: int) -> int:
    """Return the bytes of weights that each decoded token reads: all layers and the output layer."""
    language = config.language
    head = language.vocab_size * language.hidden_size
    return (_decoder_parameters(language) + head) * element_bytes


def _key_width(language: LanguageConfig) -> int:
    return language.hidden_size // language.num_heads * language.num_kv_heads


def _matrices(language: LanguageConfig) -> int:
    """Numbers in the matrices of all layers."""
    width = language.hidden_size
    attention = 2 * width**2 + 2 * width * _key_width(language)
    return language.num_layers * (attention + 3 * width * language.intermediate_size)


def _decoder_parameters(language: LanguageConfig) -> int:
    width = language.hidden_size
    biases = width + 2 * _key_width(language)  # of queries, keys and values
    return _matrices(language) + language.num_layers * (biases + 2 * width) + width


def _encoder_parameters(vision: VisionConfig) -> int:
    width, wide = vision.hidden_size, vision.intermediate_size
    layer = 4 * (width**2 + width) + 2 * width * wide + width + wide + 4 * width
    return _PIXELS * width + width + vision.num_layers * layer + 2 * width


def _tokenizer_parameters(config: ModelConfig) -> int:
    """Position layer and infusion."""
    width = config.vision.hidden_size
    attention = 4 * (width**2 + width) + 2 * width  # and the norm of its queries
    return 3 * width + (2 * attention if config.rules.infusion_heads else 0)
