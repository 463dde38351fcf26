"""How far probabilities can be taken at their word: statistics of a yes-or-no outcome, for many weightings at once.

Bins are of equal mass: as many rows in each, as far as equal probabilities, which stay together, allow. They are made once, from the rows
themselves, so that a resample weighs the rows of a bin and never moves its edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import csr_matrix, vstack

from mmdx.errors import InputError
from mmdx.evaluation.calibration_line import CalibrationLine, clipped
from mmdx.evaluation.linear import Sums
from mmdx.evaluation.metrics import Statistic, weighted

BINS = 15
BINNED = ("ece", "ece_debiased", "brier_reliability", "brier_resolution", "brier_uncertainty", "brier_within_bins")
SCORES = ("brier", "log_loss")
LINE = ("slope", "intercept", "intercept_joint")
CALIBRATION = (*BINNED, *SCORES, *LINE)


class CalibrationMetrics:
    """Calibration of the probabilities of an outcome; n rows, of which n_b lie in bin b with mean probability p_b and observed rate o_b.

    - ``ece``: expected calibration error, sum_b n_b / n |p_b - o_b| (Naeini et al. 2015; Guo et al. 2017). Chance alone makes it positive, so
      it overstates the error, and a resample of the rows overstates it once more.
    - ``ece_debiased``: root of the squared error, sum_b n_b / n (p_b - o_b)^2, freed of that bias as by Kumar, Liang and Ma (2019) and Ferro and
      Fricker (2012): the square of a bin's sum of p - o gives way to its products over pairs of different units, whose expected value is the
      square of the true one, 0 where the probabilities are right. Where the result is negative, less than chance makes of right probabilities,
      the root carries a minus. With one row a unit and one probability a bin it is Kumar's (p_b - o_b)^2 - o_b (1 - o_b) / (n_b - 1). Bins that
      only one unit falls in are left out.
    - ``brier``: mean of (p - o)^2, which is ``brier_reliability`` - ``brier_resolution`` + ``brier_uncertainty`` (Murphy 1973): sum_b n_b / n
      (p_b - o_b)^2; the generalised resolution of Stephenson, Coelho and Jolliffe (2008), which is Murphy's sum_b n_b / n (o_b - o)^2 less
      ``brier_within_bins``, the probabilities' variance within bins less twice their covariance with the outcome; and o (1 - o).
    - ``log_loss``: mean of -ln of the probability given to what happened.
    - ``slope``, ``intercept_joint``: of the outcome's logistic regression on the logit of the probability, fitted together (Cox 1958); below 1
      the probabilities are too extreme. ``intercept``: calibration in the large, the intercept with the slope fixed at 1; above 0 they are too low.

    Probabilities are kept ``calibration_line.EPSILON`` away from 0 and 1 in the last two.

    Args:
        target: [n] of 0 and 1.
        prob: [n] in 0 to 1.
        unit: [n] of 0 to C - 1, the unit that is drawn in resampling and each row belongs to.
        names: which metrics.
        edges: inner edges of the bins, each the lowest probability of the bin above it; of 15 bins of equal mass where not given.
    """

    def __init__(
        self, target: np.ndarray, prob: np.ndarray, unit: np.ndarray, names: Iterable[str] = CALIBRATION, edges: Sequence[float] | None = None
    ) -> None:
        self.names = tuple(names)
        outcome, prob, unit = np.asarray(target, dtype=np.float64), np.asarray(prob, dtype=np.float64), np.asarray(unit)
        place = bin_of(prob, equal_mass_edges(prob) if edges is None else np.asarray(edges))
        self.bins = int(place.max()) + 1
        rows, events, expected = (totals(place, unit, column) for column in (np.ones(len(prob)), outcome, prob))
        nothing = np.zeros(len(prob), dtype=int)
        surprise = -np.log(np.where(outcome == 1, clipped(prob), 1 - clipped(prob)))
        overall = [totals(nothing, unit, column) for column in (prob**2, prob * outcome, surprise)]
        excess = expected - events
        self.once = vstack([rows, events, expected, *overall]).tocsr()
        self.twice = vstack([excess.multiply(excess), rows.multiply(rows)]).tocsr()
        self.line = CalibrationLine(outcome, prob, unit) if set(self.names) & set(LINE) else None

    def as_ratios(self, name: str) -> list[Sums]:
        """The Brier score as a ratio of sums; every other metric is none."""
        if name != "brier":
            return []
        sums = np.asarray(self.once.todense())
        rows, events, (squares, products) = sums[: self.bins], sums[self.bins : 2 * self.bins], sums[3 * self.bins :][:2]
        return [Sums(squares - 2 * products + events.sum(axis=0), rows.sum(axis=0), proportion=False)]

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""
        counts = np.ascontiguousarray(counts[: self.once.shape[1]])
        sums, bins = self.once @ counts, self.bins
        rows, events, expected = sums[:bins], sums[bins : 2 * bins], sums[2 * bins : 3 * bins]
        squares, products, surprise = sums[3 * bins :]
        with np.errstate(invalid="ignore", divide="ignore"):
            n = rows.sum(axis=0)
            rate = events.sum(axis=0) / n
            excess = expected - events
            held = np.where(rows > 0, rows, 1.0)
            within = (squares - 2 * products - ((expected**2 - 2 * events * expected) / held).sum(axis=0)) / n
            found = {
                "ece": np.abs(excess).sum(axis=0) / n,
                "brier_reliability": (excess**2 / held).sum(axis=0) / n,
                "brier_resolution": (events**2 / held).sum(axis=0) / n - rate**2 - within,
                "brier_uncertainty": rate * (1 - rate),
                "brier_within_bins": within,
                "brier": (squares - 2 * products) / n + rate,
                "log_loss": surprise / n,
            }
            if "ece_debiased" in self.names:
                found["ece_debiased"] = _debiased(rows, excess, self.twice @ counts**2)
        if self.line is not None:
            found |= self.line(counts)
        return {name: found[name] for name in self.names}


def _debiased(rows: np.ndarray, excess: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Signed root of the mean over bins [B, R] of the product of (p - o) over pairs of rows of different units.

    A unit is no pair with its own copies in a resample either: else the resamples would gather about the biased value.
    """
    bins = len(rows)
    pairs = rows**2 - same[bins:]
    usable = pairs > 1e-9
    weight = np.where(usable, rows, 0.0)
    squared = np.where(usable, weight * (excess**2 - same[:bins]) / np.where(usable, pairs, 1.0), 0.0).sum(axis=0) / weight.sum(axis=0)
    return np.sign(squared) * np.sqrt(np.abs(squared))


class TopLabelMetrics:
    """Calibration of the class called, the one with the highest probability, among K.

    - ``ece``, ``ece_debiased``: as in ``CalibrationMetrics``, of the highest probability against whether its class is the right one (confidence
      calibration, Guo et al. 2017).
    - ``brier``: mean over rows of the sum over classes of (prob - target)^2, 0 to 2. ``log_loss``: mean of -ln of the true class's probability.

    Args:
        target: [n] of 0 to K - 1.
        prob: [n, K].
        unit: [n] of 0 to C - 1.
    """

    def __init__(self, target: np.ndarray, prob: np.ndarray, unit: np.ndarray) -> None:
        self.top = CalibrationMetrics(prob.argmax(axis=1) == target, prob.max(axis=1), unit, ("ece", "ece_debiased"))
        nothing = np.zeros(len(target), dtype=int)
        error = ((prob - np.eye(prob.shape[1])[target]) ** 2).sum(axis=1)
        surprise = -np.log(clipped(prob[np.arange(len(target)), target]))
        self.sums = vstack([totals(nothing, unit, column) for column in (np.ones(len(target)), error, surprise)]).tocsr()

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""
        rows, error, surprise = self.sums @ np.ascontiguousarray(counts[: self.sums.shape[1]])
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.top(counts) | {"brier": error / rows, "log_loss": surprise / rows}


def equal_mass_edges(prob: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Inner edges of bins that hold as many rows each, at most ``bins - 1`` of them; each is the lowest probability of the bin above it."""
    ordered = np.sort(np.asarray(prob, dtype=np.float64))
    return np.unique(ordered[(len(ordered) * np.arange(1, bins)) // bins])


def bin_of(prob: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Number [n] of each row's bin, from 0 up without a gap: bins that hold no row have none."""
    return np.unique(np.searchsorted(edges, prob, side="right"), return_inverse=True)[1]


def totals(place: np.ndarray, unit: np.ndarray, column: np.ndarray) -> csr_matrix:
    """Sums of a column [n] over the rows of each place and unit, [P, C]."""
    shape = (int(place.max()) + 1, int(unit.max()) + 1)
    return csr_matrix((np.asarray(column, dtype=np.float64), (place, unit)), shape=shape)


def ece_of_calibrated(prob: np.ndarray) -> float:
    """What ``ece`` comes to in the mean where every probability is right: sum_b sqrt(2 / pi sum_{i in b} p_i (1 - p_i)) / n, each bin's difference
    being nearly normal; rows count as independent."""
    place = bin_of(prob, equal_mass_edges(prob))
    return float(np.sqrt(2 / np.pi * np.bincount(place, weights=prob * (1 - prob))).sum() / len(prob))


def calibration_metrics(
    target: np.ndarray, prob: np.ndarray, weights: np.ndarray | None = None, edges: Sequence[float] | None = None
) -> dict[str, float | None]:
    """Every calibration metric of an outcome [n] and its probabilities [n], as described at ``CalibrationMetrics``; None where one is undefined.

    Args:
        target: 0 and 1.
        prob: probability of 1.
        weights: how often each row counts; once each where not given.
        edges: inner edges of the bins; of 15 bins of equal mass where not given.

    Raises:
        InputError: where there is no row, lengths differ, a target is not 0 or 1 or a probability is not within 0 to 1.
    """
    target, prob = check_outcome("calibration_metrics", target, prob)
    statistic: Statistic = CalibrationMetrics(target, prob, np.arange(len(prob)), edges=edges)
    values = weighted(statistic, np.ones(len(prob)) if weights is None else weights)
    return {name: None if np.isnan(value) else value for name, value in values.items()}


def check_outcome(caller: str, target: np.ndarray, prob: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Target and probabilities as float arrays [n].

    Raises:
        InputError: where there is no row, lengths differ, a target is not 0 or 1 or a probability is not within 0 to 1.
    """
    target, prob = np.asarray(target, dtype=np.float64), np.asarray(prob, dtype=np.float64)
    if target.ndim != 1 or target.shape != prob.shape or not len(target):
        raise InputError(f"{caller}: target has shape {list(target.shape)} and prob {list(prob.shape)}; both must be [n] with n of at least 1.")
    if not np.isin(target, (0, 1)).all():
        raise InputError(f"{caller}: target holds {target[~np.isin(target, (0, 1))][0]:g}; it must hold 0 and 1 only.")
    outside = ~((prob >= 0) & (prob <= 1))
    if outside.any():
        raise InputError(f"{caller}: prob holds {prob[outside][0]:g}; a probability must lie in 0 to 1.")
    return target, prob
