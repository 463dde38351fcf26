"""Binary diagnosis: one logit, one probability."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.evaluation.metrics import area_under_roc
from mmdx.tasks.losses import CrossEntropy
from mmdx.tasks.weights import balanced_weights, check_class_weight


class Binary(nn.Module):
    """Two classes, 0 and 1.

    Args:
        loss: one value an entry from logits and targets, ``CrossEntropy`` or ``Focal``.
        class_weight: None, or "balanced" to weigh each class by n / (2 n_class), as scikit-learn does.
    """

    kind = "binary"
    score_name = "auroc"
    outputs = 1

    weights: Tensor

    def __init__(self, loss: nn.Module | None = None, class_weight: str | None = None) -> None:
        super().__init__()
        self.loss_of = loss or CrossEntropy()
        self.class_weight = check_class_weight(class_weight)
        self.register_buffer("weights", torch.ones(2))

    def encode(self, table: pd.DataFrame) -> np.ndarray:
        """Targets as float32 [n].

        Raises:
            InputError: where the table has no ``target``, a value other than 0 and 1, or only one class.
        """
        if "target" not in table:
            raise InputError("task=binary: the data set has no single target; it has labels for task=multilabel.")
        values = table["target"].to_numpy()
        odd = sorted({str(v) for v in values if v not in (0, 1)})
        if odd:
            raise InputError(f"task=binary: the target has values {odd[:5]}, expected 0 and 1; use task=multiclass for named classes.")
        target = values.astype(np.float32)
        if len(set(target.tolist())) < 2:
            only = int(target[0]) if len(target) else "none"
            raise InputError(f"task=binary: all {len(target)} samples have class {only}; a diagnosis needs samples of class 0 and of class 1.")
        return target

    def strata(self, target: np.ndarray) -> np.ndarray:
        """Labels [n] to stratify a split by."""
        return target.astype(int)

    def fit(self, target: np.ndarray) -> dict[str, list[float]]:
        """Class weights from the training split's targets."""
        weights = balanced_weights(target.astype(int), 2) if self.class_weight else [1.0, 1.0]
        self.load({"weights": weights})
        return {"weights": weights}

    def load(self, state: dict[str, list[float]]) -> None:
        """Take back what ``fit`` returned."""
        self.weights.copy_(torch.tensor(state["weights"]))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean loss from logits [B, 1] and targets [B]."""
        return (self.loss_of(logits[:, 0], target) * self.weights[target.long()]).mean()

    def predict(self, logits: Tensor) -> dict[str, np.ndarray]:
        """``prob`` [B], the probability of class 1, from logits [B, 1]."""
        return {"prob": logits[:, 0].double().sigmoid().numpy(force=True)}

    def score(self, logits: Tensor, target: Tensor) -> float:
        """Area under the ROC curve of logits [B, 1], the validation score."""
        return area_under_roc(target.numpy(), logits[:, 0].numpy())

    def columns(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """The target column of the predictions table."""
        return {"target": table["target"].to_numpy().astype(int)}
