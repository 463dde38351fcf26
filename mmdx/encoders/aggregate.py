"""From the tokens of a bag's items (windows of a recording, views of an examination) to one token for the sample."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.types import Features


class MeanItems(nn.Module):
    """Mean of the real tokens.

    Args:
        width: D, the width of the tokens.

    Shapes:
        ``Features`` of N tokens a sample give ``Features`` of one, zero and masked where a sample has none.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = _checked(width, "width")

    def forward(self, features: Features) -> Features:
        """Pool; see the class for shapes."""
        return _one_token(features.pooled, features.mask)


class MaxItems(nn.Module):
    """Greatest value of each feature over the real tokens.

    Args:
        width: D, the width of the tokens.

    Shapes:
        ``Features`` of N tokens a sample give ``Features`` of one, zero and masked where a sample has none.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = _checked(width, "width")

    def forward(self, features: Features) -> Features:
        """Pool; see the class for shapes."""
        lowest = torch.finfo(features.tokens.dtype).min
        return _one_token(features.tokens.masked_fill(~features.mask[:, :, None], lowest).amax(dim=1), features.mask)


class AttentionItems(nn.Module):
    """Attention-based pooling of a bag (Ilse, Tomczak & Welling 2018, arXiv:1802.04712, equations 7 and 8).

    ``z = sum_k a_k h_k`` with ``a_k = softmax_k(w^T tanh(V h_k^T))``, over the real tokens only.

    Args:
        width: D, the width of the tokens.
        hidden: L, rows of V.

    Shapes:
        ``Features`` of N tokens a sample give ``Features`` of one, zero and masked where a sample has none.
    """

    def __init__(self, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.width = _checked(width, "width")
        self.score = nn.Sequential(
            nn.Linear(width, _checked(hidden, "hidden"), bias=False), nn.Tanh(), nn.Linear(hidden, 1, bias=False)
        )

    def weights(self, features: Features) -> Tensor:
        """Attention a_k [B, N]: sums to 1 over the real tokens, zero elsewhere."""
        tokens = features.tokens.where(features.mask[:, :, None], 0.0)
        scores = self.score(tokens).squeeze(-1).masked_fill(~features.mask, torch.finfo(features.tokens.dtype).min)
        return scores.softmax(dim=1).where(features.mask, 0.0)

    def forward(self, features: Features) -> Features:
        """Pool; see the class for shapes."""
        tokens = features.tokens.where(features.mask[:, :, None], 0.0)
        return _one_token((self.weights(features)[:, :, None] * tokens).sum(dim=1), features.mask)


def _one_token(pooled: Tensor, mask: Tensor) -> Features:
    any_real = mask.any(dim=1, keepdim=True)  # [B, 1]
    return Features(pooled.where(any_real, 0.0)[:, None], any_real)


def _checked(value: int, name: str) -> int:
    if value < 1:
        raise InputError(f"aggregate.{name}={value}: must be at least 1.")
    return value
