"""DAFT: tokens and a conditioning modality, such as tabular data, decide together how the tokens' channels are scaled and shifted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, Tokens, check_counts, modality_names, present_tokens, stack_presence
from mmdx.types import Features, FusionOutput


class DAFT(nn.Module):
    """Dynamic affine feature map transform (Pölsterl et al. 2021, arXiv:2107.05990), on tokens in place of feature maps.

    In a residual block of modality m, ``x = relu(W_m LN(t))`` and ``f = norm(U_m x)`` of every token t; their mean s over tokens and the pooled
    features z of the conditioning (tabular) modality give ``[alpha; beta] = B relu(A [s; z])``, and ``y = relu(x + LN(V_m relu(alpha * f + beta)))``,
    channel by channel. A and B have no bias; A divides the width of ``[s; z]`` by ``reduction``. The head reads the mean of y over tokens,
    averaged over the transformed modalities that are present. Where the conditioning modality is absent z is 0; where it is the only one
    present the head reads ``relu(W LN(z))`` in place of the mean.

    Deviations: token-wise linear layers in place of 3D convolutions; LayerNorm (without weights before the transform, as is theirs there) in place
    of BatchNorm; several transformed modalities have weights of their own and their mean is taken. A's width is a
    share of what it reads, as the ``reduction`` of squeeze-and-excitation; the authors' code has 7 units whatever it reads.

    Args:
        widths: D_m, the width of each modality's tokens.
        head: makes the output layer from the fused width.
        condition: the modality that conditions the others; by default the last in alphabetical order, as tabular is of image and tabular.
        hidden: the fused width H.
        reduction: by what the auxiliary network's first layer divides its width, 1 or more.
        dropout: share of the fused units dropped in training.

    Shapes:
        ``features[m].tokens`` [B, N_m, D_m], ``features[m].mask`` [B, N_m] and ``present[m]`` [B] give ``logits`` [B, K].

    Raises:
        InputError: where ``condition`` is none of the modalities or ``reduction`` is below 1.
    """

    method = Method("conditioning", "Pölsterl et al. 2021, arXiv:2107.05990", tokens=True)

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        condition: str | None = None,
        hidden: int = 128,
        reduction: float = 7.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        names = modality_names(widths)
        if condition is not None and condition not in names:
            raise InputError(f"fusion.condition={condition}: must be one of the modalities, {', '.join(names)}; or null for the last of them.")
        if not reduction >= 1:
            raise InputError(f"fusion.reduction={reduction}: must be 1 or more, by what the auxiliary network narrows its input.")
        self.condition = condition if condition is not None else names[-1]
        self.transformed = [m for m in names if m != self.condition]
        self.widths = {m: widths[m] for m in names}
        self.project = nn.ModuleDict({m: nn.Sequential(nn.LayerNorm(widths[m]), nn.Linear(widths[m], hidden), nn.ReLU()) for m in names})
        self.before = nn.ModuleDict(
            {m: nn.Sequential(nn.Linear(hidden, hidden, bias=False), nn.LayerNorm(hidden, elementwise_affine=False)) for m in self.transformed}
        )
        joint = hidden + widths[self.condition]
        narrow = max(1, int(joint / reduction))
        self.auxiliary = nn.ModuleDict(
            {
                m: nn.Sequential(nn.Linear(joint, narrow, bias=False), nn.ReLU(), nn.Linear(narrow, 2 * hidden, bias=False))  # alpha, then beta
                for m in self.transformed
            }
        )
        self.after = nn.ModuleDict({m: nn.Sequential(nn.Linear(hidden, hidden, bias=False), nn.LayerNorm(hidden)) for m in self.transformed})
        self.dropout = nn.Dropout(dropout)
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        tokens = present_tokens(features, present, self.widths)
        condition = features[self.condition].pooled.where(present[self.condition][:, None], 0.0)  # [B, D_condition]
        fused = self.project[self.condition](condition)  # [B, H]
        if self.transformed:
            here = stack_presence(present, self.transformed)  # [B, M - 1]
            pooled = torch.stack([self._transform(m, tokens[m], condition) for m in self.transformed], dim=1)
            mean = pooled.sum(dim=1) / here.sum(dim=1, keepdim=True).clamp(min=1)
            fused = mean.where(here.any(dim=1, keepdim=True), fused)
        return FusionOutput(self.head(self.dropout(fused)))

    def _transform(self, m: str, tokens: Tokens, condition: Tensor) -> Tensor:
        """Transformed tokens of one modality, pooled [B, H]; zero where it is absent."""
        x = self.project[m](tokens.values)  # [B, N_m, H]
        f = self.before[m](x)
        squeezed = torch.cat([Features(f, tokens.real).pooled, condition], dim=-1)  # [B, H + D_condition]
        scale, shift = self.auxiliary[m](squeezed)[:, None].chunk(2, dim=-1)  # [B, 1, H] each
        y = (x + self.after[m]((scale * f + shift).relu())).relu()
        return Features(y, tokens.real).pooled
