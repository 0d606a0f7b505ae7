"""Measuring, the reference pipeline that gains are measured against, and ``pixelrefer bench``."""

from __future__ import annotations

import importlib
import json
import math
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from pixelrefer_core import benchmark, measuring
from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.cli.main import main
from pixelrefer_core.cli.parity import golden_query, read_golden
from pixelrefer_core.clustering import kmeans
from pixelrefer_core.measuring import (
    Durations,
    PartClock,
    append_result,
    commit,
    machine,
    measure,
    measure_in_turns,
    peak_memory_mb,
)
from pixelrefer_core.official_query import embed_query
from pixelrefer_core.reference_pipeline import answer, embed_one_by_one
from pixelrefer_core.synthetic_clip import synthetic_clip

GOLDEN = Path(__file__).parents[1] / 'golden'
CPU = torch.device('cpu')
BENCH = ['bench', '--json', '--device', 'cpu', '--frames', '2', '--objects', '2', '--new-tokens', '3',
         '--repeats', '1', '--warmup', '0']  # fmt: skip
KEYS_OF_THE_DESIGN = {
    'machine', 'commit', 'settings', 'stages_ms', 'first_token_ms', 'tokens_per_s', 'bandwidth_fraction',
    'peak_rss_mb', 'quality',
}  # fmt: skip


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def _small_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, '_PROBE_BYTES', 1 << 20)


# --- measuring ---


def test_percentiles_lie_between_the_runs():
    durations = Durations(tuple(float(second) for second in range(101)))
    assert (durations.p50, durations.p95) == (50.0, 95.0)
    assert Durations((0.002,)).milliseconds() == {'p50': 2.0, 'p95': 2.0}


def test_warm_up_runs_do_not_count(monkeypatch: pytest.MonkeyPatch):
    clock = [0.0]
    monkeypatch.setattr(measuring.time, 'perf_counter', lambda: clock[0])
    costs = iter([9.0, 9.0, 1.0, 2.0, 3.0])

    def work() -> None:
        clock[0] += next(costs)

    assert measure(work, CPU, repeats=3, warmup=2).seconds == (1.0, 2.0, 3.0)


def test_waiting_takes_time_but_not_the_processors():
    never = threading.Event()
    durations = measure(lambda: never.wait(0.1), CPU, repeats=1, warmup=0)
    assert durations.processor[0] < 0.05 < durations.seconds[0]


def test_functions_are_measured_in_turns():
    order: list[str] = []
    measure_in_turns(
        {'a': lambda: order.append('a'), 'b': lambda: order.append('b')}, CPU, repeats=2, warmup=1
    )
    assert order == ['a', 'b'] * 3


def test_a_part_is_timed_each_time_it_runs_and_no_longer_afterwards():
    part, clock = nn.Linear(2, 2), PartClock(CPU)
    with clock.running({'linear': part}):
        part(torch.zeros(1, 2))
        part(torch.zeros(1, 2))
    part(torch.zeros(1, 2))
    assert len(clock.seconds['linear']) == 2
    assert all(0 < second < 10 for second in clock.seconds['linear'])


def test_the_peak_of_memory_is_that_of_the_kernel():
    status = Path('/proc/self/status')
    if not status.is_file():
        pytest.skip('no /proc here to compare with')
    peak = re.search(r'VmHWM:\s+(\d+) kB', status.read_text())
    assert peak is not None
    assert peak_memory_mb(CPU)['peak_rss_mb'] == pytest.approx(int(peak[1]) * 1024 / 1e6, rel=0.05)


@pytest.mark.usefixtures('_small_probe')
def test_bandwidth_is_that_of_a_computer():
    assert 1e8 < measuring.memory_bandwidth(CPU) < 1e13


def test_a_machine_has_a_name_for_a_file():
    assert machine(CPU)
    assert set(machine(CPU)) <= set('abcdefghijklmnopqrstuvwxyz0123456789-')


def test_a_commit_says_whether_the_package_is_as_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def git(*words: str) -> None:
        identity = ['-c', 'user.name=a', '-c', 'user.email=a@b']
        subprocess.run(['git', '-C', str(tmp_path), *identity, *words], check=True, capture_output=True)

    source, results = tmp_path / 'package' / 'code.py', tmp_path / 'results.jsonl'
    source.parent.mkdir()
    source.write_text('1')
    results.write_text('1')
    monkeypatch.setattr(measuring, '__file__', str(source))
    assert commit() == 'unknown'
    git('init')
    git('add', '.')
    git('commit', '-m', 'x')
    clean = commit()
    assert len(clean) == 12
    results.write_text('2')
    (source.parent / 'new').write_text('belongs to no commit')
    assert commit() == clean
    source.write_text('2')
    assert commit() == f'{clean}-dirty'


def test_results_are_appended_one_line_each(tmp_path: Path):
    for number in (1, 2):
        file = append_result(tmp_path / 'results', {'machine': 'm', 'number': number})
    assert file.name == 'm.jsonl'
    assert [json.loads(line)['number'] for line in file.read_text().splitlines()] == [1, 2]


def test_the_clip_to_measure_with_is_the_same_each_time_and_shows_every_object():
    first, second = synthetic_clip(3, 4), synthetic_clip(3, 4)
    assert [len(views) for views in first] == [4, 4, 4]
    assert len({id(view.frame) for views in first for view in views}) == 3
    for views, again in zip(first, second, strict=True):
        assert np.array_equal(views[0].frame.image, again[0].frame.image)
        assert all(400 < view.mask.sum() < 20000 for view in views)


# --- the reference pipeline ---


@pytest.mark.parametrize(
    'case', sorted(file.stem for file in GOLDEN.glob('*.npz') if 'noregion' not in file.stem)
)
def test_the_reference_pipeline_gives_the_tensors_of_the_official_code(case: str):
    golden = read_golden(GOLDEN / f'{case}.npz')
    model = load_model(str(GOLDEN / f'checkpoint_{case.split("_")[0]}'), device='cpu', compat='official')

    embedded = embed_query(model, golden_query(golden), embed_one_by_one)

    assert np.abs(embedded.region_tokens.numpy() - golden['region_tokens']).max() <= 1e-5
    assert np.abs(embedded.inputs_embeds.numpy() - golden['inputs_embeds'][0]).max() <= 1e-5


def test_the_reference_pipeline_decodes_what_the_official_code_decodes():
    golden = read_golden(GOLDEN / 'lite_img_multi.npz')
    model = load_model(str(GOLDEN / 'checkpoint_lite'), device='cpu', compat='official')
    assert answer(model, golden_query(golden), 8).token_ids == tuple(golden['greedy_ids'].tolist())


def test_the_reference_pipeline_encodes_the_frame_anew_for_each_object(monkeypatch: pytest.MonkeyPatch):
    model = load_model('random-nano', device='cpu')
    seen: list[int] = []
    original = type(model.visual_model.vision_encoder).forward

    def counted(self, patches, grids, merges):  # type: ignore[no-untyped-def]
        seen.append(sum(tuple(grid) == (24, 24) for grid in grids))
        return original(self, patches, grids, merges)

    monkeypatch.setattr(type(model.visual_model.vision_encoder), 'forward', counted)
    views = synthetic_clip(1, 3)[0]
    plan = benchmark.plan_views(views, model.config, model.compat)
    with torch.no_grad():
        reference = embed_one_by_one(model.visual_model, plan)
        ours = model.visual_model.embed_views(plan)
    assert seen == [0, 3, 0, 1]  # crops, frames, local views; then all in one call
    torch.testing.assert_close(ours.tokens, reference.tokens, atol=1e-5, rtol=1e-4)


# --- the verb ---


@pytest.mark.usefixtures('_small_probe')
@pytest.mark.parametrize('variant', ['lite', 'pixelrefer'])
def test_bench_measures_both_ways_and_says_how_far_they_agree(
    variant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    checkpoint = str(GOLDEN / f'checkpoint_{variant}')
    status = main([*BENCH, '--checkpoint', checkpoint, '--results', str(tmp_path)])

    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert status == 0
    assert result.keys() >= KEYS_OF_THE_DESIGN
    assert all(times.keys() == {'p50', 'p95'} for times in result['stages_ms'].values())
    assert result['quality']['object_tokens_max_abs'] <= 1e-5
    assert result['quality']['logits_max_abs'] <= 1e-4
    assert result['quality']['answer_ids_equal'] is True
    assert result['ratios'].keys() >= {'object tokens', 'question, tokens ready'}
    assert result['first_token_ms'] == result['stages_ms']['first token, new objects']['p50']
    assert result['tokens_per_s'] == pytest.approx(1e3 / result['stages_ms']['token']['p50'], rel=1e-3)
    assert result['bandwidth_fraction'] > 0
    assert result['settings']['trained'] is True
    file = tmp_path / f'{result["machine"]}.jsonl'
    assert json.loads(file.read_text()) == result


@pytest.mark.usefixtures('_small_probe')
def test_a_difference_between_the_two_ways_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def one_update_only(cells, valid, seeds, *, iterations):  # type: ignore[no-untyped-def]
        return kmeans(cells, valid, seeds, iterations=1)

    monkeypatch.setattr('pixelrefer_core.object_tokenizer.kmeans', one_update_only)
    main([*BENCH, '--checkpoint', str(GOLDEN / 'checkpoint_lite')])
    quality = json.loads(capsys.readouterr().out.splitlines()[-1])['quality']
    assert quality['object_tokens_max_abs'] > 1e-3
    assert quality['logits_max_abs'] > 1e-4


@pytest.mark.usefixtures('_small_probe')
@pytest.mark.parametrize(
    ('variant', 'kind'), [('lite', 'pixelreferlite_qwen2'), ('pixelrefer', 'pixelrefer_qwen2')]
)
def test_bench_makes_random_weights_and_can_leave_the_reference_out(
    variant: str, kind: str, capsys: pytest.CaptureFixture[str]
):
    main(
        [
            *BENCH,
            '--random-weights',
            '--variant',
            variant,
            '--frames',
            '1',
            '--objects',
            '1',
            '--no-reference',
        ]
    )
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result['settings']['trained'], result['settings']['variant']) == (False, kind)
    assert result['quality'] == {}
    assert not any('reference' in name for name in result['stages_ms'])


def test_a_question_never_ends_early_while_it_is_measured():
    model = load_model('random-nano', device='cpu')
    model.decoder.rules = replace(model.decoder.rules, eos_ids=frozenset(range(263)))
    bench = benchmark.Benchmark(model, benchmark.Scenario(frames=1, objects=1, new_tokens=5, repeats=1))
    timed = bench._ask('What?', bench._object_tokens(), None)
    assert len(timed.generation.token_ids) == 5
    assert len(timed.token_s) == 4
    assert not math.isnan(timed.first_token_s)


@pytest.mark.parametrize('option', [['--frames', '0'], ['--new-tokens', '1'], ['--device', 'cuda:99']])
def test_bench_refuses_what_it_cannot_measure(option: list[str], capsys: pytest.CaptureFixture[str]):
    assert main([*BENCH, *option]) == 2
    assert 'pixelrefer bench:' in capsys.readouterr().err


# --- the scripts ---


@pytest.fixture
def script(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A script, imported as it imports itself: with its folder on the path."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / 'benchmarks')
    yield importlib.import_module(request.param)
    for name in (request.param, 'harness'):
        sys.modules.pop(name)


@pytest.mark.parametrize('script', ['object_tokens'], indirect=True)
def test_objects_together_and_one_by_one_give_the_same_tokens(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(sys, 'argv', ['x', '--case', '3x1', '--repeats', '1', '--warmup', '0', '--save'])
    monkeypatch.setattr('harness.RESULTS', tmp_path)

    script.main()

    assert '3 objects x 1 frames' in capsys.readouterr().out
    (file,) = tmp_path.iterdir()
    result = json.loads(file.read_text())
    assert result['quality']['object_tokens_max_abs'] <= 1e-5
    assert result['rows'][0]['ratio'] > 0
    assert result.keys() >= {'machine', 'commit', 'torch', 'threads', 'peak_rss_mb', 'settings'}


@pytest.mark.parametrize('script', ['loading'], indirect=True)
def test_a_process_of_its_own_loads_all_weights(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    options = ['--repeats', '1', '--warmup', '0', '--folder', str(tmp_path), '--device', 'cpu', '--save']
    monkeypatch.setattr(sys, 'argv', ['x', *options])
    monkeypatch.setattr('harness.RESULTS', tmp_path / 'results')

    script.main()

    (file,) = (tmp_path / 'results').iterdir()
    result = json.loads(file.read_text())
    assert result['quality']['sum_of_weights_relative_difference'] == 0
    (row,) = result['rows']
    assert row['weights MB'] == round(5936896 * 4 / 1e6)
    assert row['load s'] < row['import s'] < 300
    assert row['peak MB'] >= row['libraries MB'] > 50


@pytest.mark.parametrize('script', ['object_tokens', 'loading'], indirect=True)
def test_a_benchmark_skips_a_device_that_is_not_there_and_says_so(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, 'argv', ['x', '--device', 'cuda:99'])
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == 0
    assert 'skipped: cuda:99 is not there' in capsys.readouterr().out
