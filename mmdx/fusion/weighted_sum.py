"""Weighted sum: how much each modality counts is learned, and is the same for every sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled, stack_presence
from mmdx.types import Features, FusionOutput


class WeightedSum(nn.Module):
    """Learned scalar mixture (Peters et al. 2018, arXiv:1802.05365, eq. 1), of modalities: ``h = gelu(sum_m w_m (W_m LN(x_m) + b_m))`` with
    ``w = softmax(a)`` over the modalities present and one learned number ``a_m`` a modality.

    Deviations: the paper mixes the layers of one network, here the projected modalities are mixed; its overall factor gamma is left to the
    projections, which can take any scale; absent modalities leave the softmax, so that the weights of the present ones sum to 1.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width.
        hidden: the fused width H.
        dropout: share of the fused units dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K] and ``weights[m]`` [B], which sum to 1 over modalities
        and are 0 where m is absent.
    """

    method = Method("simple", "Peters et al. 2018, arXiv:1802.05365")

    def __init__(self, widths: Mapping[str, int], head: Callable[[int], nn.Module], hidden: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.project = nn.ModuleDict({m: nn.Sequential(nn.LayerNorm(widths[m]), nn.Linear(widths[m], hidden)) for m in self.modalities})
        self.score = nn.Parameter(torch.zeros(len(self.modalities)))  # a_m, modalities in alphabetical order
        self.activate = nn.Sequential(nn.GELU(), nn.Dropout(dropout))
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        parts = torch.stack([self.project[m](x[m]) for m in self.modalities], dim=1)  # [B, M, H]
        here = stack_presence(present, self.modalities)  # [B, M]
        shares = torch.where(here, self.score, -torch.inf).softmax(dim=1)  # [B, M]
        fused = (shares[:, :, None] * parts).sum(dim=1)
        return FusionOutput(self.head(self.activate(fused)), weights=dict(zip(self.modalities, shares.unbind(dim=1), strict=True)))
