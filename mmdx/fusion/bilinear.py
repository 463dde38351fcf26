"""Bilinear pooling: all products of two modalities' features, for each pair of modalities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled
from mmdx.fusion.power import power_normalise
from mmdx.types import Features, FusionOutput


class BilinearPooling(nn.Module):
    """Full bilinear pooling of projected features (Lin et al. 2015, arXiv:1504.07889; of two modalities as the full bilinear baseline of Fukui et al.
    2016, arXiv:1606.01847), pairwise for more than two, beside linear terms.

    ``h = dropout(gelu(b + sum_m A_m p_m + sum_{m<n} B_mn norm(vec(p_m p_n^T))))`` with ``p_m = P_m LN(x_m)`` and power normalisation, the
    signed square root and then the length. Where m is absent, its linear term and its pairs are 0.

    Deviations: linear terms, so that something is left of a modality alone; a hidden layer before the head; the normalisation scales to a mean
    square of 1, with ``epsilon`` in the roots.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width.
        hidden: the fused width H.
        rank: R, the width of each projection; a pair has R * R products.
        epsilon: what is added under the roots, which keeps their slope at 0 finite.
        dropout: share of the fused units dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K].

    Raises:
        InputError: where rank or epsilon isn't above 0.
    """

    method = Method("multiplicative", "Lin et al. 2015, arXiv:1504.07889")

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 128,
        rank: int = 32,
        epsilon: float = 1e-4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        if rank < 1:
            raise InputError(f"fusion.rank={rank}: must be a whole number above 0, the width of each modality's projection.")
        if not epsilon > 0:
            raise InputError(f"fusion.epsilon={epsilon}: must be above 0, as in 1e-4; it keeps the square root's slope at 0 finite.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.epsilon = epsilon
        self.project = nn.ModuleDict({m: nn.Sequential(nn.LayerNorm(widths[m]), nn.Linear(widths[m], rank)) for m in self.modalities})
        self.linear = nn.ModuleDict({m: nn.Linear(rank, hidden, bias=False) for m in self.modalities})
        self.pair = nn.ModuleDict({f"{m}+{n}": nn.Linear(rank * rank, hidden, bias=False) for m, n in combinations(self.modalities, 2)})
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.activate = nn.Sequential(nn.GELU(), nn.Dropout(dropout))
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        p = {m: self.project[m](x[m]).where(present[m][:, None], 0.0) for m in self.modalities}  # [B, R] each
        terms = [self.linear[m](p[m]) for m in self.modalities]
        for m, n in combinations(self.modalities, 2):
            products = (p[m][:, :, None] * p[n][:, None, :]).flatten(1)  # [B, R * R]
            terms.append(self.pair[f"{m}+{n}"](power_normalise(products, self.epsilon)))
        return FusionOutput(self.head(self.activate(torch.stack(terms).sum(dim=0) + self.bias)))
