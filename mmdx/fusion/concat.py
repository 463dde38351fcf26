"""Concatenation: the baseline that every other fusion has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled
from mmdx.types import Features, FusionOutput


class Concatenation(nn.Module):
    """Feature-level fusion by concatenation and one hidden layer ("early fusion" of features, Baltrusaitis et al. 2019,
    IEEE TPAMI 41:423, section 6.1).

    ``h = dropout(gelu(W [LN(x_1); ...; LN(x_M)]))``, a learned vector or zeros standing in for ``LN(x_m)`` where m is absent.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width.
        hidden: the fused width H.
        dropout: share of the fused units dropped in training.
        absent: what stands in for an absent modality, "learned" or "zeros", the baseline that knows nothing of absence.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K].
    """

    method = Method("simple", "Baltrusaitis et al. 2019, IEEE TPAMI 41:423")

    def __init__(
        self, widths: Mapping[str, int], head: Callable[[int], nn.Module], hidden: int = 128, dropout: float = 0.1, absent: str = "learned"
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        if absent not in ("learned", "zeros"):
            raise InputError(f"fusion.absent={absent}: must be learned or zeros.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.norm = nn.ModuleDict({m: nn.LayerNorm(widths[m]) for m in self.modalities})
        self.absent = nn.ParameterDict({m: nn.Parameter(torch.zeros(widths[m]), requires_grad=absent == "learned") for m in self.modalities})
        self.joint = nn.Sequential(nn.Linear(sum(self.widths.values()), hidden), nn.GELU(), nn.Dropout(dropout))
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        parts = [torch.where(present[m][:, None], self.norm[m](x[m]), self.absent[m]) for m in self.modalities]
        return FusionOutput(self.head(self.joint(torch.cat(parts, dim=-1))))
