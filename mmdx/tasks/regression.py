"""A number, such as an age, a pressure or a volume."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import r2_score
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.tasks.losses import SquaredError
from mmdx.tasks.numbers import quantile_bins


class Regression(nn.Module):
    """One number: the output is in units of the training split's standard deviation from its mean, so that a model begins at the mean.

    Args:
        loss: one value a sample from outputs and targets in these units, ``SquaredError`` or ``Huber``.
    """

    kind = "regression"
    score_name = "r2"
    outputs = 1

    def __init__(self, loss: nn.Module | None = None) -> None:
        super().__init__()
        self.loss_of = loss or SquaredError()
        self.mean, self.spread = 0.0, 1.0

    def encode(self, table: pd.DataFrame) -> np.ndarray:
        """Targets as float32 [n].

        Raises:
            InputError: where the table has no ``target``, a value that is no finite number, or one value only.
        """
        values = _numbers(table)
        odd = ~np.isfinite(values)
        if odd.any():
            at = int(np.argmax(odd))
            raise InputError(f"task=regression: sample '{table['sample_id'].iloc[at] if 'sample_id' in table else at}' has target "
                             f"{table['target'].iloc[at]}, expected a finite number; use task=multiclass for named classes.")  # fmt: skip
        if len(np.unique(values)) < 2:
            raise InputError(f"task=regression: all {len(values)} samples have target {values[0] if len(values) else 'none'}; it must vary.")
        return values.astype(np.float32)

    def strata(self, target: np.ndarray) -> np.ndarray:
        """Labels [n] to stratify a split by: the fifth of the targets that each lies in."""
        return quantile_bins(target)

    def fit(self, target: np.ndarray) -> dict[str, float]:
        """Mean and standard deviation of the training split's targets."""
        state = {"mean": float(np.mean(target)), "spread": float(np.std(target)) or 1.0}
        self.load(state)
        return state

    def load(self, state: dict[str, float]) -> None:
        """Take back what ``fit`` returned."""
        self.mean, self.spread = state["mean"], state["spread"]

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean loss from outputs [B, 1] and targets [B]."""
        return self.loss_of(logits[:, 0], ((target - self.mean) / self.spread).to(logits.dtype)).mean()

    def predict(self, logits: Tensor) -> dict[str, np.ndarray]:
        """``prediction`` [B] in the unit of the target, from outputs [B, 1]."""
        return {"prediction": self.mean + self.spread * logits[:, 0].double().numpy(force=True)}

    def score(self, logits: Tensor, target: Tensor) -> float:
        """Share of the targets' variance that is explained, the validation score; NaN of fewer than two samples."""
        return float(r2_score(target.numpy(), self.predict(logits)["prediction"])) if len(target) > 1 else float("nan")

    def columns(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """The target column of the predictions table."""
        return {"target": _numbers(table)}


def _numbers(table: pd.DataFrame) -> np.ndarray:
    if "target" not in table:
        raise InputError("task=regression: the data set has no single target; it has labels for task=multilabel, or times for task=survival_cox.")
    return pd.to_numeric(table["target"], errors="coerce").to_numpy(np.float64, na_value=np.nan)
