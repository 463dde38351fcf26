"""What tasks with numbers or times for targets share."""

from __future__ import annotations

import numpy as np

BINS = 5


def quantile_bins(values: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Which of ``bins`` ranges of as many values each lies in, [n], equal values in one: what a split or a batch can be stratified by."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])) if len(values) else np.array([])
    return np.searchsorted(edges, values, side="left")
