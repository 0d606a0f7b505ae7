"""The tensors of the official code, and proof that the comparison notices each way of getting them wrong.

Tolerances: object tokens and embeddings 1e-5, logits 1e-4, float32 on a CPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pixelrefer_core import object_tokenizer, object_views, visual_model
from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.cli.main import main
from pixelrefer_core.cli.parity import Golden, compare, golden_query, read_golden
from pixelrefer_core.errors import InvalidRequestError
from pixelrefer_core.geometry import Grid, PaddedBox, padded_box
from pixelrefer_core.model_config import ObjectRules
from pixelrefer_core.official_query import run_query
from pixelrefer_core.pixelrefer import PixelRefer

FOLDER = Path(__file__).parent
CASES = sorted(file.stem for file in FOLDER.glob('*.npz'))


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def load(case: str) -> tuple[PixelRefer, Golden]:
    folder = FOLDER / f'checkpoint_{case.split("_")[0]}'
    model = load_model(str(folder), device='cpu', dtype='float32', compat='official')
    return model, read_golden(FOLDER / f'{case}.npz')


def test_all_ten_cases_are_here() -> None:
    assert len(CASES) == 10


@pytest.mark.parametrize('case', CASES)
def test_tensors_equal_those_of_the_official_code(case: str) -> None:
    model, golden = load(case)

    figures = compare(model, golden)

    assert figures['object_tokens_max_abs'] <= 1e-5
    assert figures['inputs_embeds_max_abs'] <= 1e-5
    assert figures['logits_max_abs'] <= 1e-4
    assert figures['input_ids_equal']
    assert figures['greedy_ids_equal']
    assert figures['passed']


@pytest.mark.parametrize('case', [case for case in CASES if 'noregion' not in case])
def test_boxes_and_mask_grids_equal_those_of_the_official_code(case: str) -> None:
    model, golden = load(case)

    tensors = run_query(model, golden_query(golden))

    assert [list(box) for box in tensors.boxes] == golden['box_params'][:, :4].tolist()
    for index, grid in enumerate(tensors.mask_grids):
        np.testing.assert_allclose(grid, golden[f'mask_grid_{index}'], atol=1e-6)


@pytest.mark.parametrize('case', CASES)
def test_official_compatibility_draws_the_same_initial_centroids(case: str) -> None:
    model, golden = load(case)
    query = replace(golden_query(golden), seeds=None)
    torch.manual_seed(1234)  # what the official run was seeded with

    tensors = run_query(model, query)

    assert torch.allclose(tensors.logits, torch.from_numpy(golden['logits'][0]), atol=1e-4)


def test_the_vision_encoder_does_not_mix_pictures() -> None:
    model, golden = load('lite_img_multi')
    query = golden_query(golden)
    alone = replace(query, masks=query.masks[2:], mask_frames=[0], seeds=query.seeds[2:], prompt='<region>')

    together = run_query(model, query).clusters[2]

    assert torch.allclose(run_query(model, alone).clusters[0], together, atol=1e-6)


# --- twins that must fail ---

Twin = Callable[[PixelRefer, pytest.MonkeyPatch], None]


def change_rules(model: PixelRefer, **changes: object) -> None:
    rules: ObjectRules = replace(model.config.rules, **changes)
    model.config = replace(model.config, rules=rules)
    model.visual_model.object_tokenizer._rules = rules


def drop_positions(model: PixelRefer, patch: pytest.MonkeyPatch) -> None:
    torch.nn.init.zeros_(model.visual_model.object_tokenizer.pos_linear.weight)


def unswap_axes(model: PixelRefer, patch: pytest.MonkeyPatch) -> None:
    def positions_of_the_paper(grid: Grid, box: PaddedBox, size: tuple[int, int]) -> np.ndarray:
        x = (np.arange(grid.columns) / grid.columns * (box.right - box.left) + box.left) / (size[1] - 1)
        y = (np.arange(grid.rows) / grid.rows * (box.bottom - box.top) + box.top) / (size[0] - 1)
        return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)

    patch.setattr(object_tokenizer, 'cell_positions', positions_of_the_paper)


def move_crop(model: PixelRefer, patch: pytest.MonkeyPatch) -> None:
    def moved(mask: np.ndarray, padding_px: int) -> PaddedBox:
        box = padded_box(mask, padding_px)
        return box._replace(left=box.left + 1, right=box.right + 1)

    patch.setattr(object_tokenizer, 'padded_box', moved)


def other_last_line(model: PixelRefer, patch: pytest.MonkeyPatch) -> None:
    change_rules(model, keep_last_line=not model.config.rules.keep_last_line)


def other_mask_resize(model: PixelRefer, patch: pytest.MonkeyPatch) -> None:
    change_rules(model, smooth_mask=not model.config.rules.smooth_mask)


def fewer_iterations(model: PixelRefer, patch: pytest.MonkeyPatch) -> None:
    change_rules(model, kmeans_iterations=1)


def swap_heads(model: PixelRefer, patch: pytest.MonkeyPatch) -> None:
    # The first two heads of the queries change places; keys and values do not.
    weights = model.visual_model.object_infusion.attention_local.in_proj_weight.data
    size = weights.shape[1] // 8
    weights[: 2 * size] = torch.cat([weights[size : 2 * size].clone(), weights[:size].clone()])


def wrong_number_of_heads(model: PixelRefer, patch: pytest.MonkeyPatch) -> None:
    infusion = model.visual_model.object_infusion
    for attention in (infusion.attention_local, infusion.attention_global):
        attention.num_heads, attention.head_dim = 4, attention.embed_dim // 4


def swap_views(model: PixelRefer, patch: pytest.MonkeyPatch) -> None:
    infusion = model.visual_model.object_infusion
    infusion.attention_local, infusion.attention_global = infusion.attention_global, infusion.attention_local


def own_local_crop(model: PixelRefer, patch: pytest.MonkeyPatch) -> None:
    model.compat = replace(model.compat, share_local_crop=False)


def even_seeds(model: PixelRefer, patch: pytest.MonkeyPatch) -> None:
    original = object_views.plan_views

    def without_seeds(views, config, compat, seeds=None):  # type: ignore[no-untyped-def]
        return original(views, config, replace(compat, random_seeds=False), None)

    patch.setattr('pixelrefer_core.official_query.plan_views', without_seeds)


def keep_all_scene_tokens(model: PixelRefer, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        visual_model, 'changed_cells', lambda patches: torch.ones(patches.shape[:2], dtype=torch.bool)
    )


@pytest.mark.parametrize(
    ('twin', 'case'),
    [
        (drop_positions, 'lite_img_mid'),
        (drop_positions, 'pixelrefer_img_mid'),
        (unswap_axes, 'lite_img_mid'),
        (unswap_axes, 'pixelrefer_img_mid'),
        (move_crop, 'lite_img_mid'),
        (move_crop, 'pixelrefer_img_mid'),
        (other_last_line, 'lite_img_mid'),
        (other_last_line, 'pixelrefer_img_mid'),
        (other_mask_resize, 'lite_img_mid'),
        (other_mask_resize, 'pixelrefer_img_multi'),
        (fewer_iterations, 'lite_img_mid'),
        (fewer_iterations, 'pixelrefer_img_multi'),
        (swap_heads, 'lite_img_mid'),
        (wrong_number_of_heads, 'lite_img_mid'),
        (swap_views, 'lite_img_mid'),
        (own_local_crop, 'lite_img_multi'),
        (even_seeds, 'lite_img_small'),
        (keep_all_scene_tokens, 'pixelrefer_vid_two_obj_multi'),
    ],
    ids=lambda value: getattr(value, '__name__', value),
)
def test_a_wrong_model_does_not_pass(twin: Twin, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, golden = load(case)
    twin(model, monkeypatch)

    try:
        passed = compare(model, golden)['passed']
    except InvalidRequestError:  # of fewer cells, some initial centroids of the golden file are none
        passed = False
    assert not passed


def test_the_verb_prints_json_and_fails_past_tolerance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = dict(np.load(FOLDER / 'lite_img_mid.npz'))
    golden['logits'] = golden['logits'] + 0.001
    np.savez(tmp_path / 'wrong.npz', **golden)
    files = [str(FOLDER / 'lite_img_mid.npz'), str(tmp_path / 'wrong.npz')]

    status = main(['parity', '--json', '--checkpoint', str(FOLDER / 'checkpoint_lite'), '--golden', *files])

    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert status == 1
    assert result['passed'] is False
    assert result['lite_img_mid']['passed'] is True
    assert result['wrong']['passed'] is False
    assert result['wrong']['logits_max_abs'] == pytest.approx(0.001, abs=1e-4)
    assert result['wrong']['object_tokens_max_abs'] <= 1e-5
