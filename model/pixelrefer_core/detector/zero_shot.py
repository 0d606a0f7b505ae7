"""Open-vocabulary detectors of transformers: OWLv2, OWL-ViT, Grounding DINO."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from ..device import memory_guard
from ..types import Detection, Frame
from .boxes import to_corners, to_detections
from .pixels import PixelRecipe
from .reading import Reader
from .words import checked_words


class ZeroShotDetector:
    """A network that gives boxes and scores for words; pictures, words and boxes are handled here."""

    def __init__(self, name: str, network: PreTrainedModel, reader: Reader, recipe: PixelRecipe) -> None:
        self.name = name
        self._network = network
        self._reader = reader
        self._recipe = recipe

    @torch.inference_mode()
    def detect(self, frame: Frame, words: Sequence[str], *, threshold: float) -> list[Detection]:
        """Look for the words; see :meth:`Detector.detect`.

        Raises :class:`InvalidPromptError` for words that it cannot read, and :class:`DeviceOutOfMemoryError`.
        """
        words = checked_words(words)
        reading = self._reader.read(words)
        device, dtype = self._network.device, self._network.dtype
        with memory_guard():
            pixels = self._recipe.to_pixels(frame.image, device, dtype)
            inputs = {name: tensor.to(device) for name, tensor in reading.inputs.items()}
            output = self._network(pixel_values=pixels, **inputs)
            scores, labels = self._reader.rate(output.logits[0], reading)
            boxes = output.pred_boxes[0].float()
        corners = to_corners(
            boxes.cpu().numpy(),
            self._recipe.unit_of(frame.image),
            height=frame.height,
            width=frame.width,
        )
        return to_detections(scores.cpu().numpy(), labels.cpu().numpy(), corners, words, threshold=threshold)
