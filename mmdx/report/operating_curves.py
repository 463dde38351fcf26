"""ROC and precision-recall curves, and pointwise bootstrap bands of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from mmdx.evaluation.intervals import bootstrap
from mmdx.evaluation.metrics import Statistic
from mmdx.evaluation.panels import Mean

GRID = np.linspace(0, 1, 51)
WORK = 40_000_000
"""Rows times resamples up to which all resamples are drawn; beyond there are fewer, but 100 at least."""


class Curves(NamedTuple):
    """A curve and its band on a grid, [51] each; the band is NaN where it is not known.

    Attributes:
        x: false-positive rate, or recall.
        y: sensitivity, or precision.
        low, high: pointwise 95 %.
        resamples: how many the band rests on, 0 without one.
    """

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    resamples: int


class OperatingCurves:
    """Sensitivity at each false-positive rate of a grid (linear between the points of the ROC curve, which joins tied rows to one step), and
    precision at each recall (that of the first threshold which reaches it, without interpolation), under row weights.

    Args:
        target: [n] of 0 and 1.
        prob: [n].
        unit: [n] of 0 to C - 1.
    """

    def __init__(self, target: np.ndarray, prob: np.ndarray, unit: np.ndarray) -> None:
        order = np.argsort(-prob, kind="stable")
        self.unit, self.positive = unit[order], (target[order] == 1)[:, None]
        self.ends = np.flatnonzero(np.append(np.diff(prob[order]) != 0, True))

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of ``roc|K`` and ``pr|K`` for each place K of the grid."""
        weights = counts[self.unit]
        up = np.cumsum(weights * self.positive, axis=0)[self.ends]
        down = np.cumsum(weights * ~self.positive, axis=0)[self.ends]
        roc, pr = (np.full((len(GRID), counts.shape[1]), np.nan) for _ in range(2))
        for r in range(counts.shape[1]):
            ups, downs = up[-1, r], down[-1, r]
            if ups and downs:
                roc[:, r] = np.interp(GRID, np.append(0, down[:, r] / downs), np.append(0, up[:, r] / ups))
                first = np.searchsorted(up[:, r], np.maximum(GRID * ups, 1e-9) * (1 - 1e-12))
                pr[:, r] = up[first, r] / (up[first, r] + down[first, r])
        return {f"{name}|{k}": row for name, rows in (("roc", roc), ("pr", pr)) for k, row in enumerate(rows)}


def operating_curves(rows: pd.DataFrame, units: np.ndarray, resamples: int, seed: int) -> dict[str, Curves]:
    """The curves ``roc`` and ``pr``, the mean over seeds.

    Args:
        rows: with ``target`` (0 or 1), ``prob`` and ``seed``.
        units: number of each row's unit, [n].
        resamples: of the bootstrap; 0 for no band.
        seed: of the draw.
    """
    code = pd.factorize(units)[0]
    parts: list[Statistic] = []
    for _, place in sorted(rows.groupby("seed").indices.items()):
        own = rows.iloc[place]
        parts.append(OperatingCurves(own["target"].to_numpy(np.float64), own["prob"].to_numpy(np.float64), code[place]))
    statistic, count = Mean(parts), int(code.max()) + 1
    drawn = min(resamples, max(100, WORK // len(rows))) if resamples and count > 1 else 0
    if drawn:
        found = bootstrap(statistic, count, len(rows), drawn, seed)
        table = {name: (each.value, each.low, each.high) for name, each in found.items()}
    else:
        table = {name: (float(v[0]), np.nan, np.nan) for name, v in statistic(np.ones((count, 1))).items()}
    curves = {}
    for name in ("roc", "pr"):
        y, low, high = np.array([table[f"{name}|{k}"] for k in range(len(GRID))]).T
        curves[name] = Curves(GRID, y, np.where(np.isnan(low), y, low), np.where(np.isnan(high), y, high), drawn)
    return curves


def units_of_rows(rows: pd.DataFrame) -> np.ndarray:
    """What each row counts as in resampling: its patient, or itself where the patient is not known."""
    sample = "sample " + rows["sample_id"].astype(str)
    if "patient_id" not in rows:
        return sample.to_numpy()
    return np.where(rows["patient_id"].notna(), "patient " + rows["patient_id"].astype(str), sample)
