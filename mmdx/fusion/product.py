"""The product rule: the modalities' posteriors are multiplied, and what they all know beforehand is counted once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.fusion.base import Method, modality_names, present_pooled, stack_presence
from mmdx.fusion.decision import by_modality, count_outputs, own_logits
from mmdx.types import Features, FusionOutput


class ProductOfPosteriors(nn.Module):
    """Product rule with the class prior counted once (Kittler et al. 1998, IEEE TPAMI 20:226): the posterior given the R modalities present is
    in proportion to ``P(k)^(1-R) prod_m P(k | x_m)`` where they are independent given the class. In log-odds this is

    ``logits = prior + sum_m present_m * (head_m(x_m) - prior)``

    so that one modality alone gives its own posterior, and each further one adds what it says beyond the prior. A plain sum of logits counts the
    prior once for every modality, and so shifts with their number. For K exclusive classes the same sum of log-posteriors, up to a constant.

    Each modality's own logits are posteriors only where they are trained as such: as ``training.per_modality_loss=auto`` does.

    Deviations: the prior is a parameter learned with the rest, the paper takes the classes' frequencies.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes one output layer a modality from its width.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K] and ``per_modality[m]`` [B, K], 0 where m is absent.
    """

    method = Method("decision", "Kittler et al. 1998, IEEE TPAMI 20:226", absence="design", own_losses=True)

    def __init__(self, widths: Mapping[str, int], head: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.heads = nn.ModuleDict({m: head(widths[m]) for m in self.modalities})
        first = self.modalities[0]
        self.prior = nn.Parameter(torch.zeros(count_outputs(self.heads[first], widths[first])))

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        here = stack_presence(present, self.modalities)  # [B, M]
        votes = own_logits(self.heads, x, here)  # [B, M, K]
        beyond = (votes - self.prior).where(here[:, :, None], 0.0)
        return FusionOutput(self.prior + beyond.sum(dim=1), by_modality(votes, self.modalities))
