"""Training multiplies in the precision that is the faster here, unless a recipe names one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pixelrefer_core.errors import ModelError
from pixelrefer_train.precision import choose_precision

CPU = torch.device('cpu')
FLAGS = Path('/proc/cpuinfo')


def test_a_named_precision_is_taken():
    assert choose_precision('bfloat16', CPU) == torch.bfloat16
    assert choose_precision('float32', CPU) == torch.float32


def test_an_unknown_one_is_refused():
    with pytest.raises(ModelError, match="got 'int8'"):
        choose_precision('int8', CPU)


def test_a_processor_trains_in_bfloat16_if_it_has_products_of_it():
    flags = FLAGS.read_text().split() if FLAGS.exists() else []
    if 'avx2' not in flags or ('avx512f' in flags and 'avx512_bf16' not in flags):
        pytest.skip('only for processors of the kinds avx2 and avx512_bf16 is it known what is faster')
    expected = torch.bfloat16 if 'avx512_bf16' in flags else torch.float32
    assert choose_precision('auto', CPU) == expected
