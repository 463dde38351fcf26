"""One of several classes that have an order, such as grades."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.metrics import cohen_kappa_score
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.tasks.weights import balanced_weights, check_class_weight


class Ordinal(nn.Module):
    """K levels in order, one a sample: K - 1 outputs f_k with ``P(y > k | y >= k) = sigmoid(f_k)``, the continuation-ratio model.

    So ``P(y > k) = sigmoid(f_0) ... sigmoid(f_k)``, which cannot rise with k, and the loss is the negative log-likelihood: each output learns
    from the samples that reach its level (Fienberg 1980, The Analysis of Cross-Classified Categorical Data, section 6.6; Shi, Cao and
    Raschka 2023, arXiv:2111.08851).

    Args:
        levels: names of the levels, from the lowest to the highest.
        class_weight: None, or "balanced" to weigh each level by n / (K n_level).
    """

    kind = "ordinal"
    score_name = "qwk"
    weights: Tensor

    def __init__(self, levels: list[str], class_weight: str | None = None) -> None:
        super().__init__()
        self.levels = [str(level) for level in levels]
        if len(self.levels) < 2 or len(set(self.levels)) < len(self.levels):
            raise InputError(f"task.levels={self.levels}: needs at least two different names, from the lowest to the highest.")
        self.outputs = len(self.levels) - 1
        self.class_weight = check_class_weight(class_weight)
        self.register_buffer("weights", torch.ones(len(self.levels)))

    def encode(self, table: pd.DataFrame) -> np.ndarray:
        """Numbers of the levels, int64 [n].

        Raises:
            InputError: where the table has no ``target``, or names a level that ``levels`` doesn't, or has only one.
        """
        if "target" not in table:
            raise InputError("task=ordinal: the data set has no single target; it has labels for task=multilabel, or times for task=survival_cox.")
        names = table["target"].astype(str)
        unknown = sorted(set(names) - set(self.levels))
        if unknown:
            raise InputError(f"task=ordinal: the data has levels {unknown[:5]} that task.levels={self.levels} does not name.")
        if names.nunique() < 2:
            raise InputError(f"task=ordinal: all {len(names)} samples have one level, {names.iloc[0]!r}; at least two are needed.")
        return names.map({name: i for i, name in enumerate(self.levels)}).to_numpy(np.int64)

    def strata(self, target: np.ndarray) -> np.ndarray:
        """Labels [n] to stratify a split by."""
        return target

    def fit(self, target: np.ndarray) -> dict[str, list[float]]:
        """Class weights from the training split's targets."""
        weights = balanced_weights(target, len(self.levels)) if self.class_weight else [1.0] * len(self.levels)
        self.load({"weights": weights})
        return {"weights": weights}

    def load(self, state: dict[str, list[float]]) -> None:
        """Take back what ``fit`` returned."""
        self.weights.copy_(torch.tensor(state["weights"]))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean negative log-likelihood from outputs [B, K - 1] and numbers of levels [B]."""
        return (F.nll_loss(_log_probabilities(logits), target, reduction="none") * self.weights[target]).mean()

    def predict(self, logits: Tensor) -> dict[str, np.ndarray]:
        """``prob_LEVEL`` [B] of each level from outputs [B, K - 1]."""
        probabilities = _log_probabilities(logits.double()).exp().numpy(force=True)
        return {f"prob_{name}": probabilities[:, i] for i, name in enumerate(self.levels)}

    def score(self, logits: Tensor, target: Tensor) -> float:
        """Quadratic weighted kappa of the level with the highest probability, the validation score; NaN where both are constant."""
        guess = _log_probabilities(logits).argmax(dim=1)
        if len({*target.tolist(), *guess.tolist()}) < 2:
            return float("nan")
        return float(cohen_kappa_score(target.numpy(), guess.numpy(), labels=range(len(self.levels)), weights="quadratic"))

    def columns(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """The target column of the predictions table."""
        return {"target": table["target"].astype(str).to_numpy()}


def _log_probabilities(logits: Tensor) -> Tensor:
    """log P(y = k), [B, K], from outputs [B, K - 1]: beyond every level below k, and not beyond k."""
    nothing = torch.zeros_like(logits[:, :1])
    beyond = torch.cat([nothing, F.logsigmoid(logits).cumsum(dim=1)], dim=1)
    return beyond + torch.cat([F.logsigmoid(-logits), nothing], dim=1)
