"""Weighted late fusion: the decisions are averaged, and how much each modality counts is learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.fusion.base import Method, modality_names, present_pooled, stack_presence
from mmdx.fusion.decision import by_modality, own_logits
from mmdx.types import Features, FusionOutput


class WeightedMeanOfLogits(nn.Module):
    """Weighted mean of the modalities' logits, ``sum_m w_m head_m(x_m)`` with ``w = softmax(a)`` over the modalities present: a linear combiner
    with one weight a classifier, at least 0 and summing to 1 (Fumera & Roli 2005, IEEE TPAMI 27:942).

    The weights begin equal, where it is the mean of logits. What an absent modality would have weighed goes to those present, in proportion.

    Deviations: logits are averaged, the paper averages posteriors; weights and classifiers are learned together, the paper finds the weights
    for classifiers that are given.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes one output layer a modality from its width.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K], ``per_modality[m]`` [B, K] (0 where m is absent) and
        ``weights[m]`` [B], which sum to 1 over the modalities present.
    """

    method = Method("decision", "Fumera & Roli 2005, IEEE TPAMI 27:942", absence="design")

    def __init__(self, widths: Mapping[str, int], head: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.heads = nn.ModuleDict({m: head(widths[m]) for m in self.modalities})
        self.importance = nn.ParameterDict({m: nn.Parameter(torch.zeros(())) for m in self.modalities})

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        here = stack_presence(present, self.modalities)  # [B, M]
        votes = own_logits(self.heads, x, here)  # [B, M, K]
        importance = torch.stack([self.importance[m] for m in self.modalities])  # [M]
        shares = importance.expand(here.shape).masked_fill(~here, -torch.inf).softmax(dim=1)  # [B, M]
        logits = (shares[:, :, None] * votes).sum(dim=1)
        return FusionOutput(logits, by_modality(votes, self.modalities), by_modality(shares, self.modalities))
