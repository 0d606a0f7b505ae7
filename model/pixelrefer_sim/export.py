"""Writes questions about rendered clips in PixelRefer's own data format, for other programs to train on.

python -m pixelrefer_sim.export --clips DIR --output DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pixelrefer_train.official_json import write_samples

from .samples import open_source


def export(
    clips: Path, output: Path, *, stage: int = 2, epochs: int = 1, limit: int = 0, seed: int = 0
) -> Path:
    """Write ``epochs`` samples of each clip, exact masks and plain pictures; returns the file of records.

    Raises :class:`InvalidRequestError` when there are no clips.
    """
    source = open_source(str(clips), stage=stage, exact_masks=1.0, plain_pictures=1.0, limit=limit, seed=seed)
    samples = (source.sample(index, epoch) for epoch in range(epochs) for index in range(len(source)))
    return write_samples(samples, output)


def main() -> None:
    """Export a folder of clips."""
    parser = argparse.ArgumentParser(prog='python -m pixelrefer_sim.export', description=__doc__)
    parser.add_argument('--clips', type=Path, required=True, metavar='DIR', help='folder of rendered clips')
    parser.add_argument('--output', type=Path, required=True, metavar='DIR')
    parser.add_argument(
        '--stage', type=int, choices=(1, 2), default=2, help='the stage of training it is for'
    )
    parser.add_argument('--epochs', type=int, default=1, help='samples of each clip')
    parser.add_argument('--limit', type=int, default=0, help='only the first so many clips')
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    print(
        export(
            options.clips,
            options.output,
            stage=options.stage,
            epochs=options.epochs,
            limit=options.limit,
            seed=options.seed,
        )
    )


if __name__ == '__main__':
    main()
