"""Products of experts: each modality is a Gaussian belief about one latent, and beliefs that are there are multiplied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled, stack_presence
from mmdx.fusion.decision import by_modality
from mmdx.types import Features, FusionOutput

MOST_MODALITIES = 8  # 255 subsets


class GaussianExpert(nn.Module):
    """Mean and log variance [B, L] of a modality's belief about the latent, from pooled features [B, D]: ``h = dropout(gelu(W LN(x)))`` and a linear
    layer for each."""

    def __init__(self, width: int, hidden: int, latent: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout))
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance."""
        h = self.body(x)
        return self.mean(h), self.log_variance(h)


def multiply(mean: Tensor, log_variance: Tensor, counts: Tensor, prior: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Product of Gaussians (Wu & Goodman 2018, arXiv:1802.05335): precisions add up, and the mean is that of the means weighted by them.

    Args:
        mean, log_variance: of the experts, [..., M, L].
        counts: [..., M] bool, which of them to multiply.
        prior: whether the standard normal is one expert more; else at least one has to count.

    Returns:
        mean and log variance [..., L] of the product, and the experts' shares of its precision [..., M, L], 0 where one doesn't count.
    """
    log_precision = torch.where(counts[..., None], -log_variance, -torch.inf)
    if prior:
        log_precision = torch.cat([log_precision, torch.zeros_like(log_precision[..., :1, :])], dim=-2)
    shares = log_precision.softmax(dim=-2)[..., : mean.shape[-2], :]
    return (shares * mean).sum(dim=-2), -log_precision.logsumexp(dim=-2), shares


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence [...] of a diagonal Gaussian [..., L] from the standard normal."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=-1)


class _Experts(nn.Module):
    """What both fusions have: an expert a modality, a latent, and the divergence as a loss."""

    def __init__(
        self, widths: Mapping[str, int], head: Callable[[int], nn.Module], hidden: int, latent: int, dropout: float, kl_weight: float
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden, latent=latent)
        if not kl_weight >= 0:
            raise InputError(f"fusion.kl_weight={kl_weight}: must be 0, for no such loss, or above.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.kl_weight = kl_weight
        self.experts = nn.ModuleDict({m: GaussianExpert(widths[m], hidden, latent, dropout) for m in self.modalities})
        self.head = head(latent)

    def _beliefs(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and log variance [B, M, L] of each modality's belief, and presence [B, M]."""
        x = present_pooled(features, present, self.widths)
        beliefs = [self.experts[m](x[m]) for m in self.modalities]
        mean, log_variance = (torch.stack(parts, dim=1) for parts in zip(*beliefs, strict=True))
        return mean, log_variance, stack_presence(present, self.modalities)

    def _draw(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """A draw in training, the mean elsewhere."""
        return mean + torch.randn_like(mean) * (log_variance / 2).exp() if self.training else mean


class ProductOfExperts(_Experts):
    """Product of experts (MVAE, Wu & Goodman 2018, arXiv:1802.05335): each modality gives a Gaussian ``N(mu_m, V_m)`` over a latent z,
    and the posterior given those present is their product with the prior's, the standard normal:

    ``V = (1 + sum_m present_m / V_m)^-1``, ``mu = V sum_m present_m mu_m / V_m``.

    The head reads a draw of z in training and mu elsewhere. An absent modality is no expert. The divergence of the posterior from the prior is the
    loss ``kl``.

    Deviations: there are no decoders; the likelihood is the task's, which makes it a variational information bottleneck; the paper's loss adds the
    same for subsets of the modalities, which ``training.modality_dropout`` gives here.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the latent.
        hidden: width of each expert's hidden layer.
        latent: L, the width of z.
        dropout: share of the hidden units dropped in training.
        kl_weight: weight of the divergence, summed over the latent and averaged over the batch; at least 0.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K], ``weights[m]`` [B], the modality's share of the precision that
        the modalities present add, averaged over the latent, and ``aux_losses["kl"]``.

    Raises:
        InputError: where ``kl_weight`` is below 0.
    """

    method = Method("missing", "Wu & Goodman 2018, arXiv:1802.05335", absence="design")

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 128,
        latent: int = 64,
        dropout: float = 0.1,
        kl_weight: float = 0.001,
    ) -> None:
        super().__init__(widths, head, hidden, latent, dropout, kl_weight)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        mean, log_variance, here = self._beliefs(features, present)
        shares = multiply(mean, log_variance, here, prior=False)[2].mean(dim=-1)  # [B, M]
        mean, log_variance, _ = multiply(mean, log_variance, here, prior=True)  # [B, L]
        kl = self.kl_weight * divergence(mean, log_variance).mean()
        logits = self.head(self._draw(mean, log_variance))
        return FusionOutput(logits, weights=by_modality(shares, self.modalities), aux_losses={"kl": kl})


class MixtureOfProducts(_Experts):
    """Mixture of products of experts (MoPoE, Sutter et al. 2021, arXiv:2105.02470): the posterior over a latent z is an even mixture of
    the products of experts of all non-empty subsets S of the modalities present,

    ``q(z) = 1 / (2^n - 1) sum_S PoE(q_m : m in S)``,

    of Gaussians ``q_m = N(mu_m, V_m)`` whose precisions add up in a product. The head reads a draw of the mixture in training (a subset, then z) and
    its mean elsewhere. A subset with an absent modality is left out, so an absent modality is no expert. The mean of the products' divergences from
    the standard normal, which bounds that of the mixture, is the loss ``kl``.

    Deviations: there are no decoders; the likelihood is the task's. The subset is drawn at random, where the authors' code shares out the rows of a
    batch.

    Args:
        widths: D_m, the width of each modality's features; at most 8 of them, 255 subsets.
        head: makes the output layer from the latent.
        hidden: width of each expert's hidden layer.
        latent: L, the width of z.
        dropout: share of the hidden units dropped in training.
        kl_weight: weight of the divergence, summed over the latent and averaged over the batch; at least 0.
        prior_expert: make the prior one expert more in each product. The paper has none; its authors' code has it in the product of all modalities.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K], ``weights[m]`` [B], the modality's share of the precision in
        the subsets, averaged over subsets and latent, and ``aux_losses["kl"]``.

    Raises:
        InputError: where there are more than 8 modalities or ``kl_weight`` is below 0.
    """

    method = Method("missing", "Sutter et al. 2021, arXiv:2105.02470", absence="design")
    subsets: Tensor

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 128,
        latent: int = 64,
        dropout: float = 0.1,
        kl_weight: float = 0.001,
        prior_expert: bool = False,
    ) -> None:
        super().__init__(widths, head, hidden, latent, dropout, kl_weight)
        if len(widths) > MOST_MODALITIES:
            count = len(widths)
            raise InputError(
                f"widths: {count} modalities have {2**count - 1} subsets, more than this fusion multiplies out; give it {MOST_MODALITIES} or "
                "fewer, or use fusion=poe."
            )
        self.prior_expert = prior_expert
        members = [subset for subset in product([False, True], repeat=len(widths)) if any(subset)]
        self.register_buffer("subsets", torch.tensor(members), persistent=False)  # [S, M]

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        mean, log_variance, here = self._beliefs(features, present)
        there = (here[:, None, :] | ~self.subsets).all(dim=-1)  # [B, S], the subsets of what is present
        part = there / there.sum(dim=1, keepdim=True)  # [B, S]
        experts = (mean[:, None], log_variance[:, None], self.subsets)
        shares = multiply(*experts, prior=False)[2].mean(dim=-1)  # [B, S, M]
        mean, log_variance, _ = multiply(*experts, prior=self.prior_expert)  # [B, S, L]
        kl = self.kl_weight * (part * divergence(mean, log_variance).where(there, 0.0)).sum(dim=1).mean()
        if self.training:
            drawn = torch.rand_like(part).where(there, -1.0).argmax(dim=1)  # [B], one of the subsets, all as likely
            latent = self._draw(mean, log_variance).take_along_dim(drawn[:, None, None], dim=1)[:, 0]
        else:
            latent = (part[:, :, None] * mean).sum(dim=1)  # [B, L]
        weights = (part[:, :, None] * shares).sum(dim=1)  # [B, M]
        return FusionOutput(self.head(latent), weights=by_modality(weights, self.modalities), aux_losses={"kl": kl})
