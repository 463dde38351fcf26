"""95 % bootstrap intervals over units: patients where they are known, else samples.

Units are drawn with replacement, all rows of a unit together. BCa (Efron 1987, JASA 82:171; Efron and Tibshirani 1993, equations 14.9
to 14.15): the quantiles are shifted by the bias z0 and the acceleration a, the latter from a jackknife that leaves out one unit at a
time, or, with more than 200 units, one of 200 random groups of units at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from mmdx.errors import InputError
from mmdx.evaluation.metrics import BinaryMetrics, Statistic
from mmdx.evaluation.panels import Difference

LEVEL = 0.95
JACKKNIFE_GROUPS = 200
BLOCK = 2**18  # entries of the count matrix that are worked on at once: fits a cache, bounds memory, changes no result
KEPT = 2**22


@dataclass(frozen=True)
class Interval:
    """A value with its interval.

    Attributes:
        value: NaN where the metric is undefined on the rows.
        low, high: NaN where there is no interval.
        method: "bca", "percentile", or "" where there is no interval.
        dropped: resamples in which the metric is undefined (one class only); they are left out.
        draws: how many resamples there were.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    method: str = ""
    dropped: int = 0
    draws: int = 0


def bootstrap(statistic: Statistic, units: int, rows: int, resamples: int = 1000, seed: int = 0) -> dict[str, Interval]:
    """Value and 95 % interval of each metric of a statistic.

    Args:
        statistic: see ``mmdx.evaluation.metrics``.
        units: number C of units; there is no interval where it is 1.
        rows: number of rows behind them, which sets how many resamples are worked on at once.
        resamples: number of resamples, at least 1.
        seed: of the draw; the same units, resamples and seed give the same draws whatever the statistic.

    Raises:
        InputError: where ``resamples`` is below 1.
    """
    if resamples < 1:
        raise InputError(f"resamples={resamples}: must be at least 1.")
    value = statistic(np.ones((units, 1)))
    if units < 2:
        return {name: Interval(float(v[0])) for name, v in value.items()}
    width = max(8, BLOCK // max(units, rows))
    draws = _collect(statistic, _draws(units, resamples, seed, width))
    left_out = _collect(statistic, _without_one(units, seed, width))
    return {name: interval(float(v[0]), draws[name], left_out[name]) for name, v in value.items()}


def interval(value: float, draws: np.ndarray, left_out: np.ndarray) -> Interval:
    """The BCa interval from bootstrap draws [R] and jackknife values [J], or the percentile interval where BCa degenerates.

    BCa degenerates where all draws lie on one side of the value, or a jackknife value is undefined, or none differs. There is no
    interval where the metric is undefined in more than half of the resamples.
    """
    usable = draws[~np.isnan(draws)]
    dropped = len(draws) - len(usable)
    if np.isnan(value) or 2 * len(usable) < len(draws):
        return Interval(value, dropped=dropped, draws=len(draws))
    tails = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    corrected = _bca_tails(value, usable, left_out, tails)
    low, high = np.quantile(usable, tails if corrected is None else corrected)
    return Interval(value, float(low), float(high), "percentile" if corrected is None else "bca", dropped, len(draws))


def _bca_tails(value: float, draws: np.ndarray, left_out: np.ndarray, tails: np.ndarray) -> np.ndarray | None:
    below = ((draws < value).mean() + (draws <= value).mean()) / 2
    deviation = left_out.mean() - left_out
    spread = (deviation**2).sum()
    if not 0 < below < 1 or not spread > 1e-24 or draws.min() == draws.max():
        return None
    bias = ndtri(below)
    acceleration = (deviation**3).sum() / (6 * spread**1.5)
    z = bias + ndtri(tails)
    stretch = 1 - acceleration * z
    if (stretch <= 0).any():
        return None
    return ndtr(bias + z / stretch)


def _collect(statistic: Statistic, blocks: Iterator[np.ndarray]) -> dict[str, np.ndarray]:
    found = [statistic(counts) for counts in blocks]
    return {name: np.concatenate([f[name] for f in found]) for name in found[0]}


def _draws(units: int, resamples: int, seed: int, width: int) -> Iterator[np.ndarray]:
    if units * resamples <= KEPT:
        counts = _all_draws(units, resamples, seed)
        yield from (counts[:, start : start + width] for start in range(0, resamples, width))
        return
    rng = np.random.default_rng([seed, 0])
    for start in range(0, resamples, width):
        yield _counts(rng, units, min(width, resamples - start))


@lru_cache(maxsize=8)
def _all_draws(units: int, resamples: int, seed: int) -> np.ndarray:
    counts = _counts(np.random.default_rng([seed, 0]), units, resamples)
    counts.flags.writeable = False
    return counts


def _counts(rng: np.random.Generator, units: int, resamples: int) -> np.ndarray:
    """How often each unit was drawn in each resample, [C, R]; resamples are drawn one after another."""
    drawn = rng.integers(0, units, size=(resamples, units)) * resamples + np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=units * resamples).reshape(units, resamples).astype(np.float64)


def _without_one(units: int, seed: int, width: int) -> Iterator[np.ndarray]:
    groups = min(units, JACKKNIFE_GROUPS)
    group = np.empty(units, dtype=int)
    group[np.random.default_rng([seed, 1]).permutation(units)] = np.arange(units) % groups
    for start in range(0, groups, width):
        chosen = np.arange(start, min(start + width, groups))
        yield (group[:, None] != chosen).astype(np.float64)


def compare_auroc(
    a: np.ndarray, b: np.ndarray, target: np.ndarray, groups: np.ndarray | None = None, resamples: int = 1000, seed: int = 0
) -> dict[str, float | int | str | None]:
    """AUROC of ``a`` minus AUROC of ``b`` on the same rows, with a paired interval over groups.

    Args:
        a, b: scores [n] of two models, higher for class 1.
        target: [n] of 0 and 1.
        groups: [n], the unit that is drawn, such as the patient; each row on its own where None.
        resamples: number of resamples.
        seed: of the draw.

    Returns:
        ``value``, ``low``, ``high``, ``n`` (rows), ``n_units``, ``method``, ``dropped``; the order of the rows and the names of the
        groups change nothing.

    Raises:
        InputError: where lengths differ, a value is missing, or the target has not both classes.
    """
    first, second, truth = (np.asarray(x, dtype=np.float64) for x in (a, b, target))
    n = len(truth)
    codes, units = _group_codes(groups, n)
    lengths = [len(first), len(second), n, len(codes)]
    if len(set(lengths)) > 1:
        raise InputError(f"compare_auroc: a, b, target and groups have {lengths} rows; they must have the same number.")
    if np.isnan(np.concatenate([first, second])).any() or set(truth.tolist()) != {0.0, 1.0} or (codes < 0).any():
        raise InputError("compare_auroc: scores and groups must not be missing, and the target must hold 0 and 1, both of them.")
    order, unit = _canonical(np.stack([truth, first, second]), codes)
    one, two = (BinaryMetrics(truth[order], scores[order], unit, names=("auroc",)) for scores in (first, second))
    found = bootstrap(Difference(one, two, ("auroc",)), units, n, resamples, seed)["auroc"]
    bounds = [None if np.isnan(x) else x for x in (found.low, found.high)]
    return {
        "value": found.value, "low": bounds[0], "high": bounds[1], "n": n, "n_units": units,
        "method": found.method or None, "dropped": found.dropped,
    }  # fmt: skip


def _group_codes(groups: np.ndarray | None, n: int) -> tuple[np.ndarray, int]:
    import pandas as pd

    codes, names = pd.factorize(np.arange(n) if groups is None else np.asarray(groups))
    return codes, len(names)


def _canonical(columns: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An order of the rows, and units numbered in it, that follow from the content of the units alone."""
    order = np.lexsort([*columns[::-1], codes])
    edges = np.flatnonzero(np.diff(codes[order])) + 1
    members = np.split(order, edges)
    members.sort(key=lambda rows: columns[:, rows].T.tolist())
    return np.concatenate(members), np.repeat(np.arange(len(members)), [len(rows) for rows in members])
