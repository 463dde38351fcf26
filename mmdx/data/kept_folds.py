"""Which rows a run trained, validated and tested on, kept so that no later evaluation can mistake one for another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mmdx.data.splits import PARTS, Fold
from mmdx.errors import InputError
from mmdx.files import write_atomically

FOLDS = "folds.parquet"


class KeptFolds:
    """The folds of a run: one row a fold and sample, with ``fold``, ``part``, ``sample_id``,
    ``patient_id`` and ``content``, a hash of its raw inputs.

    Args:
        frame: such a table.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    @classmethod
    def of(cls, folds: list[Fold], table: pd.DataFrame, contents: Mapping[int, str]) -> KeptFolds:
        """From the folds of a data set and the content of each of its usable rows."""
        parts = []
        for fold in folds:
            for part in PARTS:
                rows = getattr(fold, part)
                ids = table.iloc[rows][["sample_id", "patient_id"]].reset_index(drop=True)
                parts.append(ids.assign(fold=fold.name, part=part, content=[contents[int(i)] for i in rows]))
        return cls(pd.concat(parts, ignore_index=True)[["fold", "part", "sample_id", "patient_id", "content"]])

    @classmethod
    def read(cls, folder: Path) -> KeptFolds:
        """From a run's folder.

        Raises:
            InputError: where the run has none.
        """
        try:
            return cls(pd.read_parquet(folder / FOLDS))
        except Exception:
            raise InputError(f"{folder / FOLDS}: cannot be read, so it isn't known which rows the run was trained on; train it again.") from None

    def write(self, folder: Path) -> None:
        """Into a run's folder."""
        write_atomically(folder / FOLDS, lambda path: self.frame.to_parquet(path, index=False))

    def folds(self, table: pd.DataFrame) -> list[Fold]:
        """The folds as rows of a table that has the same samples, in any order."""
        place = pd.Series(np.arange(len(table)), index=table["sample_id"].astype(str))
        made = []
        for name, rows in self.frame.groupby("fold", sort=False):
            parts = [np.sort(place[rows.loc[rows["part"] == part, "sample_id"].astype(str)].to_numpy(dtype=int)) for part in PARTS]
            made.append(Fold(str(name), *parts))
        return made

    def unseen(self, table: pd.DataFrame, contents: Mapping[int, str], rows: np.ndarray) -> np.ndarray:
        """Those of some rows that no model of the run was trained on or chosen by, told by their content, whatever they are called.

        Where any row of the run is among them, both are of one cohort, and further rows of a patient who was trained on are left out too.
        """
        learned = self.frame[self.frame["part"] != "test"]
        known = np.array([contents[int(i)] for i in rows], dtype=object)
        out = np.isin(known, learned["content"].unique())
        if np.isin(known, self.frame["content"].unique()).any():
            patients = table["patient_id"].iloc[rows]
            out |= (patients.notna() & patients.astype(str).isin(set(learned["patient_id"].dropna().astype(str)))).to_numpy()
        return rows[~out]
