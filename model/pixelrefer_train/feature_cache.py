"""What a frozen vision encoder has said of pictures, kept for the next time they come along.

Clips are asked about again and again in training. While the encoder learns nothing, two thirds of a step
would go into features that were there before.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import torch

from pixelrefer_core.geometry import Grid
from pixelrefer_core.preprocess import grid_of
from pixelrefer_core.types import ImageArray
from pixelrefer_core.visual_model import VisualModel

_MEGABYTE = 1 << 20


class FeatureCache:
    """Features by the pixels of their picture, float16, those used longest ago forgotten first.

    Valid for as long as the encoder's weights stay what they are.
    """

    def __init__(self, visual_model: VisualModel, limit_mb: int) -> None:
        self._visual_model, self._limit = visual_model, limit_mb * _MEGABYTE
        self._kept: OrderedDict[bytes, torch.Tensor] = OrderedDict()
        self._bytes = 0

    @property
    def megabytes(self) -> float:
        """Memory that features take."""
        return self._bytes / _MEGABYTE

    @torch.no_grad()
    def encode_pictures(self, pictures: Sequence[ImageArray]) -> tuple[torch.Tensor, list[Grid]]:
        """Return what :meth:`VisualModel.encode_pictures` does, up to float16; without gradients."""
        keys = [_key(picture) for picture in pictures]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        new = {key: picture for key, picture in zip(keys, pictures, strict=True) if key not in found}
        if new:
            features, grids = self._visual_model.encode_pictures(list(new.values()))
            parts = features.half().cpu().split([grid.cells for grid in grids])
            found |= {key: part.clone() for key, part in zip(new, parts, strict=True)}
        self._keep(found)
        weight = self._visual_model.object_tokenizer.pos_linear.weight
        joined = torch.cat([found[key].to(weight) for key in keys])  # (T, C)
        return joined, [grid_of(picture) for picture in pictures]

    def _keep(self, used: dict[bytes, torch.Tensor]) -> None:
        for key, part in used.items():
            self._bytes += part.nbytes if key not in self._kept else 0
            self._kept[key] = part
            self._kept.move_to_end(key)
        while self._bytes > self._limit:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes


def _key(picture: ImageArray) -> bytes:
    digest = hashlib.blake2b(picture.tobytes(), digest_size=16)
    digest.update(str(picture.shape).encode())
    return digest.digest()
