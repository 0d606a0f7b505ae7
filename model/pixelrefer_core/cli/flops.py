"""``pixelrefer flops``: the paper's accounting beside ours, and how much memory a model needs."""

from __future__ import annotations

import argparse
from typing import Any

from ..accounting import QWEN2_MLP_MATRICES, TABLE_5, TABLE_5_MLP_MATRICES, PublishedCost
from ..cost_model import (
    decode_flops,
    encoder_flops,
    infusion_flops,
    memory,
    object_frame_flops,
    prefill_flops,
    projector_flops,
)
from ..geometry import PATCH
from ..model_config import PRESETS, ModelConfig
from .rows import print_rows

ELEMENT_BYTES = {'float32': 4, 'bfloat16': 2, 'float16': 2}
GIGA, MEGA, KIBI = 1e9, 1e6, 1024

WHY_TABLE_5_DIFFERS = """\
Every published figure comes out when the equations are evaluated so: a FLOP is one multiply-accumulate; the MLP
has 2 matrices ("as table", although equations 9 and 10 and Qwen2 have 3, "as equation"); the infusion has the
language model's width (the weights have the vision encoder's, 1152); and of a video the infusion counts on all
20 frames, but the language model reads the 32 object tokens of one. "all frames" lets it read those of all 20,
as it does. The vision encoder and the words are in none of these columns; they are in the next table."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--objects', type=_count, default=1, help='objects on each frame')
    parser.add_argument('--frames', type=_count, default=16, help='frames of the window')
    parser.add_argument('--crop-cells', type=_count, default=256, help='patches of a scaled crop')
    parser.add_argument('--scene-tokens', type=_count, default=1408, help='of an image; Lite is shown none')
    parser.add_argument('--text-tokens', type=_count, default=45, help='question and chat template')
    parser.add_argument('--time-tokens', type=_count, default=8, help='"Time 1.0:" before each frame of Lite')
    parser.add_argument('--dtype', choices=ELEMENT_BYTES, default='bfloat16', help='precision of the weights')


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Print Table 5, operations and memory. Returns the same figures."""
    table = [_table_5_row(row) for row in TABLE_5]
    print('Table 5 of the paper, 10^12\n')
    print_rows(table)
    print(f'\n{WHY_TABLE_5_DIFFERS}\n')
    print(
        f'Operations (two to a multiply-accumulate), 10^9; {options.objects} object(s) on {options.frames} frames\n'
    )
    costs = [_cost_row(name, config, options) for name, config in PRESETS.items()]
    print_rows(costs)
    print(f'\nMemory, {options.dtype}\n')
    needs = [_memory_row(name, config, options) for name, config in PRESETS.items()]
    print_rows(needs)
    print('\nobject tokens: KiB of one object-frame; window: their keys and values and the tokens themselves')
    return {'table_5': table, 'operations': costs, 'memory': needs}


def _table_5_row(row: PublishedCost) -> dict[str, Any]:
    return {
        'model': row.model,
        'setting': 'video' if row.frames > 1 else 'image',
        'published': row.tera,
        'as table': round(row.recomputed(TABLE_5_MLP_MATRICES), 2),
        'as equation': round(row.recomputed(QWEN2_MLP_MATRICES), 2),
        'all frames': round(row.recomputed(QWEN2_MLP_MATRICES, row.frames), 2),
    }


def _prompt_tokens(config: ModelConfig, options: argparse.Namespace) -> int:
    rules = config.rules
    each = rules.num_tokens + (options.time_tokens if rules.region_times else 2)  # times, or brackets
    scene = 0 if rules.infusion_heads else options.scene_tokens
    return options.text_tokens + scene + options.objects * options.frames * each


def _cost_row(name: str, config: ModelConfig, options: argparse.Namespace) -> dict[str, Any]:
    prompt = _prompt_tokens(config, options)
    rules = config.rules
    views = {'global view': rules.global_px, 'local view': rules.local_px} if rules.infusion_heads else {}
    encoded = {view: encoder_flops((side // PATCH) ** 2, config.vision) for view, side in views.items()}
    frame = object_frame_flops(options.crop_cells, config, objects=options.objects)
    flops = {
        'crop': encoder_flops(options.crop_cells, config.vision),
        **{view: encoded.get(view, 0) for view in ('local view', 'global view')},
        'infusion': infusion_flops(config),
        'object-frame': frame,
        'all object-frames': frame * options.objects * options.frames,
        'scene': _scene_flops(config, options),
        'prefill': prefill_flops(prompt, config.language),
        'token': decode_flops(prompt, config.language),
    }
    return {'model': name, 'prompt': prompt, **{key: round(value / GIGA, 2) for key, value in flops.items()}}


def _scene_flops(config: ModelConfig, options: argparse.Namespace) -> int:
    if config.rules.infusion_heads:
        return 0
    tokens = options.scene_tokens
    return encoder_flops(tokens, config.vision) + projector_flops(tokens, config)


def _memory_row(name: str, config: ModelConfig, options: argparse.Namespace) -> dict[str, Any]:
    need = memory(config, ELEMENT_BYTES[options.dtype])
    window = need.window(_prompt_tokens(config, options), options.objects * options.frames)
    parts = {
        'encoder MB': need.vision_encoder,
        'tokenizer MB': need.object_tokenizer,
        'projectors MB': need.projectors,
        'decoder MB': need.decoder,
        'tables MB': need.tables,
        'weights MB': need.weights,
    }
    return {
        'model': name,
        **{key: round(value / MEGA, 1) for key, value in parts.items()},
        'KV KiB/token': need.kv_per_token / KIBI,
        'object tokens KiB': need.tokens_per_object_frame / KIBI,
        'window MB': round(window / MEGA, 1),
    }


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError('must be 1 or more')
    return value
