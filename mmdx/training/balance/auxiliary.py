"""Each modality also learns by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.strategies.base import require
from mmdx.training.balance.base import Balance, Step


class AuxiliaryLosses(Balance):
    """Fixed weights of losses of each modality's own logits, ``L = L_joint + sum_m w_m L_m``: at 1 the uniform baseline of Wei & Hu (2024,
    arXiv:2405.17730).

    With weights that an earlier run estimated, and ``training.fused_loss`` for the joint one's, it is offline Gradient-Blending (Wang et al. 2020,
    arXiv:1905.12681). It is for any fusion; ``training.per_modality_loss`` is for fusions that have logits of each modality.

    Args:
        widths, head, kind: as of ``Balance``.
        weights: one for all, or one a modality; those not named get none.
    """

    name = "auxiliary"

    def __init__(
        self, widths: Mapping[str, int], head: Callable[[int], nn.Module], kind: str = "binary", weights: float | Mapping[str, float] = 1.0
    ) -> None:
        super().__init__(widths, head, kind)
        given = dict(weights) if isinstance(weights, Mapping) else dict.fromkeys(self.modalities, weights)
        for m, weight in given.items():
            require(weight >= 0, f"balance.weights.{m}", weight, "0 or more")
        self.weights = {m: float(given.get(m, 0.0)) for m in self.modalities}

    def loss(self, step: Step, joint: Tensor) -> Tensor:
        """Add the weighted losses."""
        losses = self.own_losses(step, self.own_logits(step.features))
        return joint + torch.stack([self.weights[m] * own for m, own in losses.items()]).sum()
