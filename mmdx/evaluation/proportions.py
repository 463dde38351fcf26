"""Intervals of proportions, with rows that are clustered in units.

Wilson 1927 (JASA 22:209), of as many independent rows as the clustered ones are worth: their number over the design effect (Rao and Scott 1992,
Biometrics 48:577; Saha, Miller and Wang 2016, Int. J. Biostatistics 12(2)).
"""

from __future__ import annotations

import numpy as np

from mmdx.evaluation.linear import Linear, quantile


def wilson(value: float, rows: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion among independent rows, whose number need not be whole."""
    z = quantile(np.inf)
    weight = rows / (rows + z**2)
    half = weight * z * np.sqrt(value * (1 - value) / rows + (z / (2 * rows)) ** 2)
    middle = weight * (value + z**2 / (2 * rows))
    return float(max(0.0, middle - half)) if value else 0.0, float(min(1.0, middle + half)) if value < 1 else 1.0


def effective_rows(proportion: Linear) -> float:
    """How many independent rows a proportion of clustered rows is worth; the number of its rows where each unit has one.

    n / D, with the design effect D = variance / (value (1 - value) / (n - 1)), but no more than n; times (t(n - 1) / t(I - 1))^2, as D is itself
    estimated from I units (Korn and Graubard 1998, Survey Methodology 24:193). Where all rows are alike, or there is one (on average over seeds),
    D is not known: each unit counts once.
    """
    value, rows, units = proportion.value, proportion.rows, proportion.units
    if not 0 < value < 1 or units < 2 or rows <= 1:
        return float(units)
    variance = proportion.variance
    alone = value * (1 - value) / (rows - 1)
    worth = rows * min(1.0, alone / variance) if variance > 0 else float(rows)
    return worth * (quantile(rows - 1) / quantile(units - 1)) ** 2


def proportion_limits(proportion: Linear) -> tuple[float, float]:
    """The 95 % interval of a proportion of clustered rows."""
    return wilson(proportion.value, effective_rows(proportion))
