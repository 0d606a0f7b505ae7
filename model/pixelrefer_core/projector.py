"""From the vision encoder's width ``C`` to the language model's width ``D``."""

from __future__ import annotations

import torch
from torch import nn


class Projector(nn.Sequential):
    """Two linear layers around an exact (erf) GELU; one projects objects, another one scene features."""

    def __init__(self, channels: int, hidden_size: int) -> None:
        super().__init__(nn.Linear(channels, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Project (..., C) to (..., D)."""
        for layer in self:
            features = layer(features)
        return features
