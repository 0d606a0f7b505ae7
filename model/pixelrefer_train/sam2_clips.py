"""Where masks to learn from come from: rendered clips on disk, behind one small protocol."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from pixelrefer_core.errors import InvalidImageError
from pixelrefer_sim.record import HEIGHT, WIDTH, ClipRecord, load_record

from .mask_coding import decode_mask

# One rendered clip in so many is kept for choosing the best checkpoint; told by its seed, so that the choice
# stays the same when clips are added.
VALIDATION_EVERY = 16

Picture = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]


class MaskClip(Protocol):
    """A short video whose objects are all annotated."""

    @property
    def frames(self) -> int:
        """How many frames there are."""
        ...

    def read(self, index: int) -> tuple[Picture, Masks]:
        """Return a frame, RGB uint8 (H, W, 3), and its objects' masks, bool (N, H, W); N never changes."""
        ...


@dataclass(frozen=True)
class RenderedClip:
    """A clip of the simulated tabletop, read from its folder when it is asked for."""

    folder: Path

    @cached_property
    def record(self) -> ClipRecord:
        """The truth about the clip."""
        return load_record(self.folder)

    @property
    def frames(self) -> int:
        """See :meth:`MaskClip.frames`."""
        return len(self.record.masks)

    def read(self, index: int) -> tuple[Picture, Masks]:
        """See :meth:`MaskClip.read`. Raises :class:`InvalidImageError` when the picture cannot be read."""
        path = self.folder / 'frames' / f'{index:05d}.jpg'
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if picture is None:
            raise InvalidImageError(f'cannot read the picture {path}')
        masks = np.zeros((len(self.record.objects), HEIGHT, WIDTH), np.bool_)
        for mask, counts in zip(masks, self.record.masks[index], strict=True):
            if counts:
                mask[:] = decode_mask({'size': [HEIGHT, WIDTH], 'counts': counts}, HEIGHT, WIDTH)
        return np.asarray(picture, np.uint8), masks


def find_clips(roots: list[Path], *, validation: bool) -> list[RenderedClip]:
    """Return the complete clips below ``roots``, in order of their seeds; those for validation, or the others.

    A clip that is still being rendered has no record yet and is left out.
    """
    folders = [record.parent for root in roots for record in root.glob('*/clip.json')]
    chosen = [folder for folder in folders if (int(folder.name) % VALIDATION_EVERY == 0) == validation]
    return [RenderedClip(folder) for folder in sorted(chosen, key=lambda folder: int(folder.name))]
