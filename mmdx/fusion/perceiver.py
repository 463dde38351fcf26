"""Fusion by a few learned vectors that read the tokens of all modalities."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.fusion.attention import Attention, FeedForward, SelfAttentionBlock, check_heads
from mmdx.fusion.base import Method, check_counts, modality_names, present_tokens
from mmdx.types import Features, FusionOutput


class Perceiver(nn.Module):
    """Perceiver (Jaegle et al. 2021, arXiv:2103.03206, section 3.1) over the joined tokens of all modalities.

    Learned latents z cross-attend to the tokens x, ``z = z + attention(LN(z), LN(x))``, ``z = z + MLP(LN(z))``, and go through
    self-attention blocks; this is done ``layers`` times, and the head reads the layer-normed mean of the latents. Tokens of modality m
    are ``W_m t + e_m`` with a learned embedding e_m of the modality (section 4.2); padding and absent modalities are masked.

    Deviations: each modality is projected to the common width and its embedding added, where the paper pads with the embedding; no Fourier
    positions, since an encoder's tokens carry their own; layers share no weights.

    Args:
        widths: D_m, the width of each modality's tokens.
        head: makes the output layer from the fused width.
        hidden: width H of latents and tokens, a multiple of ``heads`` and of ``cross_heads``.
        latents: number of latents.
        layers: how often the latents read the tokens.
        blocks: self-attention blocks after each reading.
        heads: attention heads of a self-attention block.
        cross_heads: attention heads of a reading.
        dropout: dropout in attention and feed-forward layers.

    Shapes:
        ``features[m].tokens`` [B, N_m, D_m], ``features[m].mask`` [B, N_m] and ``present[m]`` [B] give ``logits`` [B, K].
    """

    method = Method("attention", "Jaegle et al. 2021, arXiv:2103.03206", tokens=True)

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 64,
        latents: int = 8,
        layers: int = 2,
        blocks: int = 1,
        heads: int = 4,
        cross_heads: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_heads(hidden, heads)
        check_heads(hidden, cross_heads, "cross_heads")
        check_counts(latents=latents, layers=layers, blocks=blocks)
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.project = nn.ModuleDict({m: nn.Linear(widths[m], hidden) for m in self.modalities})
        self.kind = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(hidden)) for m in self.modalities})
        self.latents = nn.Parameter(torch.randn(latents, hidden))
        self.layers = nn.ModuleList(PerceiverLayer(hidden, blocks, heads, cross_heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        tokens = present_tokens(features, present, self.widths)
        joined = torch.cat([self.project[m](tokens[m].values) + self.kind[m] for m in self.modalities], dim=1)
        real = torch.cat([tokens[m].real for m in self.modalities], dim=1)
        latents = self.latents.expand(joined.shape[0], -1, -1)
        for layer in self.layers:
            latents = layer(latents, joined, real)
        return FusionOutput(self.head(self.norm(latents.mean(dim=1))))


class PerceiverLayer(nn.Module):
    """One reading: latents [B, L, H] attend to tokens [B, N, H] with mask [B, N], then to one another."""

    def __init__(self, width: int, blocks: int, heads: int, cross_heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_latents, self.norm_tokens, self.norm = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads=cross_heads, dropout=dropout, bias=False)
        self.feed_forward = FeedForward(width, dropout=dropout)
        self.blocks = nn.ModuleList(SelfAttentionBlock(width, heads, dropout, bias=False) for _ in range(blocks))

    def forward(self, latents: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
        """Apply the layer."""
        latents = latents + self.attention(self.norm_latents(latents), self.norm_tokens(tokens), real)
        latents = latents + self.feed_forward(self.norm(latents))
        everyone = torch.ones_like(latents[:, :, 0], dtype=torch.bool)
        for block in self.blocks:
            latents = block(latents, everyone)
        return latents
