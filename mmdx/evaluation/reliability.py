"""The reliability curve: what share of the rows with about the same probability had the outcome."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from mmdx.evaluation.calibration import bin_of, equal_mass_edges
from mmdx.evaluation.intervals import LEVEL


def reliability_curve(target: np.ndarray, prob: np.ndarray, unit: np.ndarray, edges: np.ndarray | None = None) -> list[dict[str, Any]]:
    """Points of the curve, one a bin, from the lowest probability up.

    The interval of a bin's rate is Wilson's (1927), which holds at rates of 0 and 1 too, for the number of independent rows that tells as much about
    the rate as these do (Korn and Graubard 1998): n over the design effect, which is the variance of the rate with rows of a unit taken together
    over that of independent rows, at least 1; where all rows agree, the number of units. It speaks of each bin alone, not of the whole curve.

    Args:
        target: [n] of 0 and 1.
        prob: [n] in 0 to 1.
        unit: [n], number of the unit that rows belong to, such as the patient; rows of several seeds share it.
        edges: inner edges of the bins; of 15 bins of equal mass where not given.

    Returns:
        of each bin ``prob`` (mean probability), ``observed`` (rate), ``low`` and ``high`` (95 %), ``n`` rows, ``n_units``, and ``from`` and
        ``to``, the lowest and highest probability in it.
    """
    outcome, prob = np.asarray(target, dtype=np.float64), np.asarray(prob, dtype=np.float64)
    place = bin_of(prob, equal_mass_edges(prob) if edges is None else np.asarray(edges))
    order = np.argsort(place, kind="stable")
    points = []
    for rows in np.split(order, np.flatnonzero(np.diff(place[order])) + 1):
        members, own = np.unique(unit[rows], return_inverse=True)
        rate = float(outcome[rows].mean())
        low, high = wilson(rate, _independent_rows(outcome[rows], own))
        points.append(
            {"prob": float(prob[rows].mean()), "observed": rate, "low": low, "high": high, "n": len(rows), "n_units": len(members)}
            | {"from": float(prob[rows].min()), "to": float(prob[rows].max())}
        )
    return points


def wilson(rate: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate among n independent rows."""
    z = float(ndtri((1 + LEVEL) / 2))
    middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * float(np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)))
    return 0.0 if rate == 0 else middle - half, 1.0 if rate == 1 else middle + half


def _independent_rows(outcome: np.ndarray, unit: np.ndarray) -> float:
    """How many independent rows tell as much about the rate as these [n] of the given units."""
    n, rate = len(outcome), outcome.mean()
    if rate in (0, 1):
        return float(unit.max() + 1)
    together = (np.bincount(unit, weights=outcome - rate) ** 2).sum() / n**2
    return n / max(1.0, together / (rate * (1 - rate) / n))
