"""Several labels, each there or not, some of them unlabelled or uncertain."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.evaluation.metrics import area_under_roc
from mmdx.tasks.losses import CrossEntropy
from mmdx.tasks.weights import check_class_weight

UNCERTAIN = {"ignore": np.nan, "negative": 0.0, "positive": 1.0, "soft": 0.5}


class Multilabel(nn.Module):
    """L labels; in the table 1 is there, 0 is not, empty is unlabelled and -1 is uncertain, as in CheXpert.

    Unlabelled entries count neither in the loss nor in the metrics. Uncertain ones are treated in training by ``uncertain``
    (Irvin et al. 2019, arXiv:1901.07031, section 3) and never count in the metrics.

    Args:
        labels: names of the labels, in the order of the outputs.
        loss: one value an entry from logits and targets, ``CrossEntropy`` or ``Focal``.
        class_weight: None, or "balanced" to weigh the two sides of each label by n / (2 n_side).
        uncertain: what an uncertain entry is in training: ignore, negative, positive, or soft (0.5).
    """

    kind = "multilabel"
    score_name = "auroc"
    weights: Tensor

    def __init__(
        self, labels: list[str], loss: nn.Module | None = None, class_weight: str | None = None, uncertain: str = "ignore"
    ) -> None:
        super().__init__()
        self.labels = [str(name) for name in labels]
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise InputError(f"task.labels={self.labels}: needs at least one name, and each name once.")
        if uncertain not in UNCERTAIN:
            raise InputError(f"task.uncertain={uncertain}: must be one of {', '.join(UNCERTAIN)}.")
        self.outputs = len(self.labels)
        self.loss_of = loss or CrossEntropy()
        self.class_weight = check_class_weight(class_weight)
        self.uncertain = uncertain
        self.register_buffer("weights", torch.ones(2, self.outputs))

    def encode(self, table: pd.DataFrame) -> np.ndarray:
        """Targets, float32 [n, L]; NaN where unlabelled.

        Raises:
            InputError: where a label has no column, a value is not 1, 0, -1 or empty, or a label never has both sides.
        """
        values = self._values(table)
        for i, name in enumerate(self.labels):
            known = values[:, i][~np.isnan(values[:, i])]
            if odd := sorted(set(known.tolist()) - {0.0, 1.0, -1.0}):
                raise InputError(f"task=multilabel, label {name!r}: has values {odd[:5]}; expected 1, 0, -1 (uncertain) or empty.")
            if not {0.0, 1.0} <= set(known.tolist()):
                raise InputError(f"task=multilabel, label {name!r}: needs samples that have it and samples that do not; only one class is there.")
        return np.where(values == -1, np.float32(UNCERTAIN[self.uncertain]), values).astype(np.float32)

    def _values(self, table: pd.DataFrame) -> np.ndarray:
        missing = [name for name in self.labels if f"target_{name}" not in table]
        if missing:
            there = [c.removeprefix("target_") for c in table.columns if c.startswith("target_")]
            raise InputError(f"task.labels: the data set has no label {missing[0]!r}; it has {there}.")
        return table[[f"target_{name}" for name in self.labels]].to_numpy(dtype=np.float64, na_value=np.nan)

    def strata(self, target: np.ndarray) -> np.ndarray:
        """Labels [n] to stratify a split by: the rarest label that a sample has, or none."""
        positive = np.nan_to_num(target) > 0.5
        order = np.argsort(positive.sum(axis=0), kind="stable")
        return np.where(positive.any(axis=1), order[positive[:, order].argmax(axis=1)] + 1, 0)

    def fit(self, target: np.ndarray) -> dict[str, list[list[float]]]:
        """Weights of the two sides of each label from the training split's targets."""
        weights = np.ones((2, self.outputs))
        if self.class_weight:
            sides = np.stack([np.nansum(1 - target, axis=0), np.nansum(target, axis=0)])
            weights = np.divide(sides.sum(axis=0), 2 * sides, out=np.zeros_like(sides), where=sides > 0)
        self.load({"weights": weights.tolist()})
        return {"weights": weights.tolist()}

    def load(self, state: dict[str, list[list[float]]]) -> None:
        """Take back what ``fit`` returned."""
        self.weights.copy_(torch.tensor(state["weights"]))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean loss over the labelled entries, from logits [B, L] and targets [B, L]; 0 where a batch has none."""
        labelled = ~target.isnan()
        known = target.where(labelled, 0.0)
        weight = torch.lerp(self.weights[0], self.weights[1], known) * labelled
        return (self.loss_of(logits, known) * weight).sum() / labelled.sum().clamp(min=1)

    def entries(self, target: Tensor) -> int:
        """How many entries of targets [B, L] are labelled, which the loss is the mean of."""
        return int((~target.isnan()).sum())

    def predict(self, logits: Tensor) -> dict[str, np.ndarray]:
        """``prob_LABEL`` [B] of each label from logits [B, L]."""
        probabilities = logits.double().sigmoid().numpy(force=True)
        return {f"prob_{name}": probabilities[:, i] for i, name in enumerate(self.labels)}

    def score(self, logits: Tensor, target: Tensor) -> float:
        """Mean AUROC over the labels that have both sides among the labelled entries, the validation score; NaN where none has."""
        values = []
        for scores, label in zip(logits.numpy().T, target.numpy().T, strict=True):
            known = np.isin(label, (0, 1))
            if len(set(label[known].tolist())) == 2:
                values.append(area_under_roc(label[known], scores[known]))
        return float(np.mean(values)) if values else float("nan")

    def columns(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """The target columns of the predictions table: 1, 0, or empty where unlabelled or uncertain."""
        values = self._values(table)
        return {f"target_{name}": np.where(values[:, i] < 0, np.nan, values[:, i]) for i, name in enumerate(self.labels)}
