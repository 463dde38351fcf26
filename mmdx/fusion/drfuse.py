"""Disentangled fusion: what modalities share is pooled, what each has alone is kept apart, and each output attends to the parts it needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled, stack_presence
from mmdx.fusion.decision import by_modality, count_outputs
from mmdx.types import Features, FusionOutput


class DisentangledFusion(nn.Module):
    """DrFuse (Yao et al. 2024, AAAI, arXiv:2403.06197) for any number of modalities.

    Of each modality come a shared feature s_m and a distinct one d_m. The units of s_m are the logits of probabilities; those of the modalities
    present are pooled to the logits of the mean probability, ``s = logit(mean_m sigmoid(s_m))`` (logit pooling), so s means the same whatever is
    absent. Each output k attends to the parts t in {d_m of those present, s} with keys of its own (disease-wise attention):

    ``h_k = sum_t softmax_t(q . K_k t / sqrt(H)) V t``, ``q = mean_t Q t``, ``logits_k = head(h_k)_k``.

    Two losses shape the features: ``alignment``, the Jensen-Shannon divergence between the modalities' shared probabilities, where a sample has two
    or more, and ``disentangling``, ``|cos(s_m, d_m)|``.

    Deviations: the two losses that need the target are left out, the ranking of attention by which part predicts better and the prediction from s
    alone. The paper also predicts from each d_m, as is done here with ``training.per_modality_loss=1``, but by a layer of its own; here it is
    ``head(V d_m)``, what all attention to d_m would give. The divergence is of Bernoulli distributions and averaged over units. s_m and d_m are
    layers on the encoders' features, where the paper has encoders for each. In the paper only one of two modalities may be absent.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width; it has to take features [..., H] of any shape, as a linear layer does.
        hidden: the width H of shared and distinct features.
        dropout: share of the units dropped in training before both.
        alignment_weight: weight of the loss ``alignment``, at least 0.
        disentangling_weight: weight of the loss ``disentangling``, at least 0.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K], ``per_modality[m]`` [B, K] (0 where m is absent),
        ``weights[m]`` [B], the attention to d_m and an equal part of that to s, averaged over outputs, and the two ``aux_losses``.

    Raises:
        InputError: where a weight is below 0.
    """

    method = Method("missing", "Yao et al. 2024, arXiv:2403.06197", absence="design", own_losses=True)

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 128,
        dropout: float = 0.1,
        alignment_weight: float = 1.0,
        disentangling_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        for key, weight in (("alignment_weight", alignment_weight), ("disentangling_weight", disentangling_weight)):
            if not weight >= 0:
                raise InputError(f"fusion.{key}={weight}: must be 0, for no such loss, or above.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.alignment_weight, self.disentangling_weight = alignment_weight, disentangling_weight

        def layers(width: int) -> nn.Module:
            return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout))

        self.shared = nn.ModuleDict({m: layers(widths[m]) for m in self.modalities})
        self.shared_space = nn.Linear(hidden, hidden)  # one for all modalities
        self.distinct = nn.ModuleDict({m: layers(widths[m]) for m in self.modalities})
        self.head = head(hidden)
        self.query, self.value = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.keys = nn.Linear(hidden, count_outputs(self.head, hidden) * hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        here = stack_presence(present, self.modalities)  # [B, M]
        shared = self.shared_space(torch.stack([self.shared[m](x[m]) for m in self.modalities], dim=1))  # [B, M, H]
        distinct = torch.stack([self.distinct[m](x[m]) for m in self.modalities], dim=1)  # [B, M, H]
        common = pool_logits(shared, here)  # [B, H]
        fused, attention = self._attend(torch.cat([distinct, common[:, None]], dim=1), torch.cat([here, torch.ones_like(here[:, :1])], dim=1))
        logits = self.head(fused).diagonal(dim1=1, dim2=2)  # of [B, K, K], output k from its own feature
        share = attention[:, -1:] / here.sum(dim=1, keepdim=True)
        weights = (attention[:, :-1] + share).where(here, 0.0)
        similar = F.cosine_similarity(shared, distinct, dim=-1).abs()  # [B, M]
        losses = {
            "alignment": self.alignment_weight * _mean_where(divergence(shared, here, common), here.sum(dim=1) > 1),
            "disentangling": self.disentangling_weight * _mean_where(similar, here),
        }
        own = self.head(self.value(distinct)).where(here[:, :, None], 0.0)  # [B, M, K]
        return FusionOutput(logits, by_modality(own, self.modalities), by_modality(weights, self.modalities), losses)

    def _attend(self, parts: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """A feature for each output [B, K, H], and the attention to each part as a mean over outputs [B, P], from parts [B, P, H] there [B, P]."""
        hidden = parts.shape[-1]
        query = self.query(parts).where(there[:, :, None], 0.0).sum(dim=1) / there.sum(dim=1, keepdim=True)  # [B, H]
        keys = self.keys(parts).unflatten(-1, (-1, hidden))  # [B, P, K, H]
        scores = torch.einsum("bh,bpkh->bkp", query, keys) / math.sqrt(hidden)
        attention = scores.masked_fill(~there[:, None, :], -torch.inf).softmax(dim=-1)  # [B, K, P]
        return attention @ self.value(parts), attention.mean(dim=1)


def pool_logits(logits: Tensor, here: Tensor) -> Tensor:
    """Logits [B, H] of the mean of the probabilities that are there, from logits [B, M, H] and presence [B, M]."""
    absent = ~here[:, :, None]
    yes, no = (F.logsigmoid(sign * logits).masked_fill(absent, -torch.inf).logsumexp(dim=1) for sign in (1, -1))
    return yes - no


def divergence(logits: Tensor, here: Tensor, pooled: Tensor) -> Tensor:
    """Jensen-Shannon divergence [B] between Bernoulli distributions with logits [B, M, H], averaged over units: the entropy of their mean, whose
    logits are ``pooled`` [B, H], less the mean of their entropies."""
    each = _entropy(logits).where(here[:, :, None], 0.0).sum(dim=1) / here.sum(dim=1, keepdim=True)
    return (_entropy(pooled) - each).mean(dim=-1)


def _entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of Bernoulli distributions."""
    return F.softplus(logits) - logits * logits.sigmoid()


def _mean_where(values: Tensor, counts: Tensor) -> Tensor:
    """Mean of the values that count; 0 where none does."""
    return values.where(counts, 0.0).sum() / counts.sum().clamp(min=1)
