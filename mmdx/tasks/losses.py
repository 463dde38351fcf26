"""Losses on logits, one value a sample (or a sample and label), so that weights and missing labels are applied outside."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmdx.errors import InputError


class CrossEntropy(nn.Module):
    """Negative log-likelihood: of a Bernoulli for logits [B] or [B, L] with targets of that shape, of a categorical for logits
    [B, C] with class indices [B]. Returns one value an entry.

    Args:
        label_smoothing: share of the target's mass spread evenly, 0 to below 1 (Szegedy et al. 2016, section 7).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise InputError(f"task.loss.label_smoothing={label_smoothing}: must be at least 0 and below 1.")
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of each entry."""
        if target.is_floating_point():
            target = target * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
            return F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return F.cross_entropy(logits, target, reduction="none", label_smoothing=self.label_smoothing)


class Focal(nn.Module):
    """Focal loss ``(1 - p_t)^gamma * -log p_t`` (Lin et al. 2017, arXiv:1708.02002, eq. 4); gamma 0 is cross-entropy.

    Args:
        gamma: how strongly easy entries are played down, at least 0.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        if gamma < 0:
            raise InputError(f"task.loss.gamma={gamma}: must be at least 0.")
        self.gamma = gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of each entry; shapes as for ``CrossEntropy``."""
        if target.is_floating_point():
            nll = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        else:
            nll = F.cross_entropy(logits, target, reduction="none")
        return (-nll).expm1().neg().pow(self.gamma) * nll


class SquaredError(nn.Module):
    """``(output - target)^2``, one value an entry."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss of each entry."""
        return F.mse_loss(output, target, reduction="none")


class Huber(nn.Module):
    """Squared error / 2 up to ``delta``, beyond it linear, so that few extreme targets count less (Huber 1964, Ann Math Stat 35:73).

    Args:
        delta: in units of the target's standard deviation, above 0.
    """

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        if not delta > 0:
            raise InputError(f"task.loss.delta={delta}: must be above 0.")
        self.delta = delta

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss of each entry."""
        return F.huber_loss(output, target, reduction="none", delta=self.delta)
