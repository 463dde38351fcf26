"""Estimates that are, to first order, sums over units: their variance with rows that are clustered in units, and their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit, stdtrit

LEVEL = 0.95
UPPER = (1 + LEVEL) / 2


@dataclass(frozen=True)
class Sums:
    """A metric as the ratio of two sums over units.

    Attributes:
        above, below: the sums within each unit, [C].
        proportion: whether it is the share of rows that have a property, and not a mean of other numbers.
    """

    above: np.ndarray
    below: np.ndarray
    proportion: bool = True


@dataclass(frozen=True)
class Linear:
    """An estimate with what each unit adds to its deviation from the truth.

    Attributes:
        value: the estimate.
        terms: [K, C], for each of C units its share of the deviation, in K kinds of rows (such as positive and negative ones); sums to 0 in each.
        inside: [K, C], which units have rows of the kind.
        rows: how many rows the estimate rests on.
        pairs: how many pairs of a positive and a negative row can be made that share no unit; 0 where there are no such kinds.
    """

    value: float
    terms: np.ndarray
    inside: np.ndarray
    rows: int
    pairs: int = 0

    @property
    def units(self) -> int:
        """How many units have rows."""
        return int(self.inside.any(axis=0).sum())

    @property
    def clustered(self) -> bool:
        """Whether some unit has several rows."""
        return self.rows > self.units

    @property
    def variance(self) -> float:
        """NaN where some kind of rows is in one unit only."""
        return covariance(self, self)

    @property
    def degrees_of_freedom(self) -> float:
        """Of the variance, after Satterthwaite (1946, Biometrics Bulletin 2:110): each kind of rows has as many as its units less one."""
        free = self.inside.sum(axis=1) - 1
        own = (self.terms**2).sum(axis=1) * (free + 1) / np.maximum(free, 1)
        return float(own.sum() ** 2 / (own**2 / np.maximum(free, 1)).sum()) if own.any() else float(free.min())


def covariance(first: Linear, second: Linear) -> float:
    """Covariance of two estimates on the same units: sum over pairs of kinds of I / (I - 1) times the sum over units of the products of
    their terms, I being the number of units with rows of either kind (Obuchowski 1997, equations 3 to 5, for the AUROC). NaN where I is 1.
    """
    one, two = (estimate.inside.astype(np.float64) for estimate in (first, second))
    either = one.sum(axis=1)[:, None] + two.sum(axis=1) - one @ two.T
    factor = np.divide(either, either - 1, out=np.full(either.shape, np.nan), where=either > 1)
    return float((factor * (first.terms @ second.terms.T)).sum())


def ratio(above: np.ndarray, below: np.ndarray) -> Linear | None:
    """The ratio of two sums over units, such as hits over positive rows; None where the lower sum is 0.

    To first order a unit adds (above - value * below) / sum of below (Cochran 1977, Sampling techniques, section 6.3).

    Args:
        above, below: sums within each unit, [C].
    """
    whole = float(below.sum())
    if whole <= 0:
        return None
    value = float(above.sum()) / whole
    return Linear(value, (above - value * below)[None] / whole, (below > 0)[None], round(whole))


def mean(parts: Sequence[Linear | None]) -> Linear | None:
    """The mean of estimates on the same units; None where one of them is missing.

    Terms of parts with rows in the same units (as those of seeds) are averaged; others (as those of sites) stay kinds of their own.
    """
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    alike = all(np.array_equal(part.inside, known[0].inside) for part in known)
    terms = np.mean([part.terms for part in known], axis=0) if alike else np.concatenate([part.terms for part in known]) / len(known)
    inside = known[0].inside if alike else np.concatenate([part.inside for part in known])
    value = float(np.mean([part.value for part in known]))
    return Linear(value, terms, inside, max(part.rows for part in known), min(part.pairs for part in known))


def difference(first: Linear | None, second: Linear | None) -> Linear | None:
    """First minus second, of the same rows; None where one of them is missing."""
    if first is None or second is None:
        return None
    return replace(first, value=first.value - second.value, terms=first.terms - second.terms)


def plain_limits(estimate: Linear) -> tuple[float, float]:
    """value -+ q standard errors, of normal quantiles where each unit has one row, else of t with ``degrees_of_freedom``."""
    half = quantile(np.inf if not estimate.clustered else estimate.degrees_of_freedom) * np.sqrt(estimate.variance)
    return estimate.value - half, estimate.value + half


def log_limits(estimate: Linear) -> tuple[float, float]:
    """Limits made on the scale of the logarithm, of an estimate above 0."""
    half = quantile(estimate.degrees_of_freedom) * np.sqrt(estimate.variance) / estimate.value
    return float(estimate.value * np.exp(-half)), float(estimate.value * np.exp(half))


def logit_limits(estimate: Linear) -> tuple[float, float]:
    """Limits made on the scale of log(value / (1 - value)), of an estimate between 0 and 1 (Pepe 2003, section 5.2, for the AUROC)."""
    value = estimate.value
    half = quantile(estimate.degrees_of_freedom) * np.sqrt(estimate.variance) / (value * (1 - value))
    return float(expit(logit(value) - half)), float(expit(logit(value) + half))


def quantile(degrees_of_freedom: float) -> float:
    """The upper quantile of t that a two-sided 95 % interval takes."""
    return float(stdtrit(degrees_of_freedom, UPPER)) if np.isfinite(degrees_of_freedom) else 1.959963984540054
