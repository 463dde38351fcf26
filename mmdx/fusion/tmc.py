"""Evidential fusion: each modality gives an opinion with its uncertainty, and opinions are combined by Dempster's rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdx.fusion.base import Method, modality_names, present_pooled, stack_presence
from mmdx.fusion.decision import by_modality, count_outputs
from mmdx.types import Features, FusionOutput


class TrustedMultiview(nn.Module):
    """Trusted multi-view classification (Han et al. 2021, arXiv:2102.02051).

    Evidence ``e_m = softplus(head_m(x_m))`` for C classes makes a Dirichlet with concentrations ``e_m + 1``, sum ``S_m``, and so an opinion: belief
    ``b_m = e_m / S_m`` in each class and uncertainty ``u_m = C / S_m``, which together sum to 1. Dempster's reduced rule combines two:
    ``b = (b_1 b_2 + b_1 u_2 + b_2 u_1) / (1 - conflict)``, ``u = u_1 u_2 / (1 - conflict)``. As ``b_m / u_m = e_m / C``, it is for any number

    ``1 + e / C = prod_m (1 + e_m / C)``

    whatever the order. An absent modality has no evidence, which is the opinion that changes no other. Logits are the log of the expected
    probabilities ``(e + 1) / S``, so that a task's cross-entropy is that of the expectation. One output is a question with two classes, each with
    evidence of its own, and its logit is ``log((e_yes + 1) / (e_no + 1))``.

    Deviations: the loss is the task's on the expected probabilities, where the paper has the expected cross-entropy; its annealed divergence from the
    uniform Dirichlet of the evidence for wrong classes needs the target, which a fusion does not see, and is left out, so nothing but the task's
    loss holds down evidence. The paper also trains each modality's own opinion: as ``training.per_modality_loss=auto`` does.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes one layer of evidence a modality from its width, or two for outputs with two classes.
        independent: each output is a question of its own with two classes, as in ``task=multilabel``; one output is always so. Else the outputs are
            the classes of one question, as in ``task=multiclass``.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K], ``per_modality[m]`` [B, K] (0 where m is absent) and
        ``weights[m]`` [B]: how sure each is, ``1 - u_m``, as shares that sum to 1 over the modalities present.
    """

    method = Method("decision", "Han et al. 2021, arXiv:2102.02051", absence="design", own_losses=True)

    def __init__(self, widths: Mapping[str, int], head: Callable[[int], nn.Module], independent: bool = False) -> None:
        super().__init__()
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.heads = nn.ModuleDict({m: head(widths[m]) for m in self.modalities})
        first = self.modalities[0]
        self.independent = independent or count_outputs(self.heads[first], widths[first]) == 1
        self.against = nn.ModuleDict({m: head(widths[m]) for m in self.modalities}) if self.independent else None

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        here = stack_presence(present, self.modalities)  # [B, M]
        evidence = torch.stack([self._evidence(m, x[m]) for m in self.modalities], dim=1)  # [B, M, questions, C]
        evidence = evidence.where(here[:, :, None, None], 0.0)
        classes = evidence.shape[-1]
        own = torch.log1p(evidence / classes)  # log of 1 + e_m / C
        votes = self._logits(own).where(here[:, :, None], 0.0)  # [B, M, K]
        total = evidence.sum(dim=-1)
        sure = (total / (total + classes)).mean(dim=-1) + 1e-12  # [B, M]
        shares = sure.where(here, 0.0)
        shares = shares / shares.sum(dim=1, keepdim=True)
        return FusionOutput(self._logits(own.sum(dim=1)), by_modality(votes, self.modalities), by_modality(shares, self.modalities))

    def _evidence(self, name: str, x: Tensor) -> Tensor:
        """Evidence [B, questions, C] from pooled features [B, D_m] of a modality."""
        outputs = self.heads[name](x)  # [B, K]
        if self.against is None:
            return F.softplus(outputs)[:, None, :]
        return F.softplus(torch.stack([outputs, self.against[name](x)], dim=-1))

    def _logits(self, support: Tensor) -> Tensor:
        """Log of the expected probabilities, or log of their odds, [..., K] from ``support = log(1 + e / C)`` [..., questions, C]."""
        classes = support.shape[-1]
        # log(1 + e) = log(1 + C (exp(support) - 1)), with no large number in between
        concentration = math.log(classes) + support + torch.log1p((1 - classes) / classes * (-support).exp())
        if self.independent:
            return concentration[..., 0] - concentration[..., 1]
        return concentration.log_softmax(dim=-1).squeeze(-2)
