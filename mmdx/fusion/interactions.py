"""Multiplicative interactions: each modality's features make the weights with which another's are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled
from mmdx.types import Features, FusionOutput


class MultiplicativeInteractions(nn.Module):
    """Multiplicative interaction layer (Jayakumar et al. 2020, ICLR, openreview.net/forum?id=rylnK6VtDH), pairwise for more than two
    modalities.

    ``h = dropout(gelu(b + sum_m V_m x_m + sum_{m<n} x_m^T W_mn x_n))`` on layer-normalised features: for two modalities z and x the paper's
    ``z^T W x + U z + V x + b``. Its W [D_m, D_n, H] is too large for wide features and is here of Tucker form, ``P_m^T W' P_n`` with
    projections P_m [R, D_m]; with R = D_m it can be any W. Where m is absent, its linear term and its pairs are 0.

    Deviations: features are layer-normed first; W as above; GELU and dropout, the layer being followed by the head.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width.
        hidden: the fused width H.
        rank: R, the width to which features are projected for their products.
        dropout: share of the fused units dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K].

    Raises:
        InputError: where the rank is below 1.
    """

    method = Method("multiplicative", "Jayakumar et al. 2020, ICLR")

    def __init__(
        self, widths: Mapping[str, int], head: Callable[[int], nn.Module], hidden: int = 128, rank: int = 32, dropout: float = 0.1
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        if rank < 1:
            raise InputError(f"fusion.rank={rank}: must be a whole number above 0, the width to which features are projected for their products.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        pairs = list(combinations(self.modalities, 2))
        paired = self.modalities if pairs else []  # a modality alone has no product, and so no projection for one
        self.norm = nn.ModuleDict({m: nn.LayerNorm(widths[m]) for m in self.modalities})
        self.linear = nn.ModuleDict({m: nn.Linear(widths[m], hidden, bias=False) for m in self.modalities})
        self.project = nn.ModuleDict({m: nn.Linear(widths[m], rank, bias=False) for m in paired})
        self.pair = nn.ModuleDict({f"{m}+{n}": nn.Linear(rank * rank, hidden, bias=False) for m, n in pairs})
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.activate = nn.Sequential(nn.GELU(), nn.Dropout(dropout))
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        pooled = present_pooled(features, present, self.widths)
        x = {m: self.norm[m](pooled[m]).where(present[m][:, None], 0.0) for m in self.modalities}  # [B, D_m]
        p = {m: project(x[m]) for m, project in self.project.items()}  # [B, R] each
        terms = [self.linear[m](x[m]) for m in self.modalities]
        for m, n in combinations(self.modalities, 2):
            products = (p[m][:, :, None] * p[n][:, None, :]).flatten(1)  # [B, R * R]
            terms.append(self.pair[f"{m}+{n}"](products))
        return FusionOutput(self.head(self.activate(torch.stack(terms).sum(dim=0) + self.bias)))
