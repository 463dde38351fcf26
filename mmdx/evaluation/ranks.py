"""Several methods on several data sets, splits or seeds, by their ranks: Friedman's test and Nemenyi's critical difference (Demsar 2006)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from scipy import stats

from mmdx.errors import InputError

MOST_ORDERS = 50_000


@dataclass(frozen=True)
class RankTest:
    """Friedman's test with Nemenyi's comparison of all pairs.

    Attributes:
        ranks: mean rank [k] of each method, 1 the best; ties share the mean of their ranks.
        chi_squared, p_chi_squared: Friedman's statistic, corrected for ties, on k - 1 degrees of freedom.
        f: Iman and Davenport's, on k - 1 and (k - 1)(N - 1) degrees of freedom; infinite where all blocks agree.
        p: decides; of few blocks exact, by all permutations within blocks, else of F, which is less conservative than the chi-squared.
        exact: whether it is.
        blocks: number N of data sets, splits or seeds.
    """

    ranks: np.ndarray
    chi_squared: float
    p_chi_squared: float
    f: float
    p: float
    exact: bool
    blocks: int

    @property
    def error(self) -> float:
        """Standard error of a mean rank's difference from another, under no difference."""
        methods = len(self.ranks)
        return float(np.sqrt(methods * (methods + 1) / (6 * self.blocks)))

    @property
    def p_pairs(self) -> np.ndarray:
        """Nemenyi's p-value of each pair, [k, k]."""
        q = np.abs(self.ranks[:, None] - self.ranks) / self.error * np.sqrt(2)
        return np.asarray(stats.studentized_range.sf(q, len(self.ranks), np.inf))

    def critical_difference(self, level: float = 0.05) -> float:
        """By how much two mean ranks must differ to differ at a level, over all pairs together."""
        return float(stats.studentized_range.ppf(1 - level, len(self.ranks), np.inf) / np.sqrt(2) * self.error)


def friedman_nemenyi(values: np.ndarray, higher_is_better: bool = True) -> RankTest:
    """Ranks of k methods over N blocks (Demsar 2006, JMLR 7:1, section 3.2.2).

    Args:
        values: metric [N, k] of each method on each block.
        higher_is_better: whether the largest value has rank 1.

    Raises:
        InputError: for fewer than two blocks or three methods, or values that are missing.
    """
    values = np.asarray(values, dtype=np.float64)
    blocks, methods = values.shape
    if blocks < 2 or methods < 3 or not np.isfinite(values).all():
        raise InputError(f"Friedman's test: {methods} methods on {blocks} blocks; needs at least 3 methods, each with a value on at least 2 blocks.")
    ranked = stats.rankdata(-values if higher_is_better else values, axis=1)
    ranks = ranked.mean(axis=0)
    spread = ((ranked - (methods + 1) / 2) ** 2).sum() / (blocks * (methods - 1))  # methods (methods + 1) / 12 without ties
    between = ((ranks - (methods + 1) / 2) ** 2).sum() * blocks
    chi_squared = float(between / spread) if spread > 0 else 0.0
    below = blocks * (methods - 1) - chi_squared
    f = (blocks - 1) * chi_squared / below if below > 1e-12 else np.inf
    exact = exact_p(ranked)
    return RankTest(
        ranks,
        chi_squared,
        float(stats.chi2.sf(chi_squared, methods - 1)),
        float(f),
        float(stats.f.sf(f, methods - 1, (methods - 1) * (blocks - 1))) if exact is None else exact,
        exact is not None,
        blocks,
    )


def exact_p(ranked: np.ndarray) -> float | None:
    """The share of all permutations of ranks [N, k] within blocks whose mean ranks lie as far apart; None where they are too many to look at.

    F is an approximation for many blocks: of two that agree it would say p = 0, where one of k! orders would agree by chance.
    """
    blocks, methods = ranked.shape
    if math.factorial(methods) ** (blocks - 1) > MOST_ORDERS:
        return None
    sums = ranked[:1]  # which order the first block has makes no difference
    for block in ranked[1:]:
        orders = np.array(list(permutations(block)))
        sums = (sums[:, None, :] + orders).reshape(-1, methods)
    apart = ((sums - sums.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    own = ranked.sum(axis=0)
    return float((apart >= ((own - own.mean()) ** 2).sum() - 1e-9).mean())
