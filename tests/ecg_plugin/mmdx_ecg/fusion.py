"""The element-wise maximum of projected features."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.types import Features, FusionOutput


class Maximum(nn.Module):
    """``h = max_m W_m x_m`` over the modalities that are present."""

    def __init__(self, widths: Mapping[str, int], head: Callable[[int], nn.Module], hidden: int = 16) -> None:
        super().__init__()
        self.project = nn.ModuleDict({m: nn.Linear(widths[m], hidden) for m in sorted(widths)})
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        parts = [
            self.project[m](features[m].pooled.where(present[m][:, None], 0.0)).masked_fill(~present[m][:, None], -torch.inf)
            for m in self.project
        ]
        return FusionOutput(self.head(torch.stack(parts).amax(dim=0)))
