"""EmbraceNet: each unit of the fused vector comes from one modality, drawn among those present."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled, stack_presence
from mmdx.types import Features, FusionOutput


class EmbraceNet(nn.Module):
    """EmbraceNet (Choi & Lee 2019, Information Fusion 51:259, arXiv:1904.09078), for any number of modalities.

    Docking layers ``d_m = relu(W_m x_m + b_m)`` bring all modalities to one width. The fused vector is ``e = sum_m r_m * d_m``, where for
    each unit ``(r_1, ..., r_M)`` is one draw from a multinomial with probabilities ``p_m``: the same for each modality present, 0 for one
    that is absent. No unit ever comes from an absent modality, and since any unit may come from any of the others, training itself prepares
    for absence.

    Deviations: the paper draws in evaluation too; here evaluation takes the expectation ``sum_m p_m d_m``, so that it is deterministic. The
    head stands for the terminal network; with a linear one, as mmdx's tasks make it, logits in evaluation are a sum over modalities of what each
    says. The paper's further modality dropout in training is left to the training settings.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width.
        hidden: the width H of the docking layers and of the fused vector.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K] and ``weights[m]`` [B], the probabilities p_m.
    """

    method = Method("missing", "Choi & Lee 2019, arXiv:1904.09078", absence="design")

    def __init__(self, widths: Mapping[str, int], head: Callable[[int], nn.Module], hidden: int = 128) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.docking = nn.ModuleDict({m: nn.Sequential(nn.Linear(self.widths[m], hidden), nn.ReLU()) for m in self.modalities})
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        docked = torch.stack([self.docking[m](x[m]) for m in self.modalities], dim=1)  # [B, M, H]
        here = stack_presence(present, self.modalities)  # [B, M]
        count = here.sum(dim=1, keepdim=True)  # [B, 1]
        shares = here / count
        if self.training:
            order = here.cumsum(dim=1)  # the present modalities are numbered from 1
            drawn = (torch.rand_like(docked[:, 0]) * count).floor().clamp(max=count - 1)  # [B, H], 0 to count - 1
            chosen = (drawn[:, None] == (order - 1)[:, :, None]) & here[:, :, None]  # [B, M, H]
            embraced = docked.where(chosen, 0.0).sum(dim=1)
        else:
            embraced = (shares[:, :, None] * docked).sum(dim=1)
        return FusionOutput(self.head(embraced), weights=dict(zip(self.modalities, shares.unbind(dim=1), strict=True)))
