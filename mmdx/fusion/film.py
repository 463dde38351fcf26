"""FiLM: one modality scales and shifts the channels of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, Tokens, check_counts, modality_names, present_tokens, stack_presence
from mmdx.types import Features, FusionOutput


class FiLM(nn.Module):
    """Feature-wise linear modulation (Perez et al. 2018, arXiv:1709.07871, eq. 2, and the residual block of section 2.2): the pooled
    features c of one modality modulate every token t of the others.

    ``x = relu(W_m LN(t))``, ``y = x + relu((1 + dgamma(c)) * norm(V_m x) + beta(c))`` channel by channel, dgamma and beta linear in c, and the
    head reads the mean of y over tokens, averaged over the modulated modalities that are present. Where the conditioning modality is absent
    dgamma and beta are 0; where it is the only one present the head reads ``relu(U LN(c))`` in place of the mean.

    Deviations: tokens in place of feature maps and token-wise linear layers in place of convolutions; one block (the paper has four); ``norm`` is
    LayerNorm without weights where the paper has such a BatchNorm; mean in place of max pooling; no coordinate maps; several modulated modalities
    have weights of their own and their mean is taken.

    Args:
        widths: D_m, the width of each modality's tokens.
        head: makes the output layer from the fused width.
        condition: the modality that modulates the others; by default the last in alphabetical order, as text is of image and text.
        hidden: the fused width H.
        dropout: share of the fused units dropped in training.

    Shapes:
        ``features[m].tokens`` [B, N_m, D_m], ``features[m].mask`` [B, N_m] and ``present[m]`` [B] give ``logits`` [B, K].

    Raises:
        InputError: where ``condition`` is none of the modalities.
    """

    method = Method("conditioning", "Perez et al. 2018, arXiv:1709.07871", tokens=True)

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        condition: str | None = None,
        hidden: int = 128,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        names = modality_names(widths)
        if condition is not None and condition not in names:
            raise InputError(f"fusion.condition={condition}: must be one of the modalities, {', '.join(names)}; or null for the last of them.")
        self.condition = condition if condition is not None else names[-1]
        self.modulated = [m for m in names if m != self.condition]
        self.widths = {m: widths[m] for m in names}
        self.project = nn.ModuleDict({m: nn.Sequential(nn.LayerNorm(widths[m]), nn.Linear(widths[m], hidden), nn.ReLU()) for m in names})
        self.linear = nn.ModuleDict({m: nn.Linear(hidden, hidden) for m in self.modulated})
        self.norm = nn.LayerNorm(hidden, elementwise_affine=False)
        self.film = nn.ModuleDict({m: nn.Linear(widths[self.condition], 2 * hidden) for m in self.modulated})  # dgamma, then beta
        self.dropout = nn.Dropout(dropout)
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        tokens = present_tokens(features, present, self.widths)
        given = present[self.condition][:, None]  # [B, 1]
        condition = features[self.condition].pooled.where(given, 0.0)  # [B, D_condition]
        fused = self.project[self.condition](condition)  # [B, H]
        if self.modulated:
            here = stack_presence(present, self.modulated)  # [B, M - 1]
            pooled = torch.stack([self._modulate(m, tokens[m], condition, given) for m in self.modulated], dim=1)
            mean = pooled.sum(dim=1) / here.sum(dim=1, keepdim=True).clamp(min=1)
            fused = mean.where(here.any(dim=1, keepdim=True), fused)
        return FusionOutput(self.head(self.dropout(fused)))

    def _modulate(self, m: str, tokens: Tokens, condition: Tensor, given: Tensor) -> Tensor:
        """Modulated tokens of one modality, pooled [B, H]; zero where it is absent."""
        x = self.project[m](tokens.values)  # [B, N_m, H]
        scale, shift = self.film[m](condition).where(given, 0.0)[:, None].chunk(2, dim=-1)  # [B, 1, H] each
        y = x + ((1 + scale) * self.norm(self.linear[m](x)) + shift).relu()
        return Features(y, tokens.real).pooled
