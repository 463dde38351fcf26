"""Fusion of sets of tokens by bottlenecks that skip what is absent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_tokens, stack_presence
from mmdx.types import Features, FusionOutput


class SetEmbedding(nn.Module):
    """Unified multi-modal set embedding and modality-aware attention with skip bottleneck (UMSE, Lee et al. 2023, arXiv:2305.02504).

    Every modality is a set of tokens embedded in one space, ``W_m LN(t) + e_m`` with a learned embedding e_m of the modality. Each set has a class
    token c_m and Transformer layers of its own, and meets the others only in a few bottleneck tokens z. In each layer

    ``[c_m; tokens_m; z_m] = layer_m([c_m; tokens_m; z])``, then ``z = sum_m present_m z_m / sum_m present_m``,

    so an absent modality is skipped: it writes nothing to the bottleneck. The head reads the mean of the present modalities' class tokens,
    normalised.

    Deviations: the paper embeds measured values and their times; here the encoders make the tokens, which carry no time, so there is no time
    embedding and the order of a modality's tokens says nothing; GELU in place of ReLU, and attention has PyTorch's output projection, which the
    authors' has not. The authors' code also has a variant that reads only the class token of the vital
    signs, which every patient of theirs has.

    Args:
        widths: D_m, the width of each modality's tokens.
        head: makes the output layer from the fused width.
        hidden: the fused width H, a multiple of ``heads``.
        layers: number of Transformer layers a modality, at least 2.
        heads: attention heads a layer.
        bottlenecks: number of bottleneck tokens, at least 1.
        dropout: dropout in attention and feed-forward layers.

    Shapes:
        ``features[m].tokens`` [B, N_m, D_m], ``features[m].mask`` [B, N_m] and ``present[m]`` [B] give ``logits`` [B, K].

    Raises:
        InputError: where ``hidden`` is no multiple of ``heads``, there is no bottleneck token, or fewer than two layers.
    """

    method = Method("missing", "Lee et al. 2023, arXiv:2305.02504", tokens=True, absence="design")

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 64,
        layers: int = 2,
        heads: int = 4,
        bottlenecks: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden, heads=heads, layers=layers)
        if layers < 2:
            raise InputError(f"fusion.layers={layers}: must be at least 2; with one layer no modality reads what another left in the bottleneck.")
        if hidden % heads:
            raise InputError(f"fusion.hidden={hidden}: must be a multiple of fusion.heads={heads}.")
        if bottlenecks < 1:
            raise InputError(f"fusion.bottlenecks={bottlenecks}: must be at least 1, as modalities meet nowhere else.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.bottlenecks = bottlenecks
        self.project = nn.ModuleDict({m: nn.Sequential(nn.LayerNorm(widths[m]), nn.Linear(widths[m], hidden)) for m in self.modalities})
        self.kind = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(hidden)) for m in self.modalities})
        self.class_token = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(hidden)) for m in self.modalities})
        self.bottleneck = nn.Parameter(0.02 * torch.randn(bottlenecks, hidden))

        def layer() -> nn.Module:
            return nn.TransformerEncoderLayer(hidden, heads, 2 * hidden, dropout, "gelu", batch_first=True, norm_first=True)

        self.layers = nn.ModuleList([nn.ModuleDict({m: layer() for m in self.modalities}) for _ in range(layers)])
        self.norm = nn.LayerNorm(hidden)
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        here = stack_presence(present, self.modalities)  # [B, M]
        batch = here.shape[0]
        sets, padding = {}, {}
        for m, (tokens, mask) in present_tokens(features, present, self.widths).items():
            projected = self.project[m](tokens) + self.kind[m]
            sets[m] = torch.cat([self.class_token[m].expand(batch, 1, -1), projected], dim=1)
            own = torch.ones_like(here[:, :1])  # the class token and the bottleneck are always there
            padding[m] = ~torch.cat([own, mask, own.expand(-1, self.bottlenecks)], dim=1)
        bottleneck = self.bottleneck.expand(batch, -1, -1)  # [B, Z, H]
        for layer in self.layers:
            written = []
            for m in self.modalities:
                both = layer[m](torch.cat([sets[m], bottleneck], dim=1), src_key_padding_mask=padding[m])  # type: ignore[index]
                sets[m], own_bottleneck = both[:, : -self.bottlenecks], both[:, -self.bottlenecks :]
                written.append(own_bottleneck)
            bottleneck = _mean_of_present(torch.stack(written, dim=1), here)
        classes = torch.stack([self.norm(sets[m][:, 0]) for m in self.modalities], dim=1)  # [B, M, H]
        return FusionOutput(self.head(_mean_of_present(classes, here)))


def _mean_of_present(values: Tensor, here: Tensor) -> Tensor:
    """Mean over the modalities that are there: of values [B, M, ...] and presence [B, M], [B, ...]."""
    counted = here.reshape(*here.shape, *[1] * (values.ndim - 2))
    return values.where(counted, 0.0).sum(dim=1) / counted.sum(dim=1)
