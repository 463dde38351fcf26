"""Which rows a run trained, validated and tested on, kept so that no later evaluation can mistake one for another."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mmdx.data.splits import PARTS, Fold
from mmdx.data.splits.fold import rows_of
from mmdx.data.tables import target_columns
from mmdx.errors import InputError
from mmdx.files import write_atomically

FOLDS = "folds.parquet"


class KeptFolds:
    """The folds of a run: one row a fold and sample, with ``fold``, ``part``, ``sample_id``,
    ``patient_id``, ``content``, a hash of its raw inputs, and ``labels``, one of its targets.

    Args:
        frame: such a table.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    @classmethod
    def of(cls, folds: list[Fold], table: pd.DataFrame, contents: np.ndarray) -> KeptFolds:
        """From the folds of a data set and the content of each of its rows, [n]."""
        said = table[["sample_id", "patient_id"]].reset_index(drop=True).assign(content=contents, labels=labels_of(table))
        parts = [said.iloc[getattr(fold, part)].assign(fold=fold.name, part=part) for fold in folds for part in PARTS]
        return cls(pd.concat(parts, ignore_index=True)[["fold", "part", "sample_id", "patient_id", "content", "labels"]])

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
        """The folds as rows of a table that has the same samples, in any order.

        Raises:
            InputError: where it lacks one.
        """
        place = rows_of(self.frame["sample_id"], table)
        if (place < 0).any():
            gone = self.frame.loc[place < 0, "sample_id"].iloc[0]
            raise InputError(f"sample '{gone}' of the run is not in the data any more; bring it back, or train again.")
        fold, names = pd.factorize(self.frame["fold"])
        in_part = [(self.frame["part"] == part).to_numpy(dtype=bool) for part in PARTS]
        return [Fold(str(name), *(np.sort(place[here & (fold == number)]) for here in in_part)) for number, name in enumerate(names)]

    def unseen(self, table: pd.DataFrame, contents: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Those of some rows that no model of the run was trained on or chosen by, told by their content, whatever they are called.

        Where any row of the run is among them, both are of one cohort, and further rows of a patient who was trained on are left out too.
        """
        learned = (self.frame["part"] != "test").to_numpy(dtype=bool)
        known, patients = pd.Series(contents[rows], dtype=object), table["patient_id"].iloc[rows]
        out = _among(known, self.frame["content"][learned])
        if _among(known, self.frame["content"]).any():
            out |= _among(patients, self.frame["patient_id"][learned])
        return rows[~out]

    def knows(self, fold: str, table: pd.DataFrame, contents: np.ndarray, rows: np.ndarray, same: bool) -> np.ndarray:
        """Of some rows of a table whether the models of a fold were trained on them or their patients, or chosen by them, bool [n].

        Told by content, and by ids where ``same`` says that the table is of the run's own cohort, or any row's content does.
        """
        own = self.frame[((self.frame["fold"] == fold) & (self.frame["part"] != "test")).to_numpy(dtype=bool)]
        known, asked = pd.Series(contents[rows], dtype=object), table.iloc[rows]
        found = _among(known, own["content"])
        if same or _among(known, self.frame["content"]).any():
            found |= _among(asked["sample_id"], own["sample_id"]) | _among(asked["patient_id"], own["patient_id"])
        return found


def labels_of(table: pd.DataFrame) -> list[str]:
    """Of each row of a data set's table a hash of its targets, [n]."""
    columns = [table[name].tolist() for name in target_columns(table)]
    rows = zip(*columns, strict=True) if columns else ((),) * len(table)
    return [hashlib.blake2b(repr(row).encode(), digest_size=8).hexdigest() for row in rows]


def _among(values: pd.Series, others: pd.Series) -> np.ndarray:
    """Of each value whether it is, as text, one of the others; a missing one never is."""
    one, other = (pa.array(column.astype(str).where(column.notna()), type=pa.large_string()) for column in (values, others))
    return np.asarray(pc.is_in(one, value_set=other, skip_nulls=True).to_numpy(zero_copy_only=False)).astype(bool)
