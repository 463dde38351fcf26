"""p-values of several tests, adjusted so that one of them is wrongly small with a known probability only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted by Holm's step-down method (Holm 1979, Scandinavian Journal of Statistics 6:65).

    With ``p_(1) <= ... <= p_(m)``, the adjusted value is ``max_{j <= i} min(1, (m - j + 1) p_(j))``: where all below 0.05 are called
    differences, the probability of any wrong call is at most 0.05, however the tests depend on each other.

    Args:
        p: of each test, in 0 to 1.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return [float(value) for value in adjusted]
