"""A checkpoint written again in half precision is the same model."""

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from pixelrefer_core.checkpoint import load_model

GOLDEN = Path(__file__).parents[1] / 'golden' / 'checkpoint_lite'
MODEL = Path(__file__).parents[2] / 'model'


def export(*arguments):
    return subprocess.run(
        [sys.executable, '-m', 'pixelrefer_train.export', *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={'PYTHONPATH': str(MODEL), 'PATH': ''},
    )


def test_half_precision_rounds_and_changes_nothing_else(tmp_path):
    done = export(str(GOLDEN), str(tmp_path / 'half'))
    assert done.returncode == 0, done.stderr
    stored = load_file(tmp_path / 'half' / 'model.safetensors')
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    before = load_model(str(GOLDEN), device='cpu', dtype='float32').state_dict()
    after = load_model(str(tmp_path / 'half'), device='cpu', dtype='float32').state_dict()
    assert before.keys() == after.keys()
    for name, weight in before.items():
        assert torch.equal(after[name], weight.half().float()), name


def test_what_is_no_checkpoint_is_named(tmp_path):
    done = export(str(tmp_path), str(tmp_path / 'half'))
    assert done.returncode == 1
    assert done.stderr.startswith('export: ')
    assert str(tmp_path) in done.stderr
