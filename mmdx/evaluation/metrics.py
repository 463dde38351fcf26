"""Metrics of predictions under row weights, for many weightings at once: what the point values and the bootstrap share.

A statistic is a callable: counts [C, R], how often each of C units occurs in each of R weightings, give a dict from metric to
values [R], NaN where the metric is undefined for that weighting. All ones in one column give the value itself.

Conventions: higher probability means class 1; a row is called positive where ``prob >= threshold``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import numpy as np

Statistic = Callable[[np.ndarray], dict[str, np.ndarray]]

RANKING = ("auroc", "auprc", "sensitivity_at_90_specificity")
AT_THRESHOLD = ("balanced_accuracy", "sensitivity", "specificity")
EXTRA = ("macc",)
BINARY = ("auroc", "auprc", "sensitivity_at_90_specificity", "balanced_accuracy", "sensitivity", "specificity", "brier")
SPECIFICITY = 0.9
BLOCK = 2**15  # rows that are worked on at once: fits a cache


class BinaryMetrics:
    """Metrics of a binary target.

    - ``auroc``: chance that a positive row has a higher probability than a negative one, ties counting half.
    - ``auprc``: average precision, sum over thresholds of (R_k - R_{k-1}) P_k, without interpolation.
    - ``sensitivity_at_90_specificity``: the largest sensitivity among the thresholds whose specificity is at least 0.9, without
      interpolation between points of the ROC curve; 0 where only "nobody is positive" has it.
    - ``sensitivity``, ``specificity`` and their mean ``balanced_accuracy``, at the given threshold; ``macc`` is PhysioNet's name of it.
    - ``brier``: mean of (prob - target)^2 (Brier 1950).

    Args:
        target: [n] of 0 and 1.
        prob: [n] in 0 to 1.
        unit: [n] of 0 to C - 1, the unit that is drawn in resampling and each row belongs to.
        threshold: [n], the decision threshold of each row; needed by the metrics at a threshold.
        names: which metrics.
    """

    def __init__(
        self, target: np.ndarray, prob: np.ndarray, unit: np.ndarray, threshold: np.ndarray | None = None, names: Iterable[str] = BINARY
    ) -> None:
        self.names = tuple(names)
        positive = np.asarray(target) == 1
        prob = np.asarray(prob, dtype=np.float64)
        unit = np.asarray(unit)
        if set(self.names) & set(RANKING):
            self._rank(positive, prob, unit)
        self.ranked = (positive, prob, unit)
        columns = {"positives": positive, "negatives": ~positive, "error": (prob - positive) ** 2}
        if threshold is not None:
            called = prob >= threshold
            columns |= {"hits": positive & called, "rejections": ~positive & ~called}
        clusters = int(unit.max()) + 1 if len(unit) else 0
        self.totals = {name: np.bincount(unit, weights=column, minlength=clusters) for name, column in columns.items()}

    def _rank(self, positive: np.ndarray, prob: np.ndarray, unit: np.ndarray) -> None:
        order = np.argsort(-prob, kind="stable")
        falling = -prob[order]
        bounds = [0]
        while bounds[-1] < len(order):  # rows of one probability stay together
            bounds.append(int(np.searchsorted(falling, falling[min(bounds[-1] + BLOCK, len(order)) - 1], side="right")))
        self.blocks = [_Ranked(positive[order[i:j]], falling[i:j], unit[order[i:j]]) for i, j in itertools.pairwise(bounds)]

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""
        rows = len(next(iter(self.totals.values())))
        total = {name: np.einsum("cr,c->r", counts[:rows], column) for name, column in self.totals.items()}
        found: dict[str, np.ndarray] = {}
        if set(self.names) & set(RANKING):
            found |= self._ranking(counts, total["positives"], total["negatives"])
        if "hits" in total:
            found["sensitivity"] = _ratio(total["hits"], total["positives"])
            found["specificity"] = _ratio(total["rejections"], total["negatives"])
            found["balanced_accuracy"] = found["macc"] = (found["sensitivity"] + found["specificity"]) / 2
        found["brier"] = _ratio(total["error"], total["positives"] + total["negatives"])
        return {name: found[name] for name in self.names}

    def _ranking(self, counts: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> dict[str, np.ndarray]:
        resamples = counts.shape[1]
        wins, precision, best = np.zeros(resamples), np.zeros(resamples), np.zeros(resamples)
        ups, downs = np.zeros(resamples), np.zeros(resamples)  # positives and negatives above the block
        allowed = (1 - SPECIFICITY) * negatives * (1 + 1e-9)
        for block in self.blocks:
            up, down = counts.take(block.up, axis=0), counts.take(block.down, axis=0)
            above, alarms_above = _cumulated(up, ups), _cumulated(down, downs)
            ups, downs = above[-1], alarms_above[-1]
            if "auroc" in self.names:
                wins += block.wins(down, above)
            if len(up) and set(self.names) & {"auprc", "sensitivity_at_90_specificity"}:
                hits, alarms = block.called(above, alarms_above)
                if "auprc" in self.names:
                    called = np.maximum(hits + alarms, 1e-300)  # 0 only where there is no hit
                    precision += np.einsum("nr,nr->r", up, np.divide(hits, called, out=called))
                if "sensitivity_at_90_specificity" in self.names:
                    reached = (alarms <= allowed).sum(axis=0)
                    best = np.where(reached > 0, hits[reached - 1, np.arange(resamples)], best)
        found = {
            "auroc": _ratio(wins, positives * negatives),
            "auprc": _ratio(precision, positives),
            "sensitivity_at_90_specificity": _ratio(best, positives),
        }
        undefined = (positives == 0) | (negatives == 0)
        return {name: np.where(undefined, np.nan, values) for name, values in found.items() if name in self.names}


class _Ranked:
    """Rows from a higher to a lower probability, all rows of each probability that occurs, apart by their target."""

    def __init__(self, positive: np.ndarray, falling: np.ndarray, unit: np.ndarray) -> None:
        self.up, self.down = unit[positive], unit[~positive]
        up, down = falling[positive], falling[~positive]
        self.up_until_up = np.searchsorted(up, up, side="right")  # of positives with at least this probability
        self.down_until_up = np.searchsorted(down, up, side="right")
        self.up_above_down = np.searchsorted(up, down, side="left")
        self.up_until_down = np.searchsorted(up, down, side="right")
        self.ups_tie = bool((self.up_until_up != np.arange(1, len(up) + 1)).any())
        self.both_tie = bool((self.up_above_down != self.up_until_down).any())

    def wins(self, down: np.ndarray, above: np.ndarray) -> np.ndarray:
        """Pairs, [R], of a negative and a positive above it, ties counting half.

        Args:
            down: counts [d, R] of the negatives.
            above: positives above the first, second, ... positive, and above what follows, [u + 1, R].
        """
        wins = np.einsum("nr,nr->r", down, above.take(self.up_above_down, axis=0))
        if self.both_tie:
            wins = (wins + np.einsum("nr,nr->r", down, above[self.up_until_down])) / 2
        return wins

    def called(self, above: np.ndarray, alarms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positives and negatives, [u, R] each, that are called positive at the probability of each positive."""
        return above[self.up_until_up] if self.ups_tie else above[1:], alarms.take(self.down_until_up, axis=0)


def _cumulated(weights: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ... n rows and what came before them, [n + 1, R]."""
    out = np.empty((len(weights) + 1, weights.shape[1]))
    out[0], out[1:] = before, weights
    return np.cumsum(out, axis=0, out=out)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)


def weighted(statistic: Statistic, weights: np.ndarray) -> dict[str, float]:
    """A statistic's values under one weighting [C]."""
    return {name: float(values[0]) for name, values in statistic(np.asarray(weights, dtype=np.float64)[:, None]).items()}


def binary_metrics(
    target: np.ndarray, prob: np.ndarray, threshold: float = 0.5, weights: np.ndarray | None = None, extra: Iterable[str] = ()
) -> dict[str, float | None]:
    """Every metric of a binary target [n] and its probabilities [n]; None where one is undefined, as with one class only.

    Args:
        target: 0 and 1.
        prob: probability of 1.
        threshold: a row is positive where its probability reaches it.
        weights: of the rows; 1 each where not given.
        extra: further names, such as ``macc``.
    """
    n = len(target)
    statistic = BinaryMetrics(target, prob, np.arange(n), np.full(n, threshold), (*BINARY, *extra))
    values = weighted(statistic, np.ones(n) if weights is None else weights)
    return {name: None if np.isnan(value) else value for name, value in values.items()}


def area_under_roc(target: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve of scores [n] of any scale, ties counting half; NaN with one class only."""
    return weighted(BinaryMetrics(target, score, np.arange(len(target)), names=("auroc",)), np.ones(len(target)))["auroc"]


def auroc(target: np.ndarray, prob: np.ndarray, weights: np.ndarray | None = None) -> float | None:
    """Area under the ROC curve, ties counting half; None with one class only."""
    return binary_metrics(target, prob, weights=weights)["auroc"]


def auprc(target: np.ndarray, prob: np.ndarray, weights: np.ndarray | None = None) -> float | None:
    """Average precision; None with one class only."""
    return binary_metrics(target, prob, weights=weights)["auprc"]


def sensitivity_at_90_specificity(target: np.ndarray, prob: np.ndarray, weights: np.ndarray | None = None) -> float | None:
    """The largest sensitivity among thresholds with a specificity of at least 0.9; None with one class only."""
    return binary_metrics(target, prob, weights=weights)["sensitivity_at_90_specificity"]


def brier(target: np.ndarray, prob: np.ndarray, weights: np.ndarray | None = None) -> float | None:
    """Mean squared difference of probability and target."""
    return binary_metrics(target, prob, weights=weights)["brier"]
