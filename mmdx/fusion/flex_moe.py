"""Fusion by a mixture of experts in which each combination of modalities has one of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.attention import Attention, check_heads
from mmdx.fusion.base import Method, check_counts, modality_names, present_tokens, stack_presence
from mmdx.types import Features, FusionOutput


class FlexMoE(nn.Module):
    """Flexible mixture of experts, Flex-MoE (Yun et al. 2024, arXiv:2410.08245).

    In an absent modality's place stand learned tokens from a missing-modality bank, looked up by which modalities are there. All tokens go
    through attention, ``x = x + attention(LN(x))``, and a sparse mixture of experts, ``x = x + sum_e G(LN(x))_e f_e(LN(x))``, where G is
    the softmax over the k largest router logits (with Gaussian noise in training) and 0 elsewhere. Each modality's mean token goes to
    the head, joined. Expert 0 belongs to the full combination, expert c to combination c.

    Both auxiliary losses come from the router and already have the weight ``balance``: ``balance``, the squared coefficients of variation of
    importance and load (Shazeer et al. 2017, arXiv:1701.06538, eqs. 6 to 11) over tokens of complete samples and, without expert 0, over those
    of incomplete ones; and ``combination``, which teaches the router to choose an incomplete sample's own expert first, by cross-entropy.

    Deviations: every expert is computed and unchosen ones have weight 0, so that nothing branches on data; one layer; no position embedding,
    since an encoder's tokens carry their own; samples are not sorted so that complete ones come first in early epochs; both losses are over the
    tokens of all modalities together, where the authors' code adds up one of each modality. Gates are normed over the chosen k, as in the
    authors' code; that code overwrites the residual around attention, which is kept here.

    Args:
        widths: D_m, the width of each modality's tokens.
        head: makes the output layer from the width M * H.
        hidden: width H of the tokens, a multiple of ``heads``.
        experts: number of experts; None has one for each of the 2^M - 1 combinations of modalities, a number must be no fewer.
        top_k: how many experts a token goes to.
        bank_tokens: tokens that stand in an absent modality's place.
        heads: attention heads.
        dropout: dropout in and after attention and after the experts.
        balance: weight of the auxiliary losses, which are added to the task's loss.

    Shapes:
        ``features[m].tokens`` [B, N_m, D_m], ``features[m].mask`` [B, N_m] and ``present[m]`` [B] give ``logits`` [B, K] and the
        ``aux_losses`` "balance" and "combination", one number each.
    """

    method = Method("missing", "Yun et al. 2024, arXiv:2410.08245", tokens=True, absence="design")
    combination: Tensor

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 64,
        experts: int | None = None,
        top_k: int = 2,
        bank_tokens: int = 1,
        heads: int = 4,
        dropout: float = 0.1,
        balance: float = 0.01,
    ) -> None:
        super().__init__()
        check_heads(hidden, heads)
        check_counts(top_k=top_k, bank_tokens=bank_tokens)
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        count = len(self.modalities)
        table = [[m in chosen for m in self.modalities] for size in range(count, 0, -1) for chosen in combinations(self.modalities, size)]
        experts = len(table) if experts is None else experts
        check_counts(experts=experts)
        if experts < len(table):
            raise InputError(f"fusion.experts={experts}: {count} modalities have {len(table)} combinations; give as many experts, or null.")
        if not balance >= 0:
            raise InputError(f"fusion.balance={balance}: must be 0 or more, the weight of the router's losses.")
        self.balance = balance
        self.register_buffer("combination", torch.tensor(table), persistent=False)  # [C, M], the full one first
        self.project = nn.ModuleDict({m: nn.Linear(widths[m], hidden) for m in self.modalities})
        self.bank = nn.ParameterDict({m: nn.Parameter(torch.randn(len(table), bank_tokens, hidden)) for m in self.modalities})
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.attention = Attention(hidden, heads=heads, dropout=dropout, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.router = NoisyRouter(hidden, experts, min(top_k, experts))
        self.experts = Experts(hidden, experts)
        self.head = head(count * hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        tokens = present_tokens(features, present, self.widths)
        here = stack_presence(present, self.modalities)  # [B, M]
        which = (here[:, None, :] == self.combination).all(dim=-1)  # [B, C], one true
        sequence, real, sizes = [], [], []
        for m in self.modalities:
            bank = self.bank[m]  # [C, tokens, H]
            bank = (which.to(bank.dtype) @ bank.flatten(1)).unflatten(1, bank.shape[1:])
            stand_in = ~present[m][:, None].expand(-1, bank.shape[1])
            sequence.append(torch.cat([self.project[m](tokens[m].values), bank], dim=1))
            real.append(torch.cat([tokens[m].real, stand_in], dim=1))
            sizes.append(sequence[-1].shape[1])
        mask = torch.cat(real, dim=1)  # [B, N]
        x = torch.cat(sequence, dim=1)
        normed = self.norm1(x)
        x = x + self.dropout(self.attention(normed, normed, mask))
        normed = self.norm2(x)
        gates, load, logits = self.router(normed)
        x = x + self.dropout(self.experts(normed, gates))
        parts = zip(x.split(sizes, dim=1), real, strict=True)
        pooled = torch.cat([Features(part, own).pooled for part, own in parts], dim=-1)
        losses = router_losses(gates.float(), load.float(), logits.float(), mask, which)
        return FusionOutput(self.head(pooled), aux_losses={name: self.balance * loss for name, loss in losses.items()})


class NoisyRouter(nn.Module):
    """Noisy top-k gating (Shazeer et al. 2017, arXiv:1701.06538, eqs. 3 to 5 and 9).

    Tokens [..., H] give gates [..., E], of which k are above 0 and sum to 1, the probability that noise leaves each expert among the
    k [..., E] (1 where all are chosen), and the logits [..., E]. Noise is drawn in training only.
    """

    def __init__(self, width: int, experts: int, top_k: int) -> None:
        super().__init__()
        self.top_k = top_k
        self.clean = nn.Linear(width, experts, bias=False)
        self.noise = nn.Linear(width, experts, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Route; see the class for shapes."""
        clean = self.clean(x)
        spread = nn.functional.softplus(self.noise(x)) + 0.01
        logits = clean + spread * torch.randn_like(clean) if self.training else clean
        experts = logits.shape[-1]
        top, index = logits.topk(min(self.top_k + 1, experts), dim=-1)
        chosen = torch.zeros_like(logits).scatter(-1, index[..., : self.top_k], 1.0) > 0
        gates = logits.masked_fill(~chosen, -torch.inf).softmax(dim=-1)
        if self.top_k == experts:
            return gates, torch.ones_like(spread) + 0.0 * spread, logits
        others = torch.where(chosen, top[..., self.top_k, None], top[..., self.top_k - 1, None])  # the one to beat
        load = 0.5 * (1 + torch.erf((clean - others) / spread / 2**0.5))
        return gates, load, logits


class Experts(nn.Module):
    """E feed-forward networks with GELU and twice the units: tokens [B, N, H] and gates [B, N, E] give the gated sum [B, N, H]."""

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        inner = 2 * width
        self.weight1, self.bias1 = nn.Parameter(torch.empty(experts, inner, width)), nn.Parameter(torch.zeros(experts, inner))
        self.weight2, self.bias2 = nn.Parameter(torch.empty(experts, width, inner)), nn.Parameter(torch.zeros(experts, width))
        for weight in (self.weight1, self.weight2):
            nn.init.uniform_(weight, -(weight.shape[-1] ** -0.5), weight.shape[-1] ** -0.5)

    def forward(self, x: Tensor, gates: Tensor) -> Tensor:
        """Apply every expert and add up by the gates."""
        inner = nn.functional.gelu(x @ self.weight1.flatten(0, 1).T + self.bias1.flatten())  # [B, N, E * 2H]
        gated = gates[..., None] * inner.unflatten(-1, self.bias1.shape)
        return gated.flatten(2) @ self.weight2.mT.flatten(0, 1) + gates @ self.bias2


def router_losses(gates: Tensor, load: Tensor, logits: Tensor, real: Tensor, which: Tensor) -> dict[str, Tensor]:
    """Balance and combination loss of a router's gates, load and logits [B, N, E] on real tokens [B, N] of samples with combination [B, C]."""
    full = which[:, 0, None]
    complete, incomplete = (real & full)[:, :, None], (real & ~full)[:, :, None]
    balance = torch.stack(
        [squared_variation(part.where(complete, 0.0).sum(dim=(0, 1))) for part in (gates, load)]
        + [squared_variation(part.where(incomplete, 0.0).sum(dim=(0, 1))[1:]) for part in (gates, load)]
    ).sum()
    own = which[:, None, :] & incomplete  # [B, N, C]
    wrong = -logits.log_softmax(dim=-1)[..., : which.shape[1]].where(own, 0.0).sum()
    return {"balance": balance, "combination": wrong / own.sum().clamp(min=1)}


def squared_variation(x: Tensor) -> Tensor:
    """Squared coefficient of variation of [E], 0 where there are fewer than two values."""
    if len(x) < 2:
        return 0.0 * x.sum()
    return x.var() / (x.mean().square() + 1e-10)
