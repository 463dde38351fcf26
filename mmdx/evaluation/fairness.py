"""A metric in each of several groups: what the groups differ by, how sure that is, and a test of "no gap".

Everything rests on the units (patients): a unit's rows count as one observation, also where they are in several groups, as with what is missing in
a visit. A metric is kept as its value in each group and its influence values, ``[C, G]``: value - truth is about their sum over the C units, so their
squares and products summed over units are its variances and covariances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np
from scipy.special import expit, logit
from scipy.stats import chi2, f, norm, t

LEVEL = 0.95
BINS = 15
Part = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Estimates:
    """A mean in each of G groups, such as that of probability minus target, with Wald tests and t intervals.

    Attributes:
        value: [G].
        influence: [C, G], of each unit on each value.
        units: [G], how many units a value rests on.
        method: how the intervals of differences are called.
    """

    method: ClassVar[str] = "wald"
    value: np.ndarray
    influence: np.ndarray
    units: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """Of the values, [G, G]."""
        inflation = np.sqrt(self.units / np.maximum(self.units - 1, 1))
        scaled = self.influence * inflation
        return np.asarray(scaled.T @ scaled)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of what is estimated from the spread of the units."""
        return max(float((self.influence != 0).any(axis=1).sum()) - len(self.value), 1.0)

    def limits(self, alpha: float = 1 - LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """Low and high end of an interval of each value, [G] each, at the level 1 - alpha."""
        reach = t.ppf(1 - alpha / 2, self.freedom) * np.sqrt(np.diag(self.covariance))
        return self.value - reach, self.value + reach

    def p_value(self) -> float:
        """Of the hypothesis that all values are equal; NaN where nothing can be said.

        ``(A v)' (A S A')^-1 (A v) / (G - 1)`` with A the differences to the first group, against F(G - 1, freedom).
        """
        contrasts = np.eye(len(self.value))[1:] - np.eye(len(self.value))[0]
        gaps, spread = contrasts @ self.value, contrasts @ self.covariance @ contrasts.T
        if not np.isfinite(gaps).all() or not np.isfinite(spread).all() or np.linalg.matrix_rank(spread) < len(gaps):
            return 1.0 if (gaps == 0).all() else float("nan")
        statistic = float(gaps @ np.linalg.solve(spread, gaps)) / len(gaps)
        return float(f.sf(statistic, len(gaps), self.freedom))

    def difference(self, first: int, second: int, alpha: float = 1 - LEVEL) -> tuple[float, float, float]:
        """Value of the first group minus that of the second, and an interval from the limits of both.

        With values a and b of correlation r, and limits l and u of each, it begins at ``a - b - sqrt(x^2 + y^2 - 2 r x y)``, where ``x = a - l_a``
        and ``y = u_b - b``, and ends at the mirror image (Newcombe 1998, Statistics in Medicine 17:873, method 10; Zou and Donner 2008, 27:1693).
        """
        low, high = self.limits(alpha)
        covariance = self.covariance
        scale = np.sqrt(covariance[first, first] * covariance[second, second])
        r = covariance[first, second] / scale if scale > 0 else 0.0
        value = self.value[first] - self.value[second]
        below, above = self.value - low, high - self.value

        def reach(one: float, two: float) -> float:
            return float(np.sqrt(max(one**2 + two**2 - 2 * r * one * two, 0.0)))

        return float(value), float(value - reach(below[first], above[second])), float(value + reach(above[first], below[second]))

    def gap(self, alpha: float = 1 - LEVEL) -> tuple[float, float, float]:
        """Largest minus smallest value, and an interval.

        Of two groups it is the interval of the signed difference, larger minus smaller, which may begin below 0. The largest of several is chosen
        by looking, so the value is too large where groups are alike: each pair gets an interval at the level ``1 - alpha / pairs`` (Bonferroni), and
        the gap's goes from the largest of their low ends, or 0, to the largest of their high ends.
        """
        pairs = list(combinations(np.argsort(self.value, kind="stable")[::-1], 2))
        found = [self.difference(first, second, alpha / len(pairs)) for first, second in pairs]
        low, high = max(low for _, low, _ in found), max(high for _, _, high in found)
        return float(self.value.max() - self.value.min()), low if len(pairs) == 1 else max(low, 0.0), high


@dataclass(frozen=True)
class Rates(Estimates):
    """A proportion in each of G groups, such as the sensitivity.

    Attributes:
        size: [G], rows that it is a proportion of.
        clustered: whether a unit has several of them.
    """

    method: ClassVar[str] = "newcombe"
    size: np.ndarray
    clustered: bool

    @property
    def design_effect(self) -> float:
        """By how much the units' rows being alike inflates the variance of a proportion, of all groups together; 1 where units have one row each."""
        within = float((self.size * self.value * (1 - self.value)).sum())
        if not self.clustered:
            return 1.0
        return float((self.size**2 * np.diag(self.covariance)).sum()) / within if within > 0 else self._rows_a_unit

    @property
    def _rows_a_unit(self) -> float:
        return float(self.size.sum() / self.units.sum())

    def limits(self, alpha: float = 1 - LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """Wilson's interval (1927, JASA 22:209) of as many rows as those of the group are worth: their number over the design effect (Rao and Scott
        1992, Biometrics 48:577), which being an estimate takes the quantile of t."""
        z = t.ppf(1 - alpha / 2, self.freedom) if self.clustered else norm.ppf(1 - alpha / 2)
        n = self.size / max(self.design_effect, 1e-9)
        middle = (self.value + z**2 / (2 * n)) / (1 + z**2 / n)
        reach = z / (1 + z**2 / n) * np.sqrt(self.value * (1 - self.value) / n + z**2 / (4 * n**2))
        return np.minimum(middle - reach, self.value), np.maximum(middle + reach, self.value)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the design effect."""
        return max(float(self.units.sum()) - len(self.value), 1.0)

    def p_value(self) -> float:
        """Pearson's chi-square of "all proportions are equal"; where units have several rows, over the mean design effect of the differences (Rao and
        Scott 1981, JASA 76:221) and against F (Thomas and Rao 1987, JASA 82:630)."""
        pooled, groups = float(self.value @ self.size / self.size.sum()), len(self.value)
        if not 0 < pooled < 1:
            return 1.0
        statistic = float((self.size * (self.value - pooled) ** 2).sum()) / (pooled * (1 - pooled))
        if not self.clustered:
            return float(chi2.sf(statistic, groups - 1))
        shape = np.diag(self.size) - np.outer(self.size, self.size) / self.size.sum()
        within = float(self.value * (1 - self.value) @ self.size / self.size.sum())
        effect = float(np.trace(shape @ self.covariance)) / within / (groups - 1) if within > 0 else self._rows_a_unit
        return float(f.sf(statistic / max(effect, 1e-9) / (groups - 1), groups - 1, (groups - 1) * self.freedom))


@dataclass(frozen=True)
class Aurocs(Estimates):
    """The AUROC in each of G groups; intervals and tests on the scale of its logit, none where it is 0 or 1 in a group."""

    method: ClassVar[str] = "delong"

    def limits(self, alpha: float = 1 - LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """As of a mean, of the logit."""
        low, high = self._logits().limits(alpha)
        return expit(low), expit(high)

    def p_value(self) -> float:
        """As of a mean, of the logit."""
        return self._logits().p_value()

    def _logits(self) -> Estimates:
        inside = (self.value > 0) & (self.value < 1)
        slope = np.where(inside, self.value * (1 - self.value), 1.0)
        return Estimates(np.where(inside, logit(np.where(inside, self.value, 0.5)), np.nan), self.influence / slope, self.units)


def totals(column: np.ndarray, code: np.ndarray, unit: np.ndarray, groups: int, units: int) -> np.ndarray:
    """Sums of a column [n] by unit and group, [C, G]; rows with a negative code are left out."""
    inside = code >= 0
    place = unit[inside] * groups + code[inside]
    return np.bincount(place, weights=np.asarray(column, dtype=np.float64)[inside], minlength=units * groups).reshape(units, groups)


def rates(parts: Sequence[Part]) -> Rates:
    """Proportions from numerators and denominators by unit and group, [C, G] each: of several seeds the mean over them."""
    value, influence = _ratios(parts)
    below = np.mean([part[1] for part in parts], axis=0)
    clustered = len(parts) > 1 or bool((below.sum(axis=1) > 1).any())
    return Rates(value, influence, (below > 0).sum(axis=0), below.sum(axis=0), clustered)


def means(parts: Sequence[Part]) -> Estimates:
    """Means from sums and numbers of rows by unit and group, as ``rates``."""
    value, influence = _ratios(parts)
    return Estimates(value, influence, (np.mean([part[1] for part in parts], axis=0) > 0).sum(axis=0))


def _ratios(parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray]:
    values = [above.sum(axis=0) / below.sum(axis=0) for above, below in parts]
    influences = [(above - value * below) / below.sum(axis=0) for value, (above, below) in zip(values, parts, strict=True)]
    return np.mean(values, axis=0), np.mean(influences, axis=0)


def aurocs(parts: Sequence[tuple[np.ndarray, ...]], groups: int, units: int) -> Aurocs:
    """AUROCs, ties counting half, of several seeds the mean over them.

    The variance is DeLong's (1988, Biometrics 44:837), the structural components of a unit's rows added up (Obuchowski 1997, Biometrics 53:567).

    Args:
        parts: of each seed target, prob, code of the group and number of the unit, [n] each.
        groups: G; each has rows of both classes.
        units: C.
    """
    values, influences = [], []
    present = np.zeros(groups)
    for target, prob, code, unit in parts:
        value, influence = np.empty(groups), np.zeros((units, groups))
        for g in range(groups):
            up, down = np.flatnonzero((code == g) & (target == 1)), np.flatnonzero((code == g) & (target == 0))
            wins_of_up, wins_of_down = _placements(prob[up], prob[down])
            value[g] = wins_of_up.mean()
            influence[:, g] = np.bincount(unit[up], weights=wins_of_up - value[g], minlength=units) / len(up)
            influence[:, g] += np.bincount(unit[down], weights=wins_of_down - value[g], minlength=units) / len(down)
            present[g] = min(len(np.unique(unit[up])), len(np.unique(unit[down])))
        values.append(value)
        influences.append(influence)
    return Aurocs(np.mean(values, axis=0), np.mean(influences, axis=0), present)


def _placements(up: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of the negatives that each positive is above, and of the positives that each negative is below, ties counting half."""
    lower, upper = np.sort(down), np.sort(up)
    above = (np.searchsorted(lower, up, "left") + np.searchsorted(lower, up, "right")) / 2 / len(down)
    below = 1 - (np.searchsorted(upper, down, "left") + np.searchsorted(upper, down, "right")) / 2 / len(up)
    return above, below


class CalibrationErrors:
    """How far the probabilities of some rows are off.

    - ``ece``: expected calibration error, the sum over bins of ``abs(sum of prob - target) / n``, over 15 bins of as many rows each as far as equal
      probabilities, which stay together, allow. Chance alone makes it positive, the more so the fewer rows.
    - ``calibration_in_the_large``: mean of prob - target; above 0 the probabilities are too high.

    Args:
        target: [n] of 0 and 1.
        prob: [n] in 0 to 1.
        unit: [n] of 0 to C - 1.
    """

    def __init__(self, target: np.ndarray, prob: np.ndarray, unit: np.ndarray) -> None:
        clusters = int(unit.max()) + 1
        self.rows = np.bincount(unit, minlength=clusters).astype(np.float64)
        self.excess = totals(prob - target, _bins(prob), unit, BINS, clusters)

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""
        counts = counts[: len(self.rows)]
        rows, excess = self.rows @ counts, self.excess.T @ counts
        with np.errstate(invalid="ignore"):
            return {"ece": np.abs(excess).sum(axis=0) / rows, "calibration_in_the_large": excess.sum(axis=0) / rows}


def calibration_excess(target: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """prob - target of each row, [n], with the sign of its bin's sum: their mean is the ECE, whose error is that of a mean where rows are many."""
    bins = _bins(prob)
    return np.asarray(np.sign(np.bincount(bins, weights=prob - target))[bins] * (prob - target))


def _bins(prob: np.ndarray) -> np.ndarray:
    edges = np.unique(np.sort(prob)[len(prob) * np.arange(1, BINS) // BINS])
    return np.searchsorted(edges, prob, side="right")
