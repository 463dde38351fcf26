"""Attention that knows which tokens are real: the part that fusions over tokens are made of."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import check_counts


def check_heads(hidden: int, heads: int, key: str = "heads") -> None:
    """Refuse a width that the attention heads can't share equally."""
    check_counts(**{"hidden": hidden, key: heads})
    if hidden % heads:
        raise InputError(f"fusion.hidden={hidden}: must be a multiple of fusion.{key}={heads}.")


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2).

    A masked token has weight 0 exactly. Where all tokens of a sample are masked the result is 0, with gradients of 0: the masked
    scores are the least finite number, never minus infinity, whose softmax would be NaN.

    Args:
        width: H of the queries and of the result, a multiple of ``heads``.
        context: D of the tokens attended to; None takes H.
        heads: attention heads.
        dropout: share of the attention weights dropped in training.
        bias: whether queries, keys and values have a bias; the result always has.

    Shapes:
        queries [B, Q, H], context [B, N, D] (finite everywhere) and its mask [B, N] give [B, Q, H].
    """

    def __init__(self, width: int, context: int | None = None, heads: int = 4, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=bias)
        self.key_value = nn.Linear(context or width, 2 * width, bias=bias)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, context: Tensor, real: Tensor) -> Tensor:
        """Attend; see the class for shapes."""
        query = self._split(self.query(queries))  # [B, heads, Q, H / heads]
        key, value = (self._split(half) for half in self.key_value(context).chunk(2, dim=-1))  # [B, heads, N, H / heads]
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        masked = ~real[:, None, None, :]
        weights = scores.masked_fill(masked, torch.finfo(scores.dtype).min).softmax(dim=-1).masked_fill(masked, 0.0)
        mixed = self.dropout(weights) @ value
        return self.out(mixed.transpose(1, 2).flatten(2)).where(real.any(dim=1)[:, None, None], 0.0)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two layers with a GELU between, ``[..., H]`` to ``[..., H]`` by way of ``expansion * H`` units."""

    def __init__(self, width: int, expansion: int = 4, dropout: float = 0.0) -> None:
        inner = expansion * width
        super().__init__(nn.Linear(width, inner), nn.GELU(), nn.Dropout(dropout), nn.Linear(inner, width), nn.Dropout(dropout))


class SelfAttentionBlock(nn.Module):
    """Pre-norm Transformer layer: ``y = x + attention(LN(x))``, then ``y + feed_forward(LN(y))``; [B, N, H] with mask [B, N] to [B, N, H]."""

    def __init__(self, width: int, heads: int = 4, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads, dropout=dropout, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = FeedForward(width, dropout=dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Apply the layer."""
        normed = self.norm1(x)
        x = x + self.dropout(self.attention(normed, normed, real))
        return x + self.feed_forward(self.norm2(x))
