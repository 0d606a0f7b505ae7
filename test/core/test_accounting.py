"""The paper's equations and our own count of operations and bytes, against numbers worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from pixelrefer_core.accounting import (
    TABLE_5,
    PublishedCost,
    decoder_macs,
    infusion_macs,
    object_only_macs,
    vision_object_macs,
)
from pixelrefer_core.byte_tokenizer import byte_tokenizer
from pixelrefer_core.cli.main import main
from pixelrefer_core.cost_model import (
    decode_bytes,
    decode_flops,
    encoder_flops,
    infusion_flops,
    memory,
    object_frame_flops,
    prefill_flops,
    projector_flops,
)
from pixelrefer_core.decoding import DecodingRules
from pixelrefer_core.model_config import PRESETS, LanguageConfig, ModelConfig, VisionConfig
from pixelrefer_core.pixelrefer import PixelRefer

# d 4, d_kv 2, m 8, 3 layers.
SMALL = LanguageConfig(
    vocab_size=10, hidden_size=4, intermediate_size=8, num_layers=3, num_heads=2, num_kv_heads=1
)
EYE = VisionConfig(hidden_size=4, intermediate_size=8, num_layers=2, num_heads=2)


def test_equation_9_counts_scene_and_object_together():
    # 5 tokens, each 32 (q, o) + 16 (k, v) + 40 (attention) + 96 (three matrices), three layers
    assert decoder_macs(5, SMALL) == 3 * 5 * 184
    assert vision_object_macs(2, 3, SMALL) == 3 * 5 * 184
    assert decoder_macs(5, SMALL, mlp_matrices=2) == 3 * 5 * 152


def test_equation_10_adds_the_projections_of_both_views():
    # (5 + 256) and (5 + 576) rows, twice 16 each
    assert infusion_macs(5, SMALL) == 2 * 842 * 16
    assert object_only_macs(5, SMALL) == 2760 + 26944


@pytest.mark.parametrize('row', TABLE_5, ids=lambda row: f'{row.model} {row.frames} frames')
def test_table_5_comes_out_to_its_last_digit(row: PublishedCost):
    assert round(row.recomputed(mlp_matrices=2), 2) == row.tera


def test_the_equations_as_printed_do_not_give_table_5():
    image = TABLE_5[0]
    # 1440 tokens of 28 * (2 * 1536^2 + 2 * 1536 * 256 + 3 * 1536 * 8960), and 28 * 2 * 1440^2 * 1536
    assert image.recomputed(mlp_matrices=3) == pytest.approx(1.8867 + 0.1784, abs=2e-4)


def test_reading_the_objects_of_all_frames_costs_twenty_times_the_decoder():
    video = TABLE_5[5]
    once = video.recomputed(3) - 20 * infusion_macs(32, PRESETS['2b'].language) / 1e12
    assert video.recomputed(3, frames_read=20) == pytest.approx(20 * once + 20 * infusion_tera(), rel=0.05)


def infusion_tera() -> float:
    return 2 * (288 + 608) * 1536**2 / 1e12


# --- what really runs ---


def test_the_encoder_is_patches_weights_and_attention():
    # 3 patches of 588 values; 2 layers of 3 * (64 + 64) + 2 * 9 * 4; two operations each
    assert encoder_flops(3, EYE) == 2 * (3 * 588 * 4 + 2 * (3 * 128 + 72))


@pytest.mark.parametrize(('cells', 'tera'), [(256, 0.219), (576, 0.515), (1024, 0.972)])
def test_the_published_tower_costs_what_its_layers_cost(cells: int, tera: float):
    assert encoder_flops(cells, VisionConfig()) / 1e12 == pytest.approx(tera, rel=0.002)


def test_infusion_reads_256_and_576_features():
    config = replace(PRESETS['nano'], vision=EYE)
    # 32 queries: projections of 288 and 608 rows, scores and sums over 256 and 576
    by_hand = 2 * (2 * 288 * 16 + 2 * 32 * 256 * 4) + 2 * (2 * 608 * 16 + 2 * 32 * 576 * 4)
    assert infusion_flops(config) == by_hand
    assert infusion_flops(PRESETS['pixelrefer-2b']) == 0


def test_a_projector_is_two_matrices():
    assert projector_flops(7, ModelConfig(vision=EYE, language=SMALL)) == 2 * 7 * (4 * 4 + 4 * 4)


def test_a_prompt_costs_its_tokens_its_attention_and_one_row_of_logits():
    # 432 numbers in the matrices; 1 + 2 + .. + 5 = 15 pairs, twice, 4 wide, 3 layers; 10 words
    assert prefill_flops(5, SMALL) == 2 * (5 * 432 + 2 * 15 * 4 * 3 + 4 * 10)


def test_decoding_a_token_is_reading_one_more():
    words = 2 * 4 * 10
    assert decode_flops(4, SMALL) - words == prefill_flops(5, SMALL) - prefill_flops(4, SMALL)


def test_sharing_the_global_view_is_worth_what_it_costs():
    whole = encoder_flops(576, VisionConfig())
    alone = object_frame_flops(256, PRESETS['2b'], objects=5, shared=False)
    assert alone - object_frame_flops(256, PRESETS['2b'], objects=5) == pytest.approx(whole * 4 / 5)
    assert object_frame_flops(256, PRESETS['2b'], objects=1) == alone


@pytest.mark.parametrize('name', PRESETS)
def test_weights_take_the_memory_of_the_parameters_that_a_model_has(name: str):
    with torch.device('meta'):
        model = PixelRefer(PRESETS[name], byte_tokenizer(), DecodingRules(frozenset()))
    assert memory(PRESETS[name], 2).weights == 2 * sum(p.numel() for p in model.parameters())


def test_parts_of_the_published_size_are_those_known():
    need = memory(PRESETS['2b'], 2)
    assert need.kv_per_token == 28 * 1024
    assert need.tokens_per_object_frame == 96 * 1024
    assert need.window(685, 16) == 685 * 28672 + 16 * 98304
    assert need.decoder / 2e9 == pytest.approx(1.310, abs=1e-3)
    # 1.310 of layers and 0.233 of the output layer, which is the embedding table
    assert decode_bytes(PRESETS['2b'], 2) / 2e9 == pytest.approx(1.543, abs=1e-3)


def test_an_output_layer_of_its_own_takes_memory_but_is_read_alone():
    tied, untied = (
        replace(PRESETS['2b'], language=replace(PRESETS['2b'].language, tie_word_embeddings=tied))
        for tied in (True, False)
    )
    assert memory(untied, 4).tables == 2 * memory(tied, 4).tables
    assert decode_bytes(untied, 4) == decode_bytes(tied, 4)


# --- the verb ---


def test_the_verb_explains_table_5_and_returns_all_configurations(capsys: pytest.CaptureFixture[str]):
    status = main(['flops', '--json', '--objects', '2', '--frames', '3'])

    text = capsys.readouterr().out
    result = json.loads(text.splitlines()[-1])
    assert status == 0
    assert 'multiply-accumulate' in text
    assert all(row['as table'] == row['published'] for row in result['table_5'])
    assert [row['model'] for row in result['operations']] == list(PRESETS)
    lite = next(row for row in result['operations'] if row['model'] == '2b')
    assert lite['prompt'] == 45 + 2 * 3 * (32 + 8)
    assert lite['all object-frames'] == pytest.approx(6 * lite['object-frame'], abs=0.1)


def test_the_verb_refuses_no_frames(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(['flops', '--frames', '0'])
    assert '1 or more' in capsys.readouterr().err
