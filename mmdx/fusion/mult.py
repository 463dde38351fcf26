"""Fusion by pairwise cross-attention: each modality is read in the light of each other one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.fusion.attention import Attention, check_heads
from mmdx.fusion.base import Method, Tokens, check_counts, modality_names, present_tokens
from mmdx.types import Features, FusionOutput


class MultimodalTransformer(nn.Module):
    """Multimodal Transformer, MulT (Tsai et al. 2019, arXiv:1906.00295).

    Tokens are projected and get sine positions, ``Z_m = W_m t + PE``. For each ordered pair a crossmodal Transformer lets the target
    attend to the source's Z, ``Y = CM(LN(Y), LN(Z_source)) + LN(Y)``, ``Y = f(LN(Y)) + LN(Y)`` from ``Y = Z_target``. What a
    target made of all its sources is joined, [B, N, (M - 1) H], a self-attention Transformer goes over it, and the last real token of
    each target, joined over targets and passed through a residual block ``h + W_2 relu(W_1 h)``, goes to the head.

    Where a source is absent its attention adds nothing and the target goes on alone; an absent target is zero. A single modality has
    the self-attention Transformer alone. Deviations: the temporal convolution has kernel size 1, as in the authors' code, so bags and
    images are welcome; positions count real tokens only, so padding moves nothing. The authors' code adds Y and not LN(Y) to each
    result, multiplies Z by sqrt(H), norms the end of each Transformer, and lays sines and cosines side by side; here the paper holds.

    Args:
        widths: D_m, the width of each modality's tokens.
        head: makes the output layer from the joined width, M * max(M - 1, 1) * H.
        hidden: width H of each crossmodal Transformer, a multiple of ``heads``.
        layers: layers of each crossmodal Transformer.
        memory_layers: layers of each self-attention Transformer.
        heads: attention heads a layer.
        dropout: dropout in attention and feed-forward layers and in the residual block.

    Shapes:
        ``features[m].tokens`` [B, N_m, D_m], ``features[m].mask`` [B, N_m] and ``present[m]`` [B] give ``logits`` [B, K].
    """

    method = Method("attention", "Tsai et al. 2019, arXiv:1906.00295", tokens=True)

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 64,
        layers: int = 2,
        memory_layers: int = 1,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_heads(hidden, heads)
        check_counts(layers=layers, memory_layers=memory_layers)
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.project = nn.ModuleDict({m: nn.Linear(widths[m], hidden, bias=False) for m in self.modalities})
        self.target = nn.ModuleDict(
            {m: Target(hidden, [s for s in self.modalities if s != m], layers, memory_layers, heads, dropout) for m in self.modalities}
        )
        width = max(len(self.modalities) - 1, 1) * hidden
        joined = len(self.modalities) * width
        self.residual = nn.Sequential(nn.Linear(joined, joined), nn.ReLU(), nn.Dropout(dropout), nn.Linear(joined, joined))
        self.head = head(joined)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        tokens = present_tokens(features, present, self.widths)
        low = {}
        for m, (values, real) in tokens.items():
            projected = self.project[m](values)
            low[m] = Tokens(projected + _positions(real, projected.shape[-1]), real)
        joined = torch.cat([self.target[m](low[m], low) for m in self.modalities], dim=-1)
        return FusionOutput(self.head(joined + self.residual(joined)))


class Target(nn.Module):
    """One modality read in the light of its sources: its tokens and everyone's [B, N, H] give its last real token [B, S H], 0 where it is absent."""

    def __init__(self, hidden: int, sources: list[str], layers: int, memory_layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.cross = nn.ModuleDict({s: CrossmodalTransformer(hidden, layers, heads, dropout) for s in sources})
        width = max(len(sources), 1) * hidden
        self.memory = nn.ModuleList(CrossmodalLayer(width, heads, dropout) for _ in range(memory_layers))

    def forward(self, own: Tokens, everyone: Mapping[str, Tokens]) -> Tensor:
        """Attend to each source, then to itself."""
        read = [transformer(own.values, everyone[source]) for source, transformer in self.cross.items()]
        stream = torch.cat(read or [own.values], dim=-1)
        for layer in self.memory:
            stream = layer(stream, stream, own.real)
        count = own.real.cumsum(dim=1)
        last = own.real & (count == count[:, -1:])
        return stream.where(last[:, :, None], 0.0).sum(dim=1)


class CrossmodalTransformer(nn.Module):
    """Layers by which a stream [B, N, H] attends to a source's tokens."""

    def __init__(self, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CrossmodalLayer(width, heads, dropout) for _ in range(layers))

    def forward(self, stream: Tensor, source: Tokens) -> Tensor:
        """Apply the layers."""
        for layer in self.layers:
            stream = layer(stream, source.values, source.real)
        return stream


class CrossmodalLayer(nn.Module):
    """One crossmodal layer: queries [B, N, H] attend to a source [B, S, H] with its mask [B, S]; what is added to each result is layer-normed too."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, stream: Tensor, source: Tensor, real: Tensor) -> Tensor:
        """Apply the layer."""
        stream = self.norm1(stream)
        stream = self.norm2(self.dropout(self.attention(stream, self.norm1(source), real)) + stream)
        return self.feed_forward(stream) + stream


def _positions(real: Tensor, width: int) -> Tensor:
    """Sine positions [B, N, H] of the real tokens, counted from 1: sin(i / 10000^(2j/H)) at 2j, the cosine at 2j + 1."""
    place = real.cumsum(dim=1)[:, :, None]
    unit = torch.arange(width, device=real.device)
    angle = place * torch.exp((unit - unit % 2) * (-math.log(10000.0) / width))
    return torch.where(unit % 2 == 0, angle.sin(), angle.cos())
