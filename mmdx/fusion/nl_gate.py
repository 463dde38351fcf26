"""NL-gate: the tokens of one modality collect from those of all others by non-local attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_tokens
from mmdx.types import Features, FusionOutput


class NonLocalGate(nn.Module):
    """Non-local gate (Wang et al. 2020, arXiv:1905.12681, as in MultiBench, Liang et al. 2021, arXiv:2107.07502): tokens of one modality
    are the queries, those of the other the keys and values, ``h_i = q_i + sum_j softmax_j(q_i . k_j) v_j`` without scaling.

    q, k and v are linear in the layer-normed tokens; the head reads ``gelu`` of the mean of h over the query modality's tokens. Where the query
    modality is absent a zero query stands in for it, which takes the mean of the values; where it is the only one present h is q.

    Deviations: features are layer-normed first; mean over tokens and GELU where MultiBench flattens a fixed number of tokens, and layers that are
    applied to each token where its are to all of them at once; with more than two modalities the tokens of all others, each with layers of its
    own, are keys and values.

    Args:
        widths: D_m, the width of each modality's tokens.
        head: makes the output layer from the fused width.
        query: the modality whose tokens are the queries; by default the first in alphabetical order, as image is of image and text.
        hidden: the width H of queries, keys and values.
        dropout: share of the fused units dropped in training.

    Shapes:
        ``features[m].tokens`` [B, N_m, D_m], ``features[m].mask`` [B, N_m] and ``present[m]`` [B] give ``logits`` [B, K].

    Raises:
        InputError: where ``query`` is none of the modalities.
    """

    method = Method("attention", "Wang et al. 2020, arXiv:1905.12681", tokens=True)

    def __init__(
        self, widths: Mapping[str, int], head: Callable[[int], nn.Module], query: str | None = None, hidden: int = 128, dropout: float = 0.1
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        names = modality_names(widths)
        if query is not None and query not in names:
            raise InputError(f"fusion.query={query}: must be one of the modalities, {', '.join(names)}; or null for the first of them.")
        self.query = query if query is not None else names[0]
        self.others = [m for m in names if m != self.query]
        self.widths = {m: widths[m] for m in names}
        self.norm = nn.ModuleDict({m: nn.LayerNorm(widths[m]) for m in names})
        self.to_query = nn.Linear(widths[self.query], hidden)
        self.to_key = nn.ModuleDict({m: nn.Linear(widths[m], hidden) for m in self.others})
        self.to_value = nn.ModuleDict({m: nn.Linear(widths[m], hidden) for m in self.others})
        self.activate = nn.Sequential(nn.GELU(), nn.Dropout(dropout))
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        kept = present_tokens(features, present, self.widths)
        tokens = {m: self.norm[m](own.values) for m, own in kept.items()}
        given = present[self.query][:, None]  # [B, 1]
        h = self.to_query(tokens[self.query]).where(given[:, :, None], 0.0)  # [B, N_query, H]
        if self.others:
            keys = torch.cat([self.to_key[m](tokens[m]) for m in self.others], dim=1)  # [B, N, H]
            values = torch.cat([self.to_value[m](tokens[m]) for m in self.others], dim=1)  # [B, N, H]
            real = torch.cat([kept[m].real for m in self.others], dim=1)[:, None]  # [B, 1, N]
            scores = h @ keys.transpose(1, 2)  # [B, N_query, N]
            shares = scores.masked_fill(~real, torch.finfo(scores.dtype).min).softmax(dim=-1).where(real, 0.0)  # all 0 without a real key
            h = h + shares @ values
        return FusionOutput(self.head(self.activate(Features(h, kept[self.query].real | ~given).pooled)))
