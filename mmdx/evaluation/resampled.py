"""The corrected resampled t-test: two methods, each trained and tested on several splits of one cohort."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mmdx.errors import InputError


@dataclass(frozen=True)
class ResampledTest:
    """Mean difference over splits with its interval and test.

    Attributes:
        value, low, high: mean difference and 95 % interval.
        t, df, p: of the two-sided test of no difference.
        splits: number J of splits.
        ratio: test rows for each training row.
    """

    value: float
    low: float
    high: float
    t: float
    df: int
    p: float
    splits: int
    ratio: float


def corrected_resampled_t(differences: np.ndarray, ratio: float, level: float = 0.95) -> ResampledTest:
    """The t-test with the variance corrected for overlapping training sets (Nadeau and Bengio 2003, Machine Learning 52:239, section 4).

    The variance of the mean of J differences is (1 / J + n_test / n_train) times their sample variance, in the place of 1 / J times it; the
    statistic has J - 1 degrees of freedom. Differences that are all equal give t infinite and p 0, or t 0 and p 1 where they are 0.

    Args:
        differences: [J], metric of one method minus that of the other on the test part of each split.
        ratio: n_test / n_train.
        level: of the interval.

    Raises:
        InputError: for fewer than two splits, or a ratio that isn't positive.
    """
    differences = np.asarray(differences, dtype=np.float64)
    count = len(differences)
    if count < 2 or not ratio > 0 or not np.isfinite(differences).all():
        raise InputError(f"corrected resampled t: {count} differences, test/train ratio {ratio}; needs two or more, finite, and a positive ratio.")
    mean = float(differences.mean())
    error = float(np.sqrt((1 / count + ratio) * differences.var(ddof=1)))
    same = error < 1e-15
    t = mean / error if not same else 0.0 if abs(mean) < 1e-15 else float(np.copysign(np.inf, mean))
    half = float(stats.t.ppf((1 + level) / 2, count - 1)) * error
    return ResampledTest(mean, mean - half, mean + half, t, count - 1, float(2 * stats.t.sf(abs(t), count - 1)), count, ratio)
