"""Late fusion: each modality decides for itself, and the decisions are averaged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.fusion.base import Method, modality_names, present_pooled, stack_presence
from mmdx.types import Features, FusionOutput


class MeanOfLogits(nn.Module):
    """Decision-level fusion: the mean of the present modalities' logits, ``sum_m present_m * head_m(x_m) / sum_m present_m``
    (the mean rule on log-odds; Kittler et al. 1998, IEEE TPAMI 20:226, has it on probabilities).

    Args:
        widths: D_m, the width of each modality's features.
        head: makes one output layer a modality from its width.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K], ``per_modality[m]`` [B, K] (0 where m is
        absent) and ``weights[m]`` [B], the share of each present modality.
    """

    method = Method("decision", "Kittler et al. 1998, IEEE TPAMI 20:226", absence="design")

    def __init__(self, widths: Mapping[str, int], head: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.heads = nn.ModuleDict({m: head(widths[m]) for m in self.modalities})

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        here = stack_presence(present, self.modalities)  # [B, M]
        votes = torch.stack([self.heads[m](x[m]) for m in self.modalities], dim=1)  # [B, M, K]
        votes = votes.where(here[:, :, None], 0.0)
        shares = here / here.sum(dim=1, keepdim=True)  # [B, M]
        return FusionOutput(
            (shares[:, :, None] * votes).sum(dim=1),
            per_modality=dict(zip(self.modalities, votes.unbind(dim=1), strict=True)),
            weights=dict(zip(self.modalities, shares.unbind(dim=1), strict=True)),
        )


class SumOfLogits(nn.Module):
    """Decision-level fusion by the product rule: ``sum_m present_m * (W_m x_m / sqrt(D_m) + b_m)``, the log-odds of a product of the
    modalities' posteriors where these are independent given the class (Kittler et al. 1998, IEEE TPAMI 20:226), without the
    rule's division by the prior, which ``ProductOfPosteriors`` has.

    Dividing by the root of the width gives each modality the same say under weight decay, however wide its features are. With frozen,
    standardised features it is logistic regression on their concatenation so scaled.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes one output layer a modality from its width.
        informative_absence: add ``A (1 - present)``, what the absence of each modality says by itself, as the missing-indicator method
            does (Rubin 1976, Biometrika 63:581, on when absence may be ignored). Without it an absent modality adds nothing.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K] and ``per_modality[m]`` [B, K], 0 where m is absent.
    """

    method = Method("decision", "Kittler et al. 1998, IEEE TPAMI 20:226", absence="design")

    def __init__(self, widths: Mapping[str, int], head: Callable[[int], nn.Module], informative_absence: bool = False) -> None:
        super().__init__()
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.heads = nn.ModuleDict({m: head(widths[m]) for m in self.modalities})
        self.absence = head(len(self.modalities)) if informative_absence else None

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        votes = {m: self.heads[m](x[m] / math.sqrt(self.widths[m])).where(present[m][:, None], 0.0) for m in self.modalities}
        logits = torch.stack([votes[m] for m in self.modalities]).sum(dim=0)
        if self.absence is not None:
            absent = ~stack_presence(present, self.modalities)  # [B, M]
            logits = logits + self.absence(absent.to(logits.dtype))
        return FusionOutput(logits, per_modality=votes)
