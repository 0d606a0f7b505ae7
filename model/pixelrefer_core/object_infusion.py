"""Object-centric infusion (OCI): object tokens read from the local, then from the global view.

``B`` objects, ``K`` tokens, ``P`` views (objects of one frame share the global one), ``L`` features of a view,
``C`` channels, ``H`` heads.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class ObjectInfusion(nn.Module):
    """Two residual cross-attentions with a norm on the queries alone (paper, Algorithm 1)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.ln_local = nn.LayerNorm(channels)
        self.ln_global = nn.LayerNorm(channels)
        self.attention_local = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.attention_global = nn.MultiheadAttention(channels, heads, batch_first=True)

    def forward(
        self,
        tokens: torch.Tensor,
        local: torch.Tensor,
        whole: torch.Tensor,
        local_of: torch.Tensor,
        whole_of: torch.Tensor,
    ) -> torch.Tensor:
        """Infuse ``tokens`` (B, K, C) with ``local`` and ``whole``, each (P, L, C); returns (B, K, C).

        ``local_of``, ``whole_of``: int64 (B), which view is each object's.
        """
        tokens = tokens + _attend(self.attention_local, self.ln_local(tokens), local, local_of)
        return tokens + _attend(self.attention_global, self.ln_global(tokens), whole, whole_of)


def _attend(
    attention: nn.MultiheadAttention, queries: torch.Tensor, views: torch.Tensor, view_of: torch.Tensor
) -> torch.Tensor:
    """Attend from ``queries`` (B, K, C) to the view of each; keys and values are made once a view."""
    weight, bias, channels = attention.in_proj_weight, attention.in_proj_bias, attention.embed_dim

    def heads(features: torch.Tensor) -> torch.Tensor:
        return features.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)

    asked = heads(functional.linear(queries, weight[:channels], bias[:channels]))  # (B, H, K, C / H)
    made = functional.linear(views, weight[channels:], bias[channels:])  # (P, L, 2 C)
    keys, values = (heads(part)[view_of] for part in made.chunk(2, dim=-1))  # (B, H, L, C / H)
    attended = functional.scaled_dot_product_attention(asked, keys, values)
    result: torch.Tensor = attention.out_proj(attended.transpose(1, 2).flatten(2))
    return result
