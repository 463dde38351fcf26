"""How a metric falls along a sweep of imperfections (a rate of missing modalities, a level of noise), and what that comes to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmdx.evaluation.metrics import BinaryMetrics, Statistic
from mmdx.evaluation.panels import Mean, MulticlassMetrics, MultilabelMetrics
from mmdx.evaluation.scorer import Scorer


class Curve:
    """Metrics at each level of imperfection and, from two levels on, the two numbers of MultiBench (Liang et al. 2021, arXiv:2107.07502, section on
    robustness) for each metric, all under the same row weights.

    - ``METRIC|K``: the metric at level K, the mean over its draws.
    - ``METRIC|relative``: ``integral f(t) dt / (t_last - t_first)``, by the trapezoidal rule: the area under the curve of performance f against
      imperfection t, divided by its width, and so the mean performance over the sweep.
    - ``METRIC|effective``, with a baseline b: ``integral (f(t) - f(t_first)) - (b(t) - b(t_first)) dt / (t_last - t_first)``, the area between
      the curve and the baseline's, moved to the same start; above 0 where f falls less than the baseline (for metrics of which more is better).

    MultiBench's code sums over levels and scales the results of all methods to 0 to 1; here both stay in the metric's own unit.

    Args:
        levels: [L], rising.
        draws: of each level the statistics of its draws.
        baseline: the same of the model that is compared with.
        names: which metrics.
    """

    def __init__(
        self,
        levels: Sequence[float],
        draws: Sequence[Sequence[Statistic]],
        names: Sequence[str],
        baseline: Sequence[Sequence[Statistic]] | None = None,
    ) -> None:
        self.levels, self.names = np.asarray(levels, dtype=np.float64), tuple(names)
        self.points = [Mean(parts) for parts in draws]
        self.baseline = None if baseline is None else [Mean(parts) for parts in baseline]

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""
        along = self._along(self.points, counts)
        other = None if self.baseline is None else self._along(self.baseline, counts)
        found = {f"{name}|{k}": values for name in self.names for k, values in enumerate(along[name])}
        for name in self.names if len(self.levels) > 1 else ():
            found[f"{name}|relative"] = mean_over(self.levels, along[name])
            if other is not None:
                fall, usual = along[name] - along[name][0], other[name] - other[name][0]
                found[f"{name}|effective"] = mean_over(self.levels, fall - usual)
        return found

    def _along(self, points: Sequence[Statistic], counts: np.ndarray) -> dict[str, np.ndarray]:
        found = [point(counts) for point in points]
        return {name: np.stack([values[name] for values in found]) for name in self.names}  # [L, R]


def mean_over(levels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The area under values [L, R] over rising levels [L], divided by their span: [R]."""
    return np.trapezoid(values, levels, axis=0) / (levels[-1] - levels[0])


class Only:
    """Some of a statistic's metrics."""

    def __init__(self, statistic: Statistic, names: Sequence[str]) -> None:
        self.statistic, self.names = statistic, tuple(names)

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""
        found = self.statistic(counts)
        return {name: found[name] for name in self.names}


def stressed_metrics(kind: str) -> tuple[str, ...]:
    """What is measured along a sweep."""
    return ("auroc", "accuracy", "brier") if kind == "multiclass" else ("auroc", "brier", "sensitivity", "specificity")


def stressed(scorer: Scorer, rows: pd.DataFrame, prob: np.ndarray, unit: np.ndarray) -> Statistic:
    """The metrics of some rows with other probabilities in the place of their own, at the thresholds that they have.

    Args:
        rows: with targets and, where the target is not multiclass, thresholds.
        prob: [n, K], of the outputs.
        unit: [n].
    """
    names = stressed_metrics(scorer.kind)
    if scorer.kind == "binary":
        target, threshold = (rows[c].to_numpy(np.float64) for c in ("target", "threshold"))
        return BinaryMetrics(target, prob[:, 0], unit, threshold, names)
    if scorer.kind == "multiclass":
        return Only(MulticlassMetrics(pd.Index(scorer.outputs).get_indexer(pd.Index(rows["target"])), prob, unit), names)
    targets, thresholds = (rows[[f"{c}_{name}" for name in scorer.outputs]].to_numpy(np.float64) for c in ("target", "threshold"))
    return Only(MultilabelMetrics(targets, prob, unit, thresholds, scorer.outputs, names), names)
