"""Fusion through a bottleneck: modalities exchange what they know by a few tokens only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.attention import SelfAttentionBlock, check_heads
from mmdx.fusion.base import Method, check_counts, modality_names, present_tokens
from mmdx.types import Features, FusionOutput


class BottleneckTransformer(nn.Module):
    """Multimodal Bottleneck Transformer, MBT (Nagrani et al. 2021, arXiv:2107.00135).

    Each modality has its own Transformer. From layer ``fusion_layer`` on every one of them also carries the shared bottleneck tokens
    z, and what each made of them is averaged: ``[x_m, z_m] = layer_m([x_m, z])``, ``z = mean_m z_m``. The logits are
    the mean over modalities of one head on each one's class token.

    Both means run over the modalities present. Deviations: tokens get no position here, since an encoder's tokens carry their own; layers
    start afresh and not from a vision Transformer, class tokens small and not at 0; the mean of the logits is trained, where the authors' code
    trains each modality's and takes the mean in evaluation; no stochastic depth, which they have at a rate of 0.3, and like theirs no dropout.

    Args:
        widths: D_m, the width of each modality's tokens.
        head: makes the output layer from the width H.
        hidden: width H of the Transformers, a multiple of ``heads``.
        bottlenecks: number of bottleneck tokens.
        layers: Transformer layers of each modality.
        fusion_layer: how many of the first layers have no bottleneck tokens yet; at least two must have them, for what one layer
            writes into them the next one reads.
        heads: attention heads a layer.
        dropout: dropout in attention and feed-forward layers.

    Shapes:
        ``features[m].tokens`` [B, N_m, D_m], ``features[m].mask`` [B, N_m] and ``present[m]`` [B] give ``logits`` [B, K].
    """

    method = Method("attention", "Nagrani et al. 2021, arXiv:2107.00135", tokens=True)

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 64,
        bottlenecks: int = 4,
        layers: int = 2,
        fusion_layer: int = 0,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_heads(hidden, heads)
        check_counts(bottlenecks=bottlenecks, layers=layers)
        if not 0 <= fusion_layer <= layers - 2:
            raise InputError(
                f"fusion.fusion_layer={fusion_layer}: must be 0 to fusion.layers - 2 = {layers - 2}; modalities exchange only where two or "
                "more layers are fused."
            )
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.fusion_layer = fusion_layer
        self.project = nn.ModuleDict({m: nn.Linear(widths[m], hidden) for m in self.modalities})
        self.class_token = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(hidden)) for m in self.modalities})
        self.bottleneck = nn.Parameter(0.02 * torch.randn(bottlenecks, hidden))
        self.layers = nn.ModuleList(
            nn.ModuleDict({m: SelfAttentionBlock(hidden, heads, dropout) for m in self.modalities}) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(hidden)
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        tokens = present_tokens(features, present, self.widths)
        here = torch.stack([tokens[m].here for m in self.modalities])[:, :, None]  # [M, B, 1]
        batch = here.shape[1]
        bottleneck = self.bottleneck.expand(batch, -1, -1)
        always = here.new_ones(batch, 1)
        streams, real = {}, {}
        for m in self.modalities:
            streams[m] = torch.cat([self.class_token[m].expand(batch, 1, -1), self.project[m](tokens[m].values)], dim=1)
            real[m] = torch.cat([always, tokens[m].real], dim=1)
        for depth in range(len(self.layers)):
            layer = cast(nn.ModuleDict, self.layers[depth])
            if depth < self.fusion_layer:
                streams = {m: layer[m](streams[m], real[m]) for m in self.modalities}
                continue
            written = []
            for m in self.modalities:
                own = streams[m].shape[1]
                joined = torch.cat([streams[m], bottleneck], dim=1)
                joined = layer[m](joined, torch.cat([real[m], always.expand(-1, bottleneck.shape[1])], dim=1))
                streams[m] = joined[:, :own]
                written.append(joined[:, own:])
            bottleneck = _mean_where(torch.stack(written), here[:, :, :, None])
        votes = torch.stack([self.head(self.norm(streams[m][:, 0])) for m in self.modalities])  # [M, B, K]
        return FusionOutput(_mean_where(votes, here))


def _mean_where(values: Tensor, here: Tensor) -> Tensor:
    """Mean over the first axis of what is here; 0 where nothing is."""
    return values.where(here, 0.0).sum(dim=0) / here.sum(dim=0).clamp(min=1)
