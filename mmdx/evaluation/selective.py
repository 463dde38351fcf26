"""Selective prediction: how often the answers are wrong where only the surest are given, and the rest are left to a person.

Rows are answered in the order of an uncertainty. Coverage is the share of rows that are answered, risk the share of wrong answers among these.
Rows of equal uncertainty are answered together, as no threshold can tell them apart.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import digamma, logit

from mmdx.evaluation.linear import Sums
from mmdx.evaluation.metrics import weighted

COVERAGE = 0.8
POINTS = 100


def answers(rows: pd.DataFrame, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Whether each row's answer is wrong, and how unsure it is from its probabilities alone; both [n].

    Args:
        rows: with ``target``, and ``prob`` and ``threshold`` where ``classes`` is empty, else ``prob_CLASS``.
        classes: names of the classes; empty for a yes-or-no outcome.

    Returns:
        the answer is the class with the highest probability, and 1 minus that probability the uncertainty (Hendrycks & Gimpel 2017,
        arXiv:1610.02136); a yes-or-no answer is given at the decision threshold, and its uncertainty is the same after the log odds are shifted so
        that the threshold lies at 0.5.
    """
    if classes:
        prob = rows[[f"prob_{name}" for name in classes]].to_numpy(np.float64)
        return prob.argmax(axis=1) != pd.Index(classes).get_indexer(pd.Index(rows["target"])), 1 - prob.max(axis=1)
    chance, threshold = rows["prob"].to_numpy(np.float64), rows["threshold"].to_numpy(np.float64)
    distance = np.abs(logit(chance) - logit(np.clip(threshold, 1e-15, 1 - 1e-15)))
    return (chance >= threshold) != (rows["target"].to_numpy(np.float64) == 1), -distance


def best_aurc(wrong: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The smallest area under the risk-coverage curve for numbers of wrong and right answers, reached where every right answer is given before
    the first wrong one: the sum over j = 1 to wrong of j / (right + j), over the number of answers."""
    rows = wrong + right
    total = wrong - right * (digamma(rows + 1) - digamma(right + 1))
    return np.divide(total, rows, out=np.full(len(rows), np.nan), where=rows > 0)


class SelectiveMetrics:
    """Metrics of answers that are given in the order of an uncertainty.

    - ``risk``: share of wrong answers where all are given.
    - ``risk_at_80_coverage``: the same among the surest, where at least 80 % are given.
    - ``aurc``: area under the risk-coverage curve, mean over rows of the risk among the rows at least as sure (Geifman & El-Yaniv 2017,
      arXiv:1705.08500; Geifman, Uziel & El-Yaniv 2019, arXiv:1805.08206).
    - ``excess_aurc``: that minus the smallest possible with as many wrong answers (Geifman et al. 2019), here exact and not in the limit.
    - ``augrc``: area under the generalised risk, the share of all rows that are answered wrongly, over coverage (Traub et al. 2024,
      arXiv:2407.01032): the mean chance that an error goes unnoticed, free of the large weight that ``aurc`` gives to the first few rows.
    - ``error_auroc``: chance that a wrong answer is less sure than a right one, ties counting half.
    - ``risk@K``, where asked for: the risk where at least the K-th of ``coverages`` is given.

    Args:
        error: [n], 1 where the answer is wrong.
        uncertainty: [n], answered from the smallest; any scale.
        unit: [n] of 0 to C - 1, the unit that is drawn in resampling.
        coverages: shares of rows at which the risk is wanted.
    """

    def __init__(self, error: np.ndarray, uncertainty: np.ndarray, unit: np.ndarray, coverages: np.ndarray | None = None) -> None:
        uncertainty = np.asarray(uncertainty, dtype=np.float64)
        order = np.argsort(uncertainty, kind="stable")
        ranked = uncertainty[order]
        self.error, self.unit = np.asarray(error, dtype=np.float64)[order], np.asarray(unit)[order]
        self.before = np.searchsorted(ranked, ranked, side="left")  # of each row, how many are surer
        self.until = np.searchsorted(ranked, ranked, side="right")  # how many are at least as sure
        self.coverages = np.array([COVERAGE]) if coverages is None else np.append(coverages, COVERAGE)

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""
        weights = counts[self.unit]
        given, wrong = _cumulated(weights), _cumulated(weights * self.error[:, None])
        right = given - wrong
        rows, errors, rights = given[-1], wrong[-1], right[-1]
        with np.errstate(invalid="ignore", divide="ignore"):
            risk = wrong[self.until] / given[self.until]
            risk[given[self.until] == 0] = 0.0
            aurc = np.einsum("nr,nr->r", weights, risk) / rows
            surer = right[self.before] + right[self.until]
            told_apart = np.einsum("nr,nr->r", weights[self.error == 1], surer[self.error == 1]) / 2  # pairs of right and wrong, right one surer
            unnoticed = errors * rights - told_apart + errors**2 / 2
            at = self._risk_at(given, wrong)
            found = {
                "risk": errors / rows,
                "risk_at_80_coverage": at[-1],
                "aurc": aurc,
                "excess_aurc": aurc - best_aurc(errors, rights),
                "augrc": unnoticed / rows**2,
                "error_auroc": told_apart / (errors * rights),
            }
        return found | {f"risk@{k}": values for k, values in enumerate(at[:-1])}

    def as_ratios(self, name: str) -> list[Sums]:
        """The risk as a ratio of sums where every row is answered, or where every answer or none is wrong, so that which rows are answered plays no
        part; else, and of every other metric, none."""
        if name == "risk":
            rows = len(self.error)
        elif name.startswith("risk"):
            rows = int(self._accepted(np.arange(len(self.error) + 1.0))[-1 if name == "risk_at_80_coverage" else int(name.removeprefix("risk@"))])
        else:
            return []
        error, unit = self.error[:rows], self.unit[:rows]
        if name != "risk" and 0 < error.mean() < 1:
            return []
        units = int(self.unit.max()) + 1
        return [Sums(np.bincount(unit, weights=error, minlength=units), np.bincount(unit, minlength=units).astype(float))]

    def given(self) -> np.ndarray:
        """How many rows are answered at each of the coverages asked for."""
        return self._accepted(np.arange(len(self.error) + 1.0))[:-1]

    def _accepted(self, given: np.ndarray) -> np.ndarray:
        """Of numbers given until each row [n + 1], after how many rows each coverage is reached, whole ties at a time."""
        first = np.searchsorted(given, self.coverages * given[-1] * (1 - 1e-12))
        return self.until[np.maximum(first, 1) - 1]

    def _risk_at(self, given: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        """Risk at each coverage, [K, R]."""
        until = np.stack([self._accepted(column) for column in given.T], axis=1)
        return np.take_along_axis(wrong, until, axis=0) / np.take_along_axis(given, until, axis=0)


def selective_metrics(error: np.ndarray, uncertainty: np.ndarray) -> dict[str, float]:
    """The metrics of ``SelectiveMetrics`` of rows that count alike; NaN where one is undefined."""
    n = len(error)
    return weighted(SelectiveMetrics(error, uncertainty, np.arange(n)), np.ones(n))


def _cumulated(weights: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ... n rows, [n + 1, R]."""
    out = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=out[1:])
    return out
