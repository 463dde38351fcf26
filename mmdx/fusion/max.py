"""Maximum: of each unit, the modality that excites it most is heard."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled, stack_presence
from mmdx.types import Features, FusionOutput


class Maximum(nn.Module):
    """Max-pooling fusion (Kiela et al. 2018, arXiv:1802.02892): ``h = gelu(max_m (W_m LN(x_m) + b_m))``, unit by unit over the modalities present.

    Deviations: the features are layer-normed before they are projected, and GELU and dropout stand before the output layer. An absent
    modality takes no part in the maximum, so that it needs no stand-in.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width.
        hidden: the fused width H.
        dropout: share of the fused units dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K].
    """

    method = Method("simple", "Kiela et al. 2018, arXiv:1802.02892")

    def __init__(self, widths: Mapping[str, int], head: Callable[[int], nn.Module], hidden: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.project = nn.ModuleDict({m: nn.Sequential(nn.LayerNorm(widths[m]), nn.Linear(widths[m], hidden)) for m in self.modalities})
        self.activate = nn.Sequential(nn.GELU(), nn.Dropout(dropout))
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        parts = torch.stack([self.project[m](x[m]) for m in self.modalities], dim=1)  # [B, M, H]
        here = stack_presence(present, self.modalities)[:, :, None]  # [B, M, 1]
        return FusionOutput(self.head(self.activate(parts.masked_fill(~here, -torch.inf).amax(dim=1))))
