"""Metrics of the time to an event under row weights, for many weightings at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.integrate import trapezoid

SURVIVAL = ("c_index", "c_index_uno", "auroc_td", "integrated_brier")


class SurvivalMetrics:
    """Metrics of a time to an event, some of the times being those of censoring.

    A pair of rows is comparable where the one with the shorter time had the event; at equal times where one had it and the other was
    censored. G(t) is the probability of being censored after t. A horizon T counts where a row had the event until T, a row was followed
    beyond T, and G(T) > 0; the means are over the horizons that count.

    - ``c_index``: share of the comparable pairs in which the one with the event has the higher risk, ties counting half (Harrell et al. 1982,
      JAMA 247:2543).
    - ``c_index_uno``: the same, each pair weighted by 1 / G(t)^2 at its shorter time t, for t before the last horizon (Uno et al. 2011, Stat Med
      30:1105).
    - ``auroc_T``: cumulative/dynamic AUROC: rows with the event until T, each weighted by 1 / G at its time, against rows that are followed
      beyond T, scored by 1 - survival_T (Uno et al. 2007, JASA 102:527; Hung and Chiang 2010, Can J Stat 38:8).
    - ``auroc_td``: mean of ``auroc_T``, each weighted by the share of events since the last horizon, by Kaplan and Meier (Lambert and Chevret 2016,
      Stat Methods Med Res 25:2088).
    - ``brier_T``: mean squared error of survival_T, rows with the event until T weighted by 1 / G at its time, those followed beyond T by
      1 / G(T) (Graf et al. 1999, Stat Med 18:2529).
    - ``integrated_brier``: ``brier_T`` integrated over the horizons by the trapezoidal rule, divided by their span; of one horizon its own.

    Args:
        time: [n].
        event: [n] bool.
        risk: [n], higher for those with the event earlier.
        unit: [n] of 0 to C - 1, the unit that is drawn in resampling and each row belongs to.
        censoring: G at each row's time, [n].
        horizons: time of each horizon, ascending, by its name.
        survival: probability of being without the event at each horizon, [n, H].
        censoring_at: G at each horizon, [H].
    """

    def __init__(
        self,
        time: np.ndarray,
        event: np.ndarray,
        risk: np.ndarray,
        unit: np.ndarray,
        censoring: np.ndarray | None = None,
        horizons: Mapping[str, float] | None = None,
        survival: np.ndarray | None = None,
        censoring_at: np.ndarray | None = None,
    ) -> None:
        self.unit, self.horizons = unit, dict(horizons or {})
        self.pairs = ComparablePairs(time, event, risk)
        self.uno = np.zeros(len(time))
        if censoring is not None:
            before = (censoring > 0) & (time < max(self.horizons.values(), default=np.inf))
            self.uno = np.divide(1.0, censoring**2, out=self.uno, where=before)
        self.of_horizon: dict[str, _Horizon] = {}
        if censoring is not None and survival is not None and censoring_at is not None:
            for (name, at), alive, left in zip(self.horizons.items(), survival.T, censoring_at, strict=True):
                if left > 0 and (event & (time <= at)).any() and (time > at).any():
                    self.of_horizon[name] = _Horizon.of(at, time, event, alive, censoring, float(left))
        self.deaths = _KaplanMeier(time, event)
        clusters = int(unit.max()) + 1 if len(unit) else 0
        errors = [np.ones(len(time)), *(horizon.error for horizon in self.of_horizon.values())]
        self.errors = np.stack([np.bincount(unit, weights=column, minlength=clusters) for column in errors])  # [1 + H', C]

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""
        weights = counts[self.unit]
        undefined = np.full(counts.shape[1], np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            wins, pairs = self.pairs(weights, np.stack([np.ones(len(self.uno)), self.uno]))
            found = dict(zip(("c_index", "c_index_uno"), np.where(pairs > 0, wins / pairs, np.nan), strict=True))
            sums = self.errors @ counts[: self.errors.shape[1]]
            at = [self.horizons[name] for name in self.of_horizon]
            ranked = np.array([horizon.auroc(weights) for horizon in self.of_horizon.values()])
            errors = sums[1:] / sums[0]
            found |= {"auroc_td": undefined, "integrated_brier": undefined}
            if at:
                share = -np.diff(self.deaths(weights, np.array(at)), axis=0, prepend=1.0)  # of events since the last horizon
                found["auroc_td"] = (ranked * share).sum(axis=0) / share.sum(axis=0)
                found["integrated_brier"] = trapezoid(errors, at, axis=0) / (at[-1] - at[0]) if len(at) > 1 else errors[0]
        own = dict(zip(self.of_horizon, zip(ranked, errors, strict=True), strict=True))
        found |= {f"auroc_{name}": own[name][0] if name in own else undefined for name in self.horizons}
        return found | {f"brier_{name}": own[name][1] if name in own else undefined for name in self.horizons}


class _Level(NamedTuple):
    """Pairs whose groups differ first in one binary digit: ``late`` rows in the order of block and risk, ``early`` rows with the event, and for
    each of these where its block starts among the late ones, and where those of lower, and of lower or equal risk end."""

    late: np.ndarray
    early: np.ndarray
    start: np.ndarray
    lower: np.ndarray
    equal: np.ndarray


class ComparablePairs:
    """Weighted sums over the comparable pairs of n rows, in n log n steps a weighting.

    Rows are put in groups by time, events before rows censored at that time: a pair is comparable where the row with the event is in an earlier
    group. Two groups' numbers differ first in one binary digit, so each pair is met at one digit, where the rows of a block are
    parted by it and the later ones are counted below a risk by a cumulative sum.

    Args:
        time, event, risk: [n].
    """

    def __init__(self, time: np.ndarray, event: np.ndarray, risk: np.ndarray) -> None:
        places = np.unique(time, return_inverse=True)[1] * 2 + ~event
        group = np.unique(places, return_inverse=True)[1]
        rank = np.unique(risk, return_inverse=True)[1]
        n = len(time)
        self.order = np.argsort(group, kind="stable")
        self.events = np.flatnonzero(event)
        self.until = np.searchsorted(group[self.order], group[self.events], side="right")
        self.levels: list[_Level] = []
        for digit in range(int(group.max(initial=0)).bit_length()):
            block, late = group >> (digit + 1), (group >> digit & 1).astype(bool)
            key = block * n + rank
            rows = np.flatnonzero(late)
            rows = rows[np.argsort(key[rows], kind="stable")]
            early = np.flatnonzero(~late & event)
            early = early[np.argsort(key[early], kind="stable")]  # neighbours in memory are looked up together
            sought = [np.searchsorted(key[rows], *given) for given in ((block[early] * n, "left"), (key[early], "left"), (key[early], "right"))]
            start, lower, equal = sought
            self.levels.append(_Level(rows, early, start, lower, lower if (lower == equal).all() else equal))

    def __call__(self, weights: np.ndarray, of_event: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum over concordant pairs (ties in risk half) and over all comparable pairs, [M, R] each.

        Args:
            weights: of rows, [n, R]; a pair has the product of its rows'.
            of_event: further weights of the row with the event, [M, n].
        """
        wins = np.zeros((len(of_event), weights.shape[1]))
        for late, early, start, lower, equal in self.levels:
            summed = _cumulated(weights.take(late, axis=0))
            below = summed.take(lower, axis=0)
            if equal is not lower:
                below += summed.take(equal, axis=0)
                below /= 2
            below -= summed.take(start, axis=0)
            below *= weights.take(early, axis=0)
            wins += of_event[:, early] @ below
        summed = _cumulated(weights[self.order])
        return wins, of_event[:, self.events] @ ((summed[-1] - summed[self.until]) * weights[self.events])


def concordance_index(time: np.ndarray, event: np.ndarray, risk: np.ndarray) -> float:
    """Harrell's C of n rows, NaN where no pair is comparable."""
    wins, pairs = ComparablePairs(time, event, risk)(np.ones((len(time), 1)), np.ones((1, len(time))))
    return float(wins[0, 0] / pairs[0, 0]) if pairs[0, 0] > 0 else float("nan")


class _Horizon(NamedTuple):
    """Cases and controls of one horizon, and each row's weighted squared error."""

    cases: np.ndarray
    case_weight: np.ndarray
    controls: np.ndarray
    lower: np.ndarray
    equal: np.ndarray
    error: np.ndarray

    @classmethod
    def of(cls, at: float, time: np.ndarray, event: np.ndarray, alive: np.ndarray, censoring: np.ndarray, left: float) -> _Horizon:
        cases, controls = np.flatnonzero(event & (time <= at)), np.flatnonzero(time > at)
        controls = controls[np.argsort(-alive[controls], kind="stable")]  # lowest risk first
        lower, equal = np.searchsorted(-alive[controls], -alive[cases], "left"), np.searchsorted(-alive[controls], -alive[cases], "right")
        error = np.zeros(len(time))
        error[cases] = alive[cases] ** 2 / censoring[cases]
        error[controls] = (1 - alive[controls]) ** 2 / left
        return cls(cases, 1 / censoring[cases], controls, lower, equal, error)

    def auroc(self, weights: np.ndarray) -> np.ndarray:
        """AUROC [R] from weights of rows, [n, R]."""
        summed, case = _cumulated(weights[self.controls]), weights[self.cases] * self.case_weight[:, None]
        wins = np.einsum("nr,nr->r", case, summed[self.lower] + summed[self.equal]) / 2
        pairs = case.sum(axis=0) * summed[-1]
        return np.where(pairs > 0, wins / pairs, np.nan)


class _KaplanMeier:
    """Share of rows without the event by the times given, under weights."""

    def __init__(self, time: np.ndarray, event: np.ndarray) -> None:
        self.order = np.argsort(time, kind="stable")
        self.event = event[self.order]
        self.times, self.first = np.unique(time[self.order], return_index=True)

    def __call__(self, weights: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Shares [T, R] at T times from weights of rows, [n, R]."""
        ordered = weights[self.order]
        summed, events = _cumulated(ordered), _cumulated(ordered * self.event[:, None])
        at_risk = summed[-1] - summed[self.first]
        happened = np.diff(events[np.append(self.first, len(ordered))], axis=0)
        left = np.cumprod(1 - np.divide(happened, at_risk, out=np.zeros_like(at_risk), where=at_risk > 0), axis=0)
        return np.concatenate([np.ones((1, ordered.shape[1])), left])[np.searchsorted(self.times, at, side="right")]


def _cumulated(weights: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ... n rows, [n + 1, R]."""
    out = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=out[1:])
    return out
