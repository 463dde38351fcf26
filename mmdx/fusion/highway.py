"""Highway: a gate, unit by unit, between the joint features as they are and a non-linear transform of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled, stack_presence
from mmdx.types import Features, FusionOutput


class Highway(nn.Module):
    """Highway network (Srivastava et al. 2015, arXiv:1505.00387, eq. 3) over joined features, as Seo et al. 2017 (arXiv:1611.01603, section 2) join
    two embeddings of a word: ``x <- T(x) relu(W_H x + b_H) + (1 - T(x)) x`` with the transform gate ``T(x) = sigmoid(W_T x + b_T)``.

    The layers start from ``x = sum_m P_m LN(x_m) + p``, which is a linear projection of the concatenation; an absent modality adds nothing.

    Deviations: the joined features are layer-normed and projected to the fused width before the first layer.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width.
        hidden: the fused width H.
        layers: number of highway layers, 1 or more.
        gate_bias: start of b_T; below 0 the layers at first carry their input (the paper has -1 to -3).
        dropout: share of the fused units dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K].

    Raises:
        InputError: where ``layers`` is below 1.
    """

    method = Method("simple", "Srivastava et al. 2015, arXiv:1505.00387")

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 128,
        layers: int = 2,
        gate_bias: float = -1.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        if layers < 1:
            raise InputError(f"fusion.layers={layers}: must be 1 or more highway layers.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.project = nn.ModuleDict(
            {m: nn.Sequential(nn.LayerNorm(widths[m]), nn.Linear(widths[m], hidden, bias=False)) for m in self.modalities}
        )
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.transform = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(layers)])
        self.gate = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(layers)])
        for gate in self.gate:
            nn.init.constant_(gate.get_parameter("bias"), gate_bias)
        self.dropout = nn.Dropout(dropout)
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        pooled = present_pooled(features, present, self.widths)
        parts = torch.stack([self.project[m](pooled[m]) for m in self.modalities], dim=1)  # [B, M, H]
        here = stack_presence(present, self.modalities)[:, :, None]  # [B, M, 1]
        x = parts.where(here, 0.0).sum(dim=1) + self.bias  # [B, H]
        for transform, gate in zip(self.transform, self.gate, strict=True):
            share = gate(x).sigmoid()
            x = share * transform(x).relu() + (1 - share) * x
        return FusionOutput(self.head(self.dropout(x)))
