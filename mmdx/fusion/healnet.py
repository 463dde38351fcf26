"""Fusion by one latent array that each modality updates in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.fusion.attention import Attention, check_heads
from mmdx.fusion.base import Method, Tokens, check_counts, modality_names, present_tokens
from mmdx.types import Features, FusionOutput


class HybridEarlyFusion(nn.Module):
    """Hybrid Early-fusion Attention Learning Network, HEALNet (Hemker et al. 2023, arXiv:2311.09115, section 3).

    A learned latent array S is shared by all modalities. In each layer every modality m in turn updates it by its own cross-attention,
    ``S = S + A_m(LN(S), LN(x_m))``, ``S = S + f_m(LN(S))``, after which the layer's self-attention and feed-forward, shared by the
    modalities, go over S. The head reads the layer-normed mean of S. The step of an absent modality is skipped, as in the paper.

    The feed-forward layers are self-normalising, with gates of SELU, and attention ends in a leaky ReLU, as in the authors' code, whose
    softmax has the temperature 0.5 besides (here that is left to the queries' weights). Deviations: modalities take turns in alphabetical
    order; no Fourier positions, since an encoder's tokens carry their own; each layer has weights of its own, where the paper shares a
    modality's between the layers; self-attention after a turn is the authors' code's, the paper describes none; that code keeps
    the self-attention of a skipped step, here the whole step is skipped.

    Args:
        widths: D_m, the width of each modality's tokens.
        head: makes the output layer from the width H.
        hidden: width H of the latents, a multiple of ``heads``.
        latents: number of latents.
        layers: fusion layers; in each every modality has one turn.
        heads: attention heads.
        dropout: dropout in attention and feed-forward layers.

    Shapes:
        ``features[m].tokens`` [B, N_m, D_m], ``features[m].mask`` [B, N_m] and ``present[m]`` [B] give ``logits`` [B, K].
    """

    method = Method("attention", "Hemker et al. 2023, arXiv:2311.09115", tokens=True, absence="design")

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 32,
        latents: int = 8,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_heads(hidden, heads)
        check_counts(latents=latents, layers=layers)
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.latents = nn.Parameter(torch.randn(latents, hidden))
        self.layers = nn.ModuleList(HybridLayer(self.widths, hidden, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        tokens = present_tokens(features, present, self.widths)
        latents = self.latents.expand(next(iter(present.values())).shape[0], -1, -1)
        for layer in self.layers:
            latents = layer(latents, tokens)
        return FusionOutput(self.head(self.norm(latents.mean(dim=1))))


class HybridLayer(nn.Module):
    """Latents [B, L, H] updated by each modality's tokens [B, N_m, D_m] in turn; those of an absent modality leave them as they were."""

    def __init__(self, widths: Mapping[str, int], hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.cross = nn.ModuleDict({m: AttentionStep(hidden, width, heads, dropout) for m, width in widths.items()})
        self.own = AttentionStep(hidden, None, heads, dropout)

    def forward(self, latents: Tensor, tokens: Mapping[str, Tokens]) -> Tensor:
        """Apply the layer."""
        everyone = torch.ones_like(latents[:, :, 0], dtype=torch.bool)
        for m, step in self.cross.items():
            updated = step(latents, tokens[m].values, tokens[m].real)
            updated = self.own(updated, updated, everyone)
            latents = torch.where(tokens[m].here[:, None, None], updated, latents)
        return latents


class AttentionStep(nn.Module):
    """Attention and feed-forward with their residuals: latents [B, L, H] attend to a context [B, N, D], or to themselves where ``width`` is None."""

    def __init__(self, hidden: int, width: int | None, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.norm_forward = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.norm_context = None if width is None else nn.LayerNorm(width)
        self.attention = Attention(hidden, width, heads, dropout, bias=False)
        self.activate = nn.LeakyReLU()
        self.feed_forward = GatedFeedForward(hidden, dropout)

    def forward(self, latents: Tensor, context: Tensor, real: Tensor) -> Tensor:
        """Apply the step."""
        normed = self.norm_context or self.norm
        latents = latents + self.activate(self.attention(self.norm(latents), normed(context), real))
        return latents + self.feed_forward(self.norm_forward(latents))


class GatedFeedForward(nn.Module):
    """``W_3 (W_1 x * selu(W_2 x))`` with four times the units, [..., H] to [..., H] (SELU: Klambauer et al. 2017, arXiv:1706.02515)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(width, 8 * width)
        self.out = nn.Sequential(nn.Linear(4 * width, width), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        value, gate = self.inner(x).chunk(2, dim=-1)
        return self.out(value * nn.functional.selu(gate))
