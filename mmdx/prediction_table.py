"""Predictions of row numbers as a table that stands for itself: ids, targets, metadata, and on a simulated cohort the true posterior."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mmdx.training.predict import subset_name
from mmdx.types import Dataset, Simulated, Task


@dataclass(frozen=True)
class PredictionTable:
    """Makes such tables.

    Attributes:
        dataset: the cohort.
        kind: what is predicted, as the task says.
        sources: of each encoder the modality of the data set that it reads.
    """

    dataset: Dataset
    kind: str
    sources: Mapping[str, str]

    def of(self, frame: pd.DataFrame, ablation: str, task: Task) -> pd.DataFrame:
        """The rows of ``predictions.parquet``.

        Args:
            frame: ``index`` (rows of the data set), ``split``, ``modalities``, ``present`` and what the task predicts.
            ablation: "offered" or "retrained".
            task: gives the targets' columns.
        """
        rows = frame["index"].to_numpy()
        table = self.dataset.table.iloc[rows].reset_index(drop=True)
        columns: dict[str, Any] = {
            "sample_id": table["sample_id"],
            "patient_id": table.get("patient_id"),
            "split": frame["split"],
            "modalities": frame["modalities"],
            "ablation": ablation,
            "present": frame["present"],
            **task.columns(table),
            **{c: frame[c] for c in map(str, frame) if c not in ("index", "split", "modalities", "present")},
        }
        if (cohort := self._simulated()) is not None:
            columns["oracle"] = self._oracle(frame, cohort)
        if "site" in table and table["site"].notna().any():
            columns["meta_site"] = table["site"]
        columns |= {c: table[c] for c in map(str, table) if c.startswith("meta_")}
        return pd.DataFrame(columns)

    def optimum(self, tested: np.ndarray, subsets: Iterable[tuple[str, ...]]) -> dict[str, dict[str, float]] | None:
        """On a simulated cohort the best value of each metric for visits like the rows tested, by subset of encoders; elsewhere None."""
        cohort = self._simulated()
        return None if cohort is None else {subset_name(subset): cohort.optimum(self._read_by(subset), tested) for subset in subsets}

    def _simulated(self) -> Simulated | None:
        """The cohort, where the true posterior of its target is known: that of a simulated diagnosis."""
        return self.dataset if isinstance(self.dataset, Simulated) and self.kind == "binary" else None

    def _read_by(self, names: Iterable[str]) -> tuple[str, ...]:
        """The modalities of the data set that some encoders read."""
        return tuple(sorted({self.sources.get(name, name) for name in names}))

    def _oracle(self, frame: pd.DataFrame, cohort: Simulated) -> np.ndarray:
        oracle = np.zeros(len(frame))
        for name, group in frame.groupby("modalities"):
            oracle[group.index] = cohort.posterior(self._read_by(str(name).split("+")))[group["index"]]
        return oracle
