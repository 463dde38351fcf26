"""Low-rank fusion: tensor fusion whose weights are a sum of rank-one terms, so that the tensor is never made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled
from mmdx.types import Features, FusionOutput


class LowRankFusion(nn.Module):
    """Low-rank Multimodal Fusion (Liu et al. 2018, arXiv:1806.00064, section 3.2, eq. 8), for any number of modalities.

    ``h = b + sum_r prod_m W_m^r [z_m; 1]``, elementwise products of R terms of width H with ``z_m = LN(x_m)``: what a linear layer makes of the
    outer product of all ``[z_m; 1]`` where its weights have rank R, at a cost that grows with the sum and not the product of the widths.
    Where m is absent, z_m is 0 and the constant's weights alone stand in the product.

    Deviations: the encoders and a layer norm stand for the paper's embedding networks; the constants' weights start at a standard deviation of
    0.8, at which a factor has a variance of 1, instead of near 0, where the product would hold next to nothing without every modality.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width.
        hidden: the fused width H.
        rank: R, the number of terms.
        dropout: share of the fused units dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K].

    Raises:
        InputError: where the rank is below 1.
    """

    method = Method("multiplicative", "Liu et al. 2018, arXiv:1806.00064")

    def __init__(
        self, widths: Mapping[str, int], head: Callable[[int], nn.Module], hidden: int = 128, rank: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        if rank < 1:
            raise InputError(f"fusion.rank={rank}: must be a whole number above 0, the number of terms.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.rank = rank
        self.norm = nn.ModuleDict({m: nn.LayerNorm(widths[m]) for m in self.modalities})
        self.factor = nn.ModuleDict({m: _factor(widths[m], rank * hidden) for m in self.modalities})
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.dropout = nn.Dropout(dropout)
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        factors = [self.factor[m](self.norm[m](x[m]).where(present[m][:, None], 0.0)) for m in self.modalities]
        product = reduce(torch.mul, factors)  # [B, R * H]
        terms = product.unflatten(1, (self.rank, -1))  # [B, R, H]
        return FusionOutput(self.head(self.dropout(terms.sum(dim=1) + self.bias)))


def _factor(width: int, outputs: int) -> nn.Linear:
    """One modality's weights in every term; the linear layer's bias holds those of the constant."""
    layer = nn.Linear(width, outputs)
    nn.init.normal_(layer.bias, std=0.8)
    return layer
