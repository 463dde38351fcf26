"""Whether more or less of a metric is better."""

from __future__ import annotations

SMALLER_IS_BETTER = ("brier", "mae", "rmse", "rps", "integrated_brier")
"""Metrics, also of one label or horizon, as in ``brier_LABEL``, of which less is better."""


def direction(metric: str) -> int:
    """1 for a metric of which more is better, -1 for one of which less is."""
    return -1 if any(metric == name or metric.startswith(f"{name}_") for name in SMALLER_IS_BETTER) else 1
