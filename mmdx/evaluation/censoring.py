"""How long samples are followed: the censoring distribution, and the weights that make up for those who were lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mmdx.evaluation.predictions import horizons_of

SOURCES = {"train": "training rows", "val": "validation rows", "test": "test rows"}
"""Splits in the order in which the censoring distribution is looked for."""


class CensoringDistribution:
    """G(t) = P(censored after t), by Kaplan and Meier with event and censoring changing places; where both fall on one time the event came first.

    Args:
        time: [n].
        event: [n] bool, false where the time is that of censoring.
    """

    def __init__(self, time: np.ndarray, event: np.ndarray) -> None:
        self.times, place = np.unique(time, return_inverse=True)
        events = np.bincount(place, weights=event, minlength=len(self.times))
        lost = np.bincount(place, weights=~event, minlength=len(self.times))
        at_risk = np.cumsum((events + lost)[::-1])[::-1] - events
        self.values = np.cumprod(1 - np.divide(lost, at_risk, out=np.zeros_like(lost), where=at_risk > 0))

    def __call__(self, time: np.ndarray) -> np.ndarray:
        """G at some times; after the last time that was seen its value there."""
        return np.asarray(np.append(1.0, self.values)[np.searchsorted(self.times, time, side="right")])


def with_censoring(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A checked table of survival predictions with ``censoring``, G at each row's time, and ``censoring_T``, G at each horizon.

    G is estimated from the samples of the training rows, where the table has any, else of the validation rows, else of the test rows.

    Returns:
        the table, and where G comes from, as it stands in ``metrics.json``.
    """
    split = next(name for name in SOURCES if (table["split"] == name).any())
    rows = table[table["split"] == split].drop_duplicates("sample_id")
    distribution = CensoringDistribution(rows["time"].to_numpy(), rows["event"].to_numpy() == 1)
    at_horizons = {f"censoring_{name}": float(distribution(np.array(time))) for name, time in horizons_of(table).items()}
    told = {"source": SOURCES[split], "n": len(rows), "events": int(rows["event"].sum()), "longest": float(rows["time"].max())}
    return table.assign(censoring=distribution(table["time"].to_numpy()), **at_horizons), told
