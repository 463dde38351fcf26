"""Gated fusion: how much each modality counts is decided, unit by unit, from all modalities together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled, stack_presence
from mmdx.types import Features, FusionOutput


class GatedMultimodalUnit(nn.Module):
    """Gated multimodal unit (Arevalo et al. 2017, arXiv:1702.01992, section 3.1), for any number of modalities.

    Candidates ``h_m = tanh(W_m x_m)`` are mixed by gates ``softmax_m(V_m [x_1; ...; x_M])``, unit by unit, the softmax
    running over the modalities present. For two modalities the softmax is a sigmoid of the difference of the gate
    logits, which is the paper's ``z * h_1 + (1 - z) * h_2``.

    Deviations: for more than two modalities the paper's unit (figure 2a) has a sigmoid gate for each, which need not sum
    to 1.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width.
        hidden: the fused width H.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K] and ``weights[m]`` [B], the mean
        gate of modality m: they sum to 1 over modalities and are 0 where m is absent.
    """

    method = Method("simple", "Arevalo et al. 2017, arXiv:1702.01992")

    def __init__(self, widths: Mapping[str, int], head: Callable[[int], nn.Module], hidden: int = 128) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        joint = sum(self.widths.values())
        self.candidate = nn.ModuleDict({m: nn.Linear(self.widths[m], hidden) for m in self.modalities})
        self.gate = nn.ModuleDict({m: nn.Linear(joint, hidden) for m in self.modalities})
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        joint = torch.cat([x[m] for m in self.modalities], dim=-1)  # [B, sum of D_m]
        candidates = torch.stack([self.candidate[m](x[m]).tanh() for m in self.modalities], dim=1)  # [B, M, H]
        here = stack_presence(present, self.modalities)[:, :, None]  # [B, M, 1]
        logits = torch.stack([self.gate[m](joint) for m in self.modalities], dim=1)  # [B, M, H]
        gates = logits.masked_fill(~here, -torch.inf).softmax(dim=1)
        weights = dict(zip(self.modalities, gates.mean(dim=-1).unbind(dim=1), strict=True))
        return FusionOutput(self.head((gates * candidates).sum(dim=1)), weights=weights)
