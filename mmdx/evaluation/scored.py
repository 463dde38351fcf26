"""A checked table of predictions with what every section of ``metrics.json`` needs to be made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmdx.evaluation.metrics import Statistic
from mmdx.evaluation.panels import Mean
from mmdx.evaluation.scorer import Entry, Scorer, by_seed, units_of

Make = Callable[[pd.DataFrame, np.ndarray], Statistic]


@dataclass(frozen=True)
class Scored:
    """Predictions in canonical form, ready to be measured.

    Attributes:
        table: every row (split train, val and test), with the columns of ``predictions.checked``, ``unit`` (the number of the unit that is
            drawn in resampling) and, where the target is decided by thresholds, ``threshold`` or ``threshold_LABEL``.
        scorer: makes entries; holds the kind, the outputs, the name of the unit, resamples and seed.
        full: name of the set of all modalities.
        stale: parts of what ``mmdx stress`` left that are of other predictions.
    """

    table: pd.DataFrame
    scorer: Scorer
    full: str
    stale: tuple[str, ...] = ()

    def rows(self, split: str = "test", modalities: str | None = None, ablation: str = "offered") -> pd.DataFrame:
        """Rows of one split, subset (the full set where not given) and ablation; empty where there are none."""
        table = self.table
        chosen = (table["split"] == split) & (table["ablation"] == ablation) & (table["modalities"] == (modalities or self.full))
        return table[chosen]

    def measure(self, rows: pd.DataFrame, make: Make) -> dict[str, Entry]:
        """Entries (value, interval, counts) of a statistic's metrics on some rows.

        Args:
            rows: of one subset and ablation; of several seeds the value is the mean over seeds, each resample drawing units once for all.
            make: builds the statistic from the rows of one seed and the number [n] of each row's unit.
        """
        units = units_of(rows["unit"])
        statistics = [make(part, units[place]) for part, place in by_seed(rows)]
        return self.scorer.entries(Mean(statistics), statistics, rows, units)

    def outcomes(self, rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
        """Each yes-or-no outcome of some rows, with columns ``target`` (0 or 1), ``prob`` and ``threshold`` of its own: the target itself under the
        name "" where it is binary, each label on its labelled rows, each class against the rest (without threshold).
        """
        kept = [c for c in rows if not str(c).startswith(("target", "prob", "threshold"))]
        for name in self.scorer.outputs:
            if self.scorer.kind == "binary":
                yield "", rows
            elif self.scorer.kind == "multilabel":
                own = {"target": rows[f"target_{name}"], "prob": rows[f"prob_{name}"], "threshold": rows[f"threshold_{name}"]}
                yield name, rows[kept].assign(**own)[rows[f"target_{name}"].notna()]
            else:
                yield name, rows[kept].assign(target=(rows["target"] == name).astype(float), prob=rows[f"prob_{name}"])
