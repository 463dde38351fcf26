"""SMIL: an absent modality is rebuilt as a weighted sum of learned priors, and what was rebuilt is regularised by its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled, stack_presence
from mmdx.types import Features, FusionOutput


class SMIL(nn.Module):
    """Multimodal learning with severely missing modality (Ma et al. 2021, AAAI, arXiv:2103.05677, "Missing Modality Reconstruction" and
    "Uncertainty-Guided Feature Regularization"), for any number of modalities.

    Features are ``h_m = relu(W_m LN(x_m))``. An absent one is ``sum_p w_p M_p`` over the modality's P priors M, with weights
    ``w ~ N(mean(c), spread(c)^2)`` and c the mean of the h that are there. The layer ``u = V [h_1; ...; h_M]`` of a sample that lacks a modality
    becomes ``u * softplus(r)``, ``r ~ N(A z, softplus(B z)^2)`` with z = [h_1; ...; h_M]. The head reads ``relu(u)``. Evaluation takes the means.

    Deviations: the paper's Bayesian meta-learning (inner steps on incomplete samples, outer ones on complete ones) is a way of training and
    is not done: all is learned at one level, by the task's loss and by ``reconstruction``, the squared error of rebuilding each present
    modality from the others. The priors, in the paper cluster means of complete samples, are learned with the rest. The paper holds the
    mean of the weights at 1 and learns their spread alone; here the mean begins at 1 and is learned too, for else a rebuilt modality would
    in expectation be the same whatever is present. Only this layer is regularised, the paper's encoders are too. Dropout is ours.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width.
        hidden: the width H of features and of the fused vector.
        priors: the number P of priors of each modality.
        reconstruction: weight of the reconstruction loss.
        dropout: share of the fused units dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K] and ``aux_losses["reconstruction"]``, weighted, a mean over
        each modality that a sample has beside another.

    Raises:
        InputError: where ``priors`` is below 1 or ``reconstruction`` below 0.
    """

    method = Method("missing", "Ma et al. 2021, arXiv:2103.05677", absence="design")

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 128,
        priors: int = 10,
        reconstruction: float = 1.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        if priors < 1:
            raise InputError(f"fusion.priors={priors}: must be 1 or more, the number of priors of each modality.")
        if reconstruction < 0:
            raise InputError(f"fusion.reconstruction={reconstruction}: must be 0 or more, the weight of that loss.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.reconstruction = reconstruction
        self.project = nn.ModuleDict(
            {m: nn.Sequential(nn.LayerNorm(self.widths[m]), nn.Linear(self.widths[m], hidden), nn.ReLU()) for m in self.modalities}
        )
        self.priors = nn.ParameterDict({m: nn.Parameter(torch.randn(priors, hidden) / priors) for m in self.modalities})
        self.mean = nn.ModuleDict({m: _constant(nn.Linear(hidden, priors), 1.0) for m in self.modalities})  # the paper's N(1, spread)
        self.spread = nn.ModuleDict({m: nn.Linear(hidden, priors) for m in self.modalities})
        joint = hidden * len(self.modalities)
        self.joint = nn.Linear(joint, hidden)
        self.scale = _constant(nn.Linear(joint, hidden), math.log(math.e - 1))  # softplus of it is 1
        self.scale_spread = nn.Linear(joint, hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        here = stack_presence(present, self.modalities)  # [B, M]
        own = torch.stack([self.project[m](x[m]) for m in self.modalities], dim=1).where(here[:, :, None], 0.0)  # [B, M, H]
        others = here.sum(dim=1, keepdim=True) - here.long()  # [B, M], how many modalities there are beside each
        condition = (own.sum(dim=1, keepdim=True) - own) / others.clamp(min=1)[:, :, None]
        rebuilt = torch.stack([self._rebuild(m, condition[:, i]) for i, m in enumerate(self.modalities)], dim=1)
        both = here & (others > 0)
        error = (rebuilt - own.detach()).square().mean(dim=-1).where(both, 0.0).sum() / both.sum().clamp(min=1)
        z = own.where(here[:, :, None], rebuilt).flatten(1)
        scale = softplus(self._draw(self.scale(z), self.scale_spread(z)))
        u = self.joint(z)
        u = u.where(here.all(dim=1)[:, None], u * scale)
        return FusionOutput(self.head(self.dropout(u.relu())), aux_losses={"reconstruction": self.reconstruction * error})

    def _rebuild(self, name: str, condition: Tensor) -> Tensor:
        """A modality's features [B, H] from those of the others [B, H]."""
        return self._draw(self.mean[name](condition), self.spread[name](condition)) @ self.priors[name]

    def _draw(self, mean: Tensor, spread: Tensor) -> Tensor:
        """One draw of N(mean, softplus(spread)^2) in training, the mean in evaluation."""
        return mean + softplus(spread) * torch.randn_like(mean) if self.training else mean


def _constant(layer: nn.Linear, value: float) -> nn.Linear:
    """The layer, so begun that it gives the value whatever comes in."""
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, value)
    return layer
