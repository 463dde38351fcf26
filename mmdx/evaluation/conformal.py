"""Conformal prediction: sets of classes that hold the true one with a chosen chance, from probabilities and calibration rows.

A score says how badly a class fits a row (small is good). The quantile of the true classes' scores on calibration rows, which the model was not
trained on, is the largest score that a class may have to be in a set. Where calibration and test rows are exchangeable, the true class is in the
set with chance at least 1 - alpha, whatever the model (Vovk, Gammerman & Shafer 2005; Angelopoulos & Bates 2023, arXiv:2107.07511).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from scipy.stats import betabinom

from mmdx.evaluation.linear import Sums

ALPHA = 0.1
SLACK = 1e-9  # sums of probabilities differ in their last digits; adds a class, never takes one away


def lac_scores(prob: np.ndarray) -> np.ndarray:
    """1 - probability of each class, [n, K] (Sadinle, Lei & Wasserman 2019, JASA 114:223): the smallest sets on average; some may be empty."""
    return 1 - np.asarray(prob, dtype=np.float64)


def aps_scores(prob: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """Probability of all classes at least as likely as a class, less a random share of its own, [n, K] (Romano, Sesia & Candes 2020,
    arXiv:2006.02544): sets that are larger where the row is harder.

    Args:
        prob: [n, K].
        draw: [n], uniform in 0 to 1; zeros leave out the randomness, and the sets are then larger than they need to be.
    """
    prob = np.asarray(prob, dtype=np.float64)
    order = np.argsort(-prob, axis=1, kind="stable")
    cumulated = np.empty_like(prob)
    np.put_along_axis(cumulated, order, np.take_along_axis(prob, order, axis=1).cumsum(axis=1), axis=1)
    return cumulated - np.asarray(draw)[:, None] * prob


def rank(n: int, alpha: float = ALPHA) -> int:
    """Which of n calibration scores, counted from the smallest, is the quantile: ceil((n + 1) (1 - alpha)); above n there is none."""
    return int(np.ceil((n + 1) * (1 - alpha) - 1e-9))


def enough(n: int, alpha: float = ALPHA) -> bool:
    """Whether n calibration rows give a finite quantile: n >= 1 / alpha - 1."""
    return rank(n, alpha) <= n


def quantile(scores: np.ndarray, alpha: float = ALPHA) -> float:
    """The finite-sample quantile of calibration scores [n]; infinite where they are too few, so that every class is in every set."""
    place = rank(len(scores), alpha)
    return float(np.partition(scores, place - 1)[place - 1]) if place <= len(scores) else np.inf


def expected_coverage(n: int, rows: int, alpha: float = ALPHA) -> tuple[float, float, float]:
    """Mean and 95 % range of the coverage on independent test rows, over draws of the n calibration rows and of the test rows.

    The number covered is beta-binomial with parameters k and n + 1 - k, k the rank of the quantile (Vovk 2012, arXiv:1209.2673).
    """
    place = rank(n, alpha)
    if place > n:
        return 1.0, 1.0, 1.0
    chances = betabinom.pmf(np.arange(rows + 1), rows, place, n + 1 - place)
    low, high = np.searchsorted(chances.cumsum(), [0.025, 0.975])
    return place / (n + 1), float(low / rows), float(high / rows)


def split_sets(calibration: np.ndarray, scores: np.ndarray, alpha: float = ALPHA) -> tuple[np.ndarray, float]:
    """Sets [n, K] (true where a class is in) and the quantile: one for all rows, so that the coverage holds on average over them.

    Args:
        calibration: score of the true class of each calibration row, [m].
        scores: of every class of each test row, [n, K].
        alpha: chance of a set without the true class.
    """
    limit = quantile(calibration, alpha)
    return scores <= limit + SLACK, limit


def class_conditional_sets(
    calibration: np.ndarray, target: np.ndarray, scores: np.ndarray, alpha: float = ALPHA
) -> tuple[np.ndarray, np.ndarray]:
    """Sets [n, K] and the quantile [K] of each class, from the calibration rows of that class: the coverage holds among the rows of each class
    (Vovk 2012; Sadinle et al. 2019). A class with too few calibration rows is in every set.

    Args:
        calibration: score of the true class of each calibration row, [m].
        target: their classes, [m] of 0 to K - 1.
        scores: of every class of each test row, [n, K].
        alpha: chance of a set without the true class, in each class.
    """
    limits = np.array([quantile(calibration[target == k], alpha) for k in range(scores.shape[1])])
    return scores <= limits + SLACK, limits


def group_conditional_sets(
    calibration: np.ndarray, calibration_groups: np.ndarray, scores: np.ndarray, groups: np.ndarray, alpha: float = ALPHA
) -> tuple[np.ndarray, dict[Hashable, float]]:
    """Sets [n, K] and the quantile of each group of test rows, from the calibration rows of that group: the coverage holds in each group
    (Mondrian conformal prediction, Vovk et al. 2005). A row of a group with too few calibration rows gets every class.

    Args:
        calibration: score of the true class of each calibration row, [m].
        calibration_groups: their groups, [m].
        scores: of every class of each test row, [n, K].
        groups: their groups, [n].
        alpha: chance of a set without the true class, in each group.
    """
    sets = np.ones(scores.shape, dtype=bool)
    limits: dict[Hashable, float] = {}
    for group in sorted(set(groups.tolist())):
        own = groups == group
        limits[group] = quantile(calibration[calibration_groups == group], alpha)
        sets[own] = scores[own] <= limits[group] + SLACK
    return sets, limits


class Means:
    """Means of several columns, each over rows of its own, under row weights: a statistic whose metrics are named "0", "1", ...

    Args:
        values: P columns, [n] each.
        where: of each column, [n], true where a row counts in its mean.
        unit: [n] of 0 to C - 1, the unit that is drawn in resampling.
    """

    def __init__(self, values: Sequence[np.ndarray], where: Sequence[np.ndarray], unit: np.ndarray) -> None:
        clusters = int(unit.max()) + 1
        self.above, self.below = np.empty((2, len(values), clusters))
        for p, (value, counts) in enumerate(zip(values, where, strict=True)):
            self.above[p] = np.bincount(unit, weights=value * counts, minlength=clusters)
            self.below[p] = np.bincount(unit, weights=counts, minlength=clusters)
        self.proportion = [bool(np.isin(column, (0, 1)).all()) for column in values]

    def as_ratios(self, name: str) -> list[Sums]:
        """The mean of a column as a ratio of sums."""
        return [Sums(self.above[int(name)], self.below[int(name)], self.proportion[int(name)])]

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each column."""
        known = counts[: self.above.shape[1]]
        above, below = self.above @ known, self.below @ known
        means = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
        return {str(p): mean for p, mean in enumerate(means)}
