"""Several processes train as one would with larger batches."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pixelrefer_core.errors import UnsupportedError
from pixelrefer_train.parallel import Processes

TESTS = Path(__file__).parents[1]
TRAINING = """
import sys
from pixelrefer_train.recipe import parse_recipe
from pixelrefer_train.trainer import train

discs = {'source': 'toys:Discs', 'options': {'count': 12, 'frames': 1}}
stage = {'name': 'one', 'data': [discs], 'steps': 3, 'batch': int(sys.argv[3]), 'accumulate': 2}
rates = {'language': 3e-3, 'projector': 0, 'vision': 0, 'objects': 3e-3}
train(parse_recipe({
    'model': {'start': sys.argv[1]}, 'output': sys.argv[2], 'device': 'cpu', 'log_steps': 1,
    'precision': 'float32',
    'stages': [stage | {'learning_rates': rates}],
    'validation': {'data': [discs], 'samples': 2, 'steps': 2},
}))
"""


def test_without_accelerate_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    monkeypatch.setitem(sys.modules, 'accelerate', None)
    with pytest.raises(UnsupportedError, match='needs accelerate'):
        Processes('cpu')


@pytest.mark.slow
@pytest.mark.skipif(find_spec('accelerate') is None, reason='accelerate is not installed')
def test_two_processes_reach_the_weights_of_one_with_twice_the_batch(tmp_path: Path):
    script = tmp_path / 'training.py'
    script.write_text(TRAINING)
    places = [str(TESTS.parent / 'model'), str(TESTS / 'train'), os.environ.get('PYTHONPATH', '')]
    environment = os.environ | {'PYTHONPATH': os.pathsep.join(places), 'OMP_NUM_THREADS': '1'}
    alone, pair = [sys.executable], [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node', '2']
    start = str(TESTS / 'golden' / 'checkpoint_lite')
    for command, name, batch in ((alone, 'one', '4'), (pair, 'two', '2')):
        subprocess.run(
            [*command, str(script), start, str(tmp_path / name), batch], check=True, env=environment
        )
    one, two = (load_file(tmp_path / name / 'last' / 'model.safetensors') for name in ('one', 'two'))
    for key, weight in one.items():
        assert torch.allclose(weight, two[key], atol=1e-4), key
