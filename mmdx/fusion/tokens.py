"""Fusion by attention: one Transformer over the tokens of all modalities."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_tokens
from mmdx.types import Features, FusionOutput


class JointTransformer(nn.Module):
    """Joint Transformer over modality tokens, as in ViLT (Kim et al. 2021, arXiv:2102.03334, section 3.1), for any modalities.

    Tokens of modality m become ``W_m LN(t) + e_m`` with a learned embedding e_m of the modality; a class token is put first,
    pre-norm Transformer layers run over the sequence, and the head reads the class token. Tokens that are padding or belong to
    an absent modality are masked from attention.

    Deviations: no position embeddings, since an encoder's tokens carry their own; a class token of its own in place of the text's;
    tokens are layer-normed before they are projected; no tanh layer between class token and head; layers start afresh and not from a
    vision Transformer.

    Args:
        widths: D_m, the width of each modality's tokens.
        head: makes the output layer from the fused width.
        hidden: the fused width H, a multiple of ``heads``.
        layers: number of Transformer layers.
        heads: attention heads a layer.
        dropout: dropout in attention and feed-forward layers.

    Shapes:
        ``features[m].tokens`` [B, N_m, D_m], ``features[m].mask`` [B, N_m] and ``present[m]`` [B] give ``logits`` [B, K].
    """

    method = Method("attention", "Kim et al. 2021, arXiv:2102.03334", tokens=True)

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 64,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden, heads=heads, layers=layers)
        if hidden % heads:
            raise InputError(f"fusion.hidden={hidden}: must be a multiple of fusion.heads={heads}.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.project = nn.ModuleDict({m: nn.Sequential(nn.LayerNorm(widths[m]), nn.Linear(widths[m], hidden)) for m in self.modalities})
        self.kind = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(hidden)) for m in self.modalities})
        self.class_token = nn.Parameter(0.02 * torch.randn(hidden))
        layer = nn.TransformerEncoderLayer(hidden, heads, 4 * hidden, dropout, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(hidden), enable_nested_tensor=False)
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        batch = next(iter(present.values())).shape[0]
        sequence, real = [self.class_token.expand(batch, 1, -1)], [torch.ones_like(next(iter(present.values())))[:, None]]
        for m, tokens in present_tokens(features, present, self.widths).items():
            sequence.append(self.project[m](tokens.values) + self.kind[m])
            real.append(tokens.real)
        hidden = self.layers(torch.cat(sequence, dim=1), src_key_padding_mask=~torch.cat(real, dim=1))
        return FusionOutput(self.head(hidden[:, 0]))
