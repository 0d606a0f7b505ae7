"""The small trained models that come with the package: by name, wherever the package is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from .errors import ModelError

# What ``model.path`` and ``tracker.path`` call them.
NANO = 'nano'
Shipped = Literal['pixelrefer_lite_nano', 'sam2_nano']
NANO_NOTE = (
    'the shipped nano weights were trained on simulated tabletops only: expect little of them elsewhere'
)


def shipped_folder(name: Shipped, package: Path | None = None) -> Path:
    """Return the folder of a model that comes with the package.

    ``package``: where this package lies, None = here. In the source tree the weights lie beside it; pip and colcon
    put them under the same prefix, into ``share/``. Raises :class:`ModelError` when they are not there.
    """
    # With colcon --symlink-install the modules are links: the prefix that they stand in counts first.
    packages = [package] if package else [Path(__file__).parent, Path(__file__).resolve().parent]
    for folder in (place for one in packages for place in _places(one)):
        if (folder / name / 'config.json').is_file():
            return folder / name
    raise ModelError(
        f'the nano weights ({name}) did not come with this copy of the package in {packages[0]}: install it from a '
        'complete checkout, or name a checkpoint folder, a hub repository, or random-nano'
    )


def _places(package: Path) -> Iterator[Path]:
    yield package.parent / 'weights' / NANO
    for prefix in package.parents:
        yield prefix / 'share' / 'pixelrefer_ros' / 'weights' / NANO
