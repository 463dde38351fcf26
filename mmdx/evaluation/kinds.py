"""The kinds of prediction: the metrics of each, the one that stands for it, and how they are made from rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from mmdx.evaluation.metrics import BINARY, Statistic
from mmdx.evaluation.ordinal_metrics import ORDINAL, OrdinalMetrics
from mmdx.evaluation.panels import MULTICLASS
from mmdx.evaluation.predictions import SURVIVAL_AT, horizons_of
from mmdx.evaluation.regression_metrics import REGRESSION, RegressionMetrics
from mmdx.evaluation.survival_metrics import SURVIVAL, SurvivalMetrics


class Kind(NamedTuple):
    """What is measured of one kind of prediction.

    Attributes:
        primary: the metric that stands for it in tables, differences and choices; higher is better.
        metrics: all of them, without those of single labels or horizons.
        differences: those that are compared between subsets of modalities.
        lacking: why a metric is not defined, of rows.
        thresholds: whether a threshold decides.
    """

    primary: str
    metrics: tuple[str, ...]
    differences: tuple[str, ...]
    lacking: str
    thresholds: bool = False


ONE_CLASS = "only one class among the {n} rows"
KINDS = {
    "binary": Kind("auroc", BINARY, ("auroc", "auprc", "brier"), ONE_CLASS, thresholds=True),
    "multilabel": Kind("auroc", BINARY, ("auroc", "auprc", "brier"), ONE_CLASS, thresholds=True),
    "multiclass": Kind("auroc", MULTICLASS, ("auroc", "auprc", "brier"), ONE_CLASS),
    "ordinal": Kind("qwk", ORDINAL, ("qwk", "auroc", "mae", "rps"), ONE_CLASS),
    "regression": Kind("r2", REGRESSION, ("r2", "mae", "rmse"), "target or prediction does not vary among the {n} rows"),
    "survival": Kind("c_index", SURVIVAL, SURVIVAL, "too few events, or followed too short a time, among the {n} rows"),
}


def statistic_of(kind: str, outputs: Sequence[str], rows: pd.DataFrame, unit: np.ndarray) -> Statistic:
    """The metrics of rows of an ordinal, regression or survival table in canonical form; ``unit`` [n] numbers their units."""
    if kind == "ordinal":
        prob = rows[[f"prob_{name}" for name in outputs]].to_numpy(np.float64)
        return OrdinalMetrics(pd.Index(outputs).get_indexer(pd.Index(rows["target"])), prob, unit)
    if kind == "regression":
        return RegressionMetrics(rows["target"].to_numpy(np.float64), rows["prediction"].to_numpy(np.float64), unit)
    horizons = horizons_of(rows)
    time, risk, censoring = (rows[name].to_numpy(np.float64) for name in ("time", "risk", "censoring"))
    survival = rows[[f"{SURVIVAL_AT}{name}" for name in horizons]].to_numpy(np.float64)
    censoring_at = rows[[f"censoring_{name}" for name in horizons]].to_numpy(np.float64)[0]
    return SurvivalMetrics(time, rows["event"].to_numpy() == 1, risk, unit, censoring, horizons, survival, censoring_at)


def has_primary(kind: str, outputs: Sequence[str], rows: pd.DataFrame) -> bool:
    """Whether the rows have what the primary metric tells apart: two classes, of some label, different numbers, or a comparable pair."""
    if kind == "survival":
        first = rows.loc[rows["event"] == 1, "time"].min()
        return bool((rows["time"] > first).any() or ((rows["time"] == first) & (rows["event"] == 0)).any())
    columns = [f"target_{name}" for name in outputs] if kind == "multilabel" else ["target"]
    return any(rows[column].nunique() > 1 for column in columns)
