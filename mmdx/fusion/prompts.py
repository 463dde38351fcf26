"""A joint Transformer that is told by prompts what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_tokens, stack_presence
from mmdx.types import Features, FusionOutput


class MissingAwarePrompts(nn.Module):
    """Missing-aware prompts (Lee et al. 2023, CVPR, arXiv:2303.03369, input-level) in a joint Transformer over all modalities' tokens.

    In each of the first ``prompt_layers`` layers, learned prompt tokens P_i of the sample's missing pattern are put before the sequence,
    ``h_{i+1} = layer_i([P_i; h_i])``, and stay there. Here a sample with every modality gets the prompt of completeness, any other the prompts of its
    absent modalities, each with its own tokens; what is not the sample's is masked from attention. So M modalities need M + 1 prompts and not 2^M -
    1; for two modalities these are the paper's three patterns. The sequence is a class token, which the head reads, and ``W_m LN(t) + e_m`` for each
    token of a present modality, with a learned embedding e_m of the modality.

    Deviations: the Transformer is small and trained with the prompts, the paper prompts a pretrained one that it freezes; absent tokens are masked,
    where the paper puts dummy inputs; a class token in place of the text's; no position
    embeddings, since an encoder's tokens carry their own.

    Args:
        widths: D_m, the width of each modality's tokens.
        head: makes the output layer from the fused width.
        hidden: the fused width H, a multiple of ``heads``.
        layers: number of Transformer layers.
        heads: attention heads a layer.
        length: tokens of a prompt in each layer that has them, at least 1.
        prompt_layers: in how many layers, from the first, prompts are added: 1 to ``layers``.
        dropout: dropout in attention and feed-forward layers.

    Shapes:
        ``features[m].tokens`` [B, N_m, D_m], ``features[m].mask`` [B, N_m] and ``present[m]`` [B] give ``logits`` [B, K].

    Raises:
        InputError: where ``hidden`` is no multiple of ``heads``, a prompt has no token, or ``prompt_layers`` is not from 1 to ``layers``.
    """

    method = Method("missing", "Lee et al. 2023, arXiv:2303.03369", tokens=True, absence="design")

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 64,
        layers: int = 2,
        heads: int = 4,
        length: int = 4,
        prompt_layers: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden, layers=layers, heads=heads)
        if hidden % heads:
            raise InputError(f"fusion.hidden={hidden}: must be a multiple of fusion.heads={heads}.")
        if length < 1:
            raise InputError(f"fusion.length={length}: a prompt must have at least 1 token.")
        if not 1 <= prompt_layers <= layers:
            raise InputError(f"fusion.prompt_layers={prompt_layers}: must be from 1 to fusion.layers={layers}.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.project = nn.ModuleDict({m: nn.Sequential(nn.LayerNorm(widths[m]), nn.Linear(widths[m], hidden)) for m in self.modalities})
        self.kind = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(hidden)) for m in self.modalities})
        self.class_token = nn.Parameter(0.02 * torch.randn(hidden))
        self.length = length
        self.complete = nn.Parameter(0.02 * torch.randn(prompt_layers, length, hidden))
        self.absent = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(prompt_layers, length, hidden)) for m in self.modalities})
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(hidden, heads, 4 * hidden, dropout, "gelu", batch_first=True, norm_first=True) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(hidden)
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        here = stack_presence(present, self.modalities)  # [B, M]
        batch = here.shape[0]
        sequence, real = [self.class_token.expand(batch, 1, -1)], [torch.ones_like(here[:, :1])]
        for m, tokens in present_tokens(features, present, self.widths).items():
            sequence.append(self.project[m](tokens.values) + self.kind[m])
            real.append(tokens.real)
        hidden, known = torch.cat(sequence, dim=1), torch.cat(real, dim=1)
        prompts = torch.stack([self.complete, *(self.absent[m] for m in self.modalities)], dim=1).flatten(1, 2)  # [layers, (1 + M) length, H]
        asked = torch.cat([here.all(dim=1, keepdim=True), ~here], dim=1)  # [B, 1 + M]
        asked = asked[:, :, None].expand(-1, -1, self.length).flatten(1)  # [B, (1 + M) length]
        added = 0
        for number, layer in enumerate(self.layers):
            if number < len(prompts):
                hidden = torch.cat([prompts[number].expand(batch, -1, -1), hidden], dim=1)
                known = torch.cat([asked, known], dim=1)
                added += asked.shape[1]
            hidden = layer(hidden, src_key_padding_mask=~known)
        return FusionOutput(self.head(self.norm(hidden[:, added])))
