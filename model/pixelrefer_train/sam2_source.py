"""An endless supply of batches; which ones a step gets depends on its number alone, as long as no clip is added."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pixelrefer_core.errors import InvalidRequestError

from .sam2_batches import ClipBatch, Cut, Piece, cut_piece, make_batch
from .sam2_clips import MaskClip, RenderedClip, find_clips
from .sam2_drawn import DrawnClip
from .sam2_recipe import Sam2Stage

# Steps after which the folders are looked through for new clips.
LOOK_AGAIN = 200
SHORTEST_CLIP = 4
# A piece without anything to point at is replaced; so many in a row mean that the clips show nothing.
PATIENCE = 100


class BatchSource:
    """Draws clips, rendered and drawn, in the proportion that a stage asks for."""

    def __init__(self, roots: list[Path], seed: int) -> None:
        self._roots, self._seed = roots, seed
        self._rendered: list[RenderedClip] = []
        self._looked = -1

    def batch(self, stage: Sam2Stage, step: int) -> ClipBatch:
        """Return the batch of a step (counted over all stages). Raises :class:`InvalidRequestError` for no clips."""
        self._look(step)
        random = np.random.default_rng((self._seed, step))
        frames = int(random.integers(min(SHORTEST_CLIP, stage.frames), stage.frames + 1))
        cut = Cut(stage.image_size, stage.zoom, frames, stage.objects)
        return make_batch([self._piece(stage, cut, random) for _ in range(stage.batch)])

    def _piece(self, stage: Sam2Stage, cut: Cut, random: np.random.Generator) -> Piece:
        for _ in range(PATIENCE):
            piece = cut_piece(self._clip(stage, cut, random), cut, random)
            if piece is not None:
                return piece
        raise InvalidRequestError(f'none of {PATIENCE} clips shows an object that could be pointed at')

    def _clip(self, stage: Sam2Stage, cut: Cut, random: np.random.Generator) -> MaskClip:
        if random.random() < stage.drawn:
            return DrawnClip(int(random.integers(1 << 62)))
        if not self._rendered:
            raise InvalidRequestError(f'no rendered clip below {", ".join(map(str, self._roots))}')
        while True:
            clip = self._rendered[int(random.integers(len(self._rendered)))]
            # A still is no clip to track through.
            if clip.frames >= cut.frames:
                return clip

    def _look(self, step: int) -> None:
        if self._looked < 0 or step - self._looked >= LOOK_AGAIN:
            known = {clip.folder: clip for clip in self._rendered}
            found = find_clips(self._roots, validation=False)
            # Known ones keep the records that they have read.
            self._rendered = [known.get(clip.folder, clip) for clip in found]
            self._looked = step
