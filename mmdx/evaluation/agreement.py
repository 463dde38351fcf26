"""Decisions of several models on the same rows: which of them is right, and how far they agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mmdx.evaluation.linear import Sums
from mmdx.evaluation.scorer import Scorer


def decisions(scorer: Scorer, rows: pd.DataFrame) -> np.ndarray:
    """What is decided of each row, [n, D]: 0 or 1 by threshold, of each label where there are several, or the number of the likeliest class."""
    if scorer.kind == "binary":
        return (rows["prob"] >= rows["threshold"]).to_numpy(np.float64)[:, None]
    prob = rows[[f"prob_{name}" for name in scorer.outputs]].to_numpy(np.float64)
    if scorer.kind == "multiclass":
        return prob.argmax(axis=1).astype(np.float64)[:, None]
    return (prob >= rows[[f"threshold_{name}" for name in scorer.outputs]].to_numpy(np.float64)).astype(np.float64)


def truth(scorer: Scorer, rows: pd.DataFrame) -> np.ndarray:
    """What should have been decided, [n, D]; NaN where a label is not known."""
    if scorer.kind == "multiclass":
        return pd.Index(scorer.outputs).get_indexer(pd.Index(rows["target"])).astype(np.float64)[:, None]
    names = ["target"] if scorer.kind == "binary" else [f"target_{name}" for name in scorer.outputs]
    return rows[names].to_numpy(np.float64)


class Shares:
    """Means of columns under row weights, of several labels the mean over those that any row is labelled for.

    Args:
        columns: of each name values [n, D], NaN where they don't count.
        unit: number of the unit of each row, [n].
    """

    def __init__(self, columns: Mapping[str, np.ndarray], unit: np.ndarray) -> None:
        self.totals = {name: _totals(np.nan_to_num(values), unit) for name, values in columns.items()}
        self.known = {name: _totals(~np.isnan(values), unit) for name, values in columns.items()}
        self.proportion = {name: bool(np.isin(values[~np.isnan(values)], (0, 1)).all()) for name, values in columns.items()}

    def as_ratios(self, name: str) -> list[Sums]:
        """The mean of a column as ratios of sums, one for each label that any row is labelled for."""
        pairs = zip(self.totals[name], self.known[name], strict=True)
        return [Sums(above, below, self.proportion[name]) for above, below in pairs if below.any()]

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each name."""
        return {name: _mean(_weighted(self.totals[name], counts), _weighted(self.known[name], counts)) for name in self.totals}


class Agreement:
    """How far two deciders agree: ``agreement``, the share of equal decisions p_o, and ``kappa``, (p_o - p_e) / (1 - p_e) (Cohen 1960, Educational
    and Psychological Measurement 20:37), p_e being the share expected from how often each decides what. Of several labels the mean; kappa is
    undefined where both always decide the same one thing.

    Args:
        first, second: [n, D] decisions.
        unit: number of the unit of each row, [n].
    """

    def __init__(self, first: np.ndarray, second: np.ndarray, unit: np.ndarray) -> None:
        self.rows = np.bincount(unit).astype(float)
        self.same = _totals(first == second, unit)
        classes = np.unique(np.concatenate([first, second]))
        self.of_class = [(_totals(first == k, unit), _totals(second == k, unit)) for k in classes]

    def as_ratios(self, name: str) -> list[Sums]:
        """The agreement as ratios of sums, one for each label; kappa is none."""
        return [Sums(same, self.rows) for same in self.same] if name == "agreement" else []

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R]."""
        rows = self.rows @ counts[: len(self.rows)]
        with np.errstate(invalid="ignore", divide="ignore"):
            observed = _weighted(self.same, counts) / rows  # [D, R]
            expected = sum((_weighted(a, counts) / rows * (_weighted(b, counts) / rows) for a, b in self.of_class), np.zeros_like(observed))
            left = 1 - expected
            kappa = np.where(left > 1e-12, (observed - expected) / left, np.nan)
        return {"agreement": observed.mean(axis=0), "kappa": kappa.mean(axis=0)}


def _totals(values: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Sums of each unit, [D, C]."""
    return np.stack([np.bincount(unit, weights=column) for column in values.T.astype(np.float64)])


def _weighted(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """[D, C] and [C, R] to [D, R]."""
    return totals @ counts[: totals.shape[1]]


def _mean(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Mean over labels of ratios [D, R], without those that nothing is known of."""
    known = below > 0
    ratios = np.divide(above, below, out=np.zeros_like(above), where=known)
    labels = known.sum(axis=0)
    return np.divide(ratios.sum(axis=0), labels, out=np.full(above.shape[1], np.nan), where=labels > 0)
