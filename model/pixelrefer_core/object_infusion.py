"""Object-centric infusion (OCI): object tokens read from the local, then from the global view.

``B`` objects, ``K`` tokens, ``L`` and ``G`` features of the views, ``C`` channels.
"""

from __future__ import annotations

import torch
from torch import nn


class ObjectInfusion(nn.Module):
    """Two residual cross-attentions with a norm on the queries alone (paper, Algorithm 1)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.ln_local = nn.LayerNorm(channels)
        self.ln_global = nn.LayerNorm(channels)
        self.attention_local = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.attention_global = nn.MultiheadAttention(channels, heads, batch_first=True)

    def forward(self, tokens: torch.Tensor, local: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        """Infuse ``tokens`` (B, K, C) with ``local`` (B, L, C) and ``whole`` (B, G, C); returns (B, K, C)."""
        tokens = tokens + _attend(self.attention_local, self.ln_local(tokens), local)
        return tokens + _attend(self.attention_global, self.ln_global(tokens), whole)


def _attend(attention: nn.MultiheadAttention, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    attended: torch.Tensor = attention(queries, keys, keys, need_weights=False)[0]
    return attended
