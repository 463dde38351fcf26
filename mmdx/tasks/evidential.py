"""Evidential classification: probabilities with the amount of evidence behind them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from mmdx.errors import InputError
from mmdx.evaluation.metrics import area_under_roc
from mmdx.tasks.multiclass import Multiclass

SIDES = ["0", "1"]


def expected_squared_error(alpha: Tensor, truth: Tensor) -> Tensor:
    """Expectation of the squared error of class probabilities drawn from a Dirichlet, [B] (Sensoy et al. 2018, arXiv:1806.01768, eq. 5).

    ``sum_k (y_k - p_k)^2 + p_k (1 - p_k) / (S + 1)`` with ``p_k = alpha_k / S`` and S the sum of alpha.

    Args:
        alpha: concentrations [B, K].
        truth: one-hot classes [B, K].
    """
    total = alpha.sum(dim=1, keepdim=True)
    prob = alpha / total
    return ((truth - prob) ** 2 + prob * (1 - prob) / (total + 1)).sum(dim=1)


def misleading_evidence(alpha: Tensor, truth: Tensor) -> Tensor:
    """Divergence from the uniform Dirichlet of what is left of a Dirichlet without the evidence for the true class, [B]: with concentrations
    ``y + (1 - y) alpha`` (Sensoy et al. 2018, section 3)."""
    left = truth + (1 - truth) * alpha
    return kl_divergence(Dirichlet(left, validate_args=False), Dirichlet(torch.ones_like(left), validate_args=False))


class Evidential(Multiclass):
    """Two or more classes, whose probabilities follow a Dirichlet that the model's logits give (Sensoy, Kaplan & Kandemir 2018, arXiv:1806.01768).

    Evidence ``e = softplus(logits)``, concentrations ``alpha = e + 1``, probabilities ``alpha / S`` and vacuity ``K / S`` with S the sum of alpha:
    1 where there is no evidence. The loss is ``expected_squared_error + kl_weight * misleading_evidence``. Softplus and not the paper's ReLU, as
    logits begin at zero, where a ReLU has no gradient. The paper raises the weight of the second term from 0 to 1 over the first ten epochs;
    here it is constant, so that the loss is a function of logits and targets alone and a resumed run goes on as it was.

    Args:
        classes: names of the classes, in the order of the outputs; "0" and "1" make a binary target.
        class_weight: None, or "balanced" to weigh each class by n / (K n_class).
        kl_weight: weight of the second term, at least 0; 0 leaves evidence for wrong classes unpunished, and vacuity then says little.
    """

    name = "evidential"

    def __init__(self, classes: list[str], class_weight: str | None = None, kl_weight: float = 1.0) -> None:
        super().__init__(classes, class_weight=class_weight)
        if kl_weight < 0:
            raise InputError(f"task.kl_weight={kl_weight}: must be at least 0.")
        self.kl_weight = kl_weight
        self.kind = "binary" if self.binary else "multiclass"

    @property
    def binary(self) -> bool:
        """Whether the classes are 0 and 1."""
        return self.classes == SIDES

    def alpha(self, logits: Tensor) -> Tensor:
        """Concentrations [B, K] from logits [B, K]."""
        return F.softplus(logits) + 1

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean loss from logits [B, K] and class indices [B]."""
        alpha, truth = self.alpha(logits), F.one_hot(target, self.outputs).to(logits.dtype)
        each = expected_squared_error(alpha, truth) + self.kl_weight * misleading_evidence(alpha, truth)
        return (each * self.weights[target]).mean()

    def predict(self, logits: Tensor) -> dict[str, np.ndarray]:
        """``prob`` [B] of class 1, or ``prob_CLASS`` [B] of each class, and ``vacuity`` [B] in 0 to 1, from logits [B, K]."""
        alpha = self.alpha(logits.double())
        total = alpha.sum(dim=1)
        prob = (alpha / total[:, None]).numpy(force=True)
        named = {"prob": prob[:, 1]} if self.binary else {f"prob_{name}": prob[:, i] for i, name in enumerate(self.classes)}
        return named | {"vacuity": (self.outputs / total).numpy(force=True)}

    def score(self, logits: Tensor, target: Tensor) -> float:
        """Mean one-against-the-rest AUROC over the classes that occur in the target, the validation score."""
        alpha = self.alpha(logits)
        prob = (alpha / alpha.sum(dim=1, keepdim=True)).numpy()
        sides = [(target == c).numpy() for c in range(self.outputs)]
        return float(np.mean([area_under_roc(side, prob[:, c]) for c, side in enumerate(sides) if side.any() and not side.all()]))

    def columns(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """The target column of the predictions table."""
        return {"target": table["target"].to_numpy().astype(int)} if self.binary else super().columns(table)
