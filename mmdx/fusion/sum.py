"""Sum: each modality adds to one shared representation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled, stack_presence
from mmdx.types import Features, FusionOutput


class Sum(nn.Module):
    """Additive fusion: ``h = gelu(sum_m present_m * W_m LN(x_m) + b)`` (Baltrusaitis et al. 2019, IEEE TPAMI 41:423, section 6.1).

    An absent modality adds nothing, so the sum needs no stand-in for it.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width.
        hidden: the fused width H.
        dropout: share of the fused units dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K].
    """

    method = Method("simple", "Baltrusaitis et al. 2019, IEEE TPAMI 41:423")

    def __init__(self, widths: Mapping[str, int], head: Callable[[int], nn.Module], hidden: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.project = nn.ModuleDict(
            {m: nn.Sequential(nn.LayerNorm(widths[m]), nn.Linear(widths[m], hidden, bias=False)) for m in self.modalities}
        )
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.activate = nn.Sequential(nn.GELU(), nn.Dropout(dropout))
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        parts = torch.stack([self.project[m](x[m]) for m in self.modalities], dim=1)  # [B, M, H]
        here = stack_presence(present, self.modalities)[:, :, None]  # [B, M, 1]
        return FusionOutput(self.head(self.activate(parts.where(here, 0.0).sum(dim=1) + self.bias)))
