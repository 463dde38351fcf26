"""Several classes of which each sample has one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.evaluation.metrics import area_under_roc
from mmdx.tasks.losses import CrossEntropy
from mmdx.tasks.weights import balanced_weights, check_class_weight


class Multiclass(nn.Module):
    """C named classes, one a sample.

    Args:
        classes: names of the classes, in the order of the outputs.
        loss: one value a sample from logits and class indices, ``CrossEntropy`` or ``Focal``.
        class_weight: None, or "balanced" to weigh each class by n / (C n_class).
    """

    name = "multiclass"
    kind = "multiclass"
    score_name = "auroc"
    weights: Tensor

    def __init__(self, classes: list[str], loss: nn.Module | None = None, class_weight: str | None = None) -> None:
        super().__init__()
        self.classes = [str(c) for c in classes]
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise InputError(f"task.classes={self.classes}: needs at least two different names.")
        self.outputs = len(self.classes)
        self.loss_of = loss or CrossEntropy()
        self.class_weight = check_class_weight(class_weight)
        self.register_buffer("weights", torch.ones(self.outputs))

    def encode(self, table: pd.DataFrame) -> np.ndarray:
        """Class indices, int64 [n].

        Raises:
            InputError: where the table has no ``target``, or names a class that ``classes`` doesn't, or has only one class.
        """
        if "target" not in table:
            raise InputError(f"task={self.name}: the data set has no single target; it has labels for task=multilabel.")
        names = table["target"].astype(str)
        unknown = sorted(set(names) - set(self.classes))
        if unknown:
            raise InputError(f"task={self.name}: the data has classes {unknown[:5]} that task.classes={self.classes} does not name.")
        if names.nunique() < 2:
            raise InputError(f"task={self.name}: all {len(names)} samples have one class, {names.iloc[0]!r}; at least two are needed.")
        return names.map({name: i for i, name in enumerate(self.classes)}).to_numpy(np.int64)

    def strata(self, target: np.ndarray) -> np.ndarray:
        """Labels [n] to stratify a split by."""
        return target

    def fit(self, target: np.ndarray) -> dict[str, list[float]]:
        """Class weights from the training split's targets."""
        weights = balanced_weights(target, self.outputs) if self.class_weight else [1.0] * self.outputs
        self.load({"weights": weights})
        return {"weights": weights}

    def load(self, state: dict[str, list[float]]) -> None:
        """Take back what ``fit`` returned."""
        self.weights.copy_(torch.tensor(state["weights"]))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean loss from logits [B, C] and class indices [B]."""
        return (self.loss_of(logits, target) * self.weights[target]).mean()

    def predict(self, logits: Tensor) -> dict[str, np.ndarray]:
        """``prob_CLASS`` [B] of each class from logits [B, C]."""
        probabilities = logits.double().softmax(dim=1).numpy(force=True)
        return {f"prob_{name}": probabilities[:, i] for i, name in enumerate(self.classes)}

    def score(self, logits: Tensor, target: Tensor) -> float:
        """Mean one-against-the-rest AUROC over the classes that occur in the target, the validation score."""
        sides = [(target == c).numpy() for c in range(self.outputs)]
        scores = logits.softmax(dim=1).numpy()
        return float(np.mean([area_under_roc(side, scores[:, c]) for c, side in enumerate(sides) if side.any() and not side.all()]))

    def columns(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """The target column of the predictions table."""
        return {"target": table["target"].astype(str).to_numpy()}
