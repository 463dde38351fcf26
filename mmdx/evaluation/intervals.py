"""95 % bootstrap intervals over units: patients where they are known, else samples.

Units are drawn with replacement, all rows of a unit together. BCa (Efron 1987, JASA 82:171; Efron and Tibshirani 1993, equations 14.9
to 14.15): the quantiles are shifted by the bias z0 and the acceleration a, the latter from a jackknife that leaves out one unit at a
time, or, with more than 200 units, one of 200 random groups of units at a time.
"""

from __future__ import annotations

import os
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
KEPT = 2**22  # entries of a count matrix that is remembered: the next statistic of the same units has the same draws
MANY = 2**17  # units from which they are drawn part by part
PART = 2**15
STREAM = 16  # resamples that share a random stream
PARALLEL = 2**28  # rows times resamples from which several processes pay


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
    draws, left_out = replicates(statistic, units, rows, resamples, seed)
    return {name: interval(float(v[0]), draws[name], left_out[name]) for name, v in value.items()}


def replicates(
    statistic: Statistic, units: int, rows: int, resamples: int, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Values of each metric in the resamples, [R], and with one unit (or one group of units) left out, [J].

    A large table is worked on by all processors that this process may use; the values do not depend on how many these are.
    """
    width = max(8, BLOCK // max(units, rows)) if max(units, rows) < MANY else 1
    jobs = _processors() if max(units, rows) * resamples >= PARALLEL else 1
    if jobs == 1:
        return _collect(statistic, drawn(units, 0, resamples, seed, width)), _collect(statistic, _without_one(units, seed, width))
    from joblib import Parallel, delayed

    parts = [(start, min(start + STREAM, resamples)) for start in range(0, resamples, STREAM)]
    found = Parallel(n_jobs=jobs)(
        [
            *(delayed(_part)(statistic, units, start, end, seed, width) for start, end in parts),
            *(delayed(_part_left_out)(statistic, units, seed, start, width) for start in range(0, min(units, JACKKNIFE_GROUPS), STREAM)),
        ]
    )
    return _joined(found[: len(parts)]), _joined(found[len(parts) :])


def _part(statistic: Statistic, units: int, start: int, end: int, seed: int, width: int) -> dict[str, np.ndarray]:
    return _collect(statistic, drawn(units, start, end, seed, width))


def _part_left_out(statistic: Statistic, units: int, seed: int, start: int, width: int) -> dict[str, np.ndarray]:
    return _collect(statistic, _without_one(units, seed, width, start, start + STREAM))


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    return _joined([statistic(counts) for counts in blocks])


def drawn(units: int, start: int, end: int, seed: int, width: int) -> Iterator[np.ndarray]:
    """How often each unit was drawn in the resamples ``start`` to ``end`` - 1, in blocks [C, at most ``width``].

    Every ``STREAM`` resamples have a random stream of their own, so any of them can be drawn without those before; ``start`` is the first of one.
    """
    if units <= MANY and units * end <= KEPT:
        counts = _all_draws(units, end, seed)
        yield from (counts[:, place : min(place + width, end)].astype(np.float64) for place in range(start, end, width))
        return
    streams = max(1, width // STREAM)
    for first in range(start, end, STREAM * streams):
        last = min(first + STREAM * streams, end)
        if streams > 1 and units <= MANY:
            yield _several_streams(units, first, last, seed)
            continue
        rng = np.random.default_rng([seed, 0, first // STREAM])
        for place in range(first, last, width):
            number = min(width, last - place)
            if units > MANY:
                yield _counts_of_many(rng, units, number)
            else:
                yield _counts(rng.integers(0, units, size=(number, units)))


@lru_cache(maxsize=8)
def _all_draws(units: int, resamples: int, seed: int) -> np.ndarray:
    return _several_streams(units, 0, resamples, seed, np.uint16)  # nothing is drawn 2**16 times where it is drawn once on average


def _several_streams(units: int, start: int, end: int, seed: int, dtype: type = np.float64) -> np.ndarray:
    counts: np.ndarray = np.empty((units, end - start), dtype)
    for first in range(start, end, STREAM):
        chosen = np.random.default_rng([seed, 0, first // STREAM]).integers(0, units, size=(min(STREAM, end - first), units))
        counts[:, first - start : first - start + len(chosen)] = _counts(chosen)
    return counts


def _counts(chosen: np.ndarray) -> np.ndarray:
    """How often each unit occurs in each resample, [C, R], from the units chosen, [R, C]."""
    resamples, units = chosen.shape
    chosen = chosen * resamples + np.arange(resamples)[:, None]
    return np.bincount(chosen.ravel(), minlength=units * resamples).reshape(units, resamples).astype(np.float64)


def _counts_of_many(rng: np.random.Generator, units: int, resamples: int) -> np.ndarray:
    """The same for many units: first how many of each part of them are drawn, then which, a part at a time that fits a cache."""
    sizes = np.diff(np.append(np.arange(0, units, PART), units))
    counts = np.empty((resamples, units))
    for row in counts:
        place = 0
        for size, number in zip(sizes, rng.multinomial(units, sizes / units), strict=True):
            row[place : place + size] = np.bincount(rng.integers(0, size, size=number), minlength=size)
            place += size
    return counts.T


def _without_one(units: int, seed: int, width: int, first: int = 0, last: int = JACKKNIFE_GROUPS) -> Iterator[np.ndarray]:
    groups = min(units, JACKKNIFE_GROUPS)
    group = np.empty(units, dtype=int)
    group[np.random.default_rng([seed, 1]).permutation(units)] = np.arange(units) % groups
    for start in range(first, min(last, groups), width):
        chosen = np.arange(start, min(start + width, last, groups))
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
