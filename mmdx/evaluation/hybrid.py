"""The interval of a mean from the intervals of its parts: where a part is 0 or 1, its variance says nothing of what is not known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmdx.evaluation.linear import Linear, covariance


def hybrid_limits(parts: Sequence[Linear], limits: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The 95 % limits of the mean of K estimates: their distances from it are the root of d' R d / K^2, d the distances of the parts' own
    limits from their values and R the correlations (method of variance estimates recovery, Zou and Donner 2008, Statistics in Medicine 27:1693;
    Newcombe 1998, Statistics in Medicine 17:873, for two proportions).

    Args:
        parts: the estimates, on the same units; where one has no variance it is taken for uncorrelated.
        limits: the 95 % limits of each.
    """
    values, (low, high) = np.array([part.value for part in parts]), np.array(limits).T
    products = np.array([[covariance(one, two) for two in parts] for one in parts])
    spread = np.sqrt(np.diag(products))
    known = np.isfinite(products) & (np.outer(spread, spread) > 0)
    correlation = np.where(known, products / np.where(known, np.outer(spread, spread), 1.0), 0.0)
    np.fill_diagonal(correlation, 1.0)
    below, above = (np.sqrt(max(0.0, float(d @ correlation @ d))) / len(parts) for d in (values - low, high - values))
    return float(values.mean() - below), float(values.mean() + above)
