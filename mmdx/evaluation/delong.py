"""Variance of AUROCs by their structural components, their intervals and the paired test of two of them.

DeLong, DeLong and Clarke-Pearson 1988 (Biometrics 44:837); computed from mid-ranks, in the time that sorting takes (Sun and Xu 2014, IEEE
Signal Processing Letters 21:1389); rows that are clustered in patients after Obuchowski 1997 (Biometrics 53:567).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtr
from scipy.stats import rankdata

from mmdx.errors import InputError
from mmdx.evaluation.linear import UPPER, Linear, covariance, difference, logit_limits, plain_limits


def auroc_linear(positive: np.ndarray, score: np.ndarray, unit: np.ndarray, units: int) -> Linear | None:
    """The AUROC with its structural components; None with one class only.

    Of M positive and N negative rows a positive one has the component V10 = share of the negatives below it, a negative one V01 = share of the
    positives above it, ties counting half; the AUROC A is the mean of either. A unit adds sum(V10 - A) / M and sum(V01 - A) / N.

    Args:
        positive: [n] of booleans.
        score: [n], higher for positive.
        unit: [n] of 0 to C - 1.
        units: C.
    """
    up, down = score[positive], score[~positive]
    if not len(up) or not len(down):
        return None
    ranks = rankdata(np.concatenate([up, down]))
    above = (ranks[: len(up)] - rankdata(up)) / len(down)
    below = 1 - (ranks[len(up) :] - rankdata(down)) / len(up)
    value = float(above.mean())
    terms = [np.bincount(unit[positive], above - value, units) / len(up), np.bincount(unit[~positive], below - value, units) / len(down)]
    inside = np.stack([np.bincount(unit[kind], minlength=units) > 0 for kind in (positive, ~positive)])
    pairs = min(*inside.sum(axis=1).tolist(), int(inside.any(axis=0).sum()) // 2) if len(up) + len(down) > 1 else 0
    return Linear(value, np.stack(terms), inside, len(score), pairs)


def auroc_limits(estimate: Linear) -> tuple[float, float] | None:
    """The 95 % interval of an AUROC, on the logit scale; None where a class is in one unit only.

    The variance of an AUROC of exactly 1 (or 0) is 0, which says nothing. Its lower limit is 0.025^(1/k): k pairs that share no unit are all in the
    right order, which has a chance of A^k.
    """
    if estimate.value in (0.0, 1.0):
        worst = (1 - UPPER) ** (1 / estimate.pairs) if estimate.pairs else 0.0
        return (worst, 1.0) if estimate.value else (0.0, 1 - worst)
    return None if np.isnan(estimate.variance) else logit_limits(estimate)


@dataclass(frozen=True)
class AurocTest:
    """Two AUROCs of the same rows.

    Attributes:
        first, second: the AUROCs.
        value, low, high: first minus second, with its 95 % interval.
        variances, covariance: of the two.
        z: the difference over its standard error.
        p: two-sided; of the normal distribution where each unit has one row, as published, else of t with Satterthwaite's degrees of freedom.
        n, n_units: rows and units.
    """

    first: float
    second: float
    value: float
    low: float
    high: float
    variances: tuple[float, float]
    covariance: float
    z: float
    p: float
    n: int
    n_units: int


def delong_test(first: np.ndarray, second: np.ndarray, target: np.ndarray, groups: np.ndarray | None = None) -> AurocTest:
    """The paired test of "both scores have the same AUROC".

    Scores that rank every row alike differ by nothing: z = 0 and p = 1.

    Args:
        first, second: scores [n] of the same rows, higher for class 1.
        target: [n] of 0 and 1.
        groups: [n], the unit that is drawn, such as the patient; each row on its own where None.

    Raises:
        InputError: where lengths differ, a value is missing, or a class is in fewer than two units.
    """
    one, two, truth = (np.asarray(x, dtype=np.float64) for x in (first, second, target))
    names, unit = np.unique(np.arange(len(truth)) if groups is None else np.asarray(groups), return_inverse=True)
    lengths = [len(one), len(two), len(truth), len(unit)]
    if len(set(lengths)) > 1:
        raise InputError(f"delong_test: first, second, target and groups have {lengths} rows; they must have the same number.")
    if np.isnan(np.concatenate([one, two])).any() or not np.isin(truth, (0, 1)).all():
        raise InputError("delong_test: scores must not be missing, and the target must be 0 or 1; leave other rows out.")
    parts = [auroc_linear(truth == 1, score, unit, len(names)) for score in (one, two)]
    if parts[0] is None or parts[1] is None or parts[0].inside.sum(axis=1).min() < 2:
        raise InputError("delong_test: each class must occur in at least two units (patients or rows); fewer have no variance.")
    return auroc_test(parts[0], parts[1])


def auroc_test(first: Linear, second: Linear) -> AurocTest:
    """As ``delong_test``, of AUROCs with their components, such as means over seeds."""
    gap = difference(first, second)
    assert gap is not None
    z = gap.value / np.sqrt(gap.variance) if gap.variance > 0 else 0.0 if gap.value == 0 else np.copysign(np.inf, gap.value)
    tail = ndtr(-abs(z)) if not gap.clustered else stdtr(gap.degrees_of_freedom, -abs(z))
    low, high = plain_limits(gap)
    variances = (first.variance, second.variance)
    return AurocTest(
        first.value, second.value, gap.value, low, high, variances, covariance(first, second), float(z), float(2 * tail), gap.rows, gap.units
    )
