"""Writes a checkpoint again in another precision, in the official layout; what is shipped is made so.

python -m pixelrefer_train.export RUN/best OUTPUT --dtype float16
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pixelrefer_core.checkpoint import load_model, save_pretrained
from pixelrefer_core.errors import PixelReferError


def main() -> int:
    """Convert; returns 1 for a checkpoint that does not load."""
    parser = argparse.ArgumentParser(prog='python -m pixelrefer_train.export', description=__doc__)
    parser.add_argument('checkpoint', help='folder or cached hub repository')
    parser.add_argument('output', type=Path)
    parser.add_argument('--dtype', choices=('float16', 'bfloat16', 'float32'), default='float16')
    options = parser.parse_args()
    try:
        model = load_model(options.checkpoint, device='cpu', dtype=options.dtype)
    except PixelReferError as error:
        print(f'export: {error}', file=sys.stderr)
        return 1
    save_pretrained(model, options.output)
    size = sum(file.stat().st_size for file in options.output.rglob('*') if file.is_file())
    print(f'{options.output}: {model.info.parameters / 1e6:.2f} M parameters, {size / 1e6:.1f} MB')
    return 0


if __name__ == '__main__':
    sys.exit(main())
