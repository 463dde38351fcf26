"""A split drawn once and kept in one file, with the cohort that it was drawn for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mmdx.data.splits.fold import PARTS, Fold, Split
from mmdx.data.tables import target_columns
from mmdx.errors import InputError
from mmdx.files import write_atomically

LEFT_OUT = "left_out"
"""The part of rows that a fold has in none, as ``split=by_time`` and inner folds do."""

PLACE = ("fold", "inner", "part")
MARK = "mmdx split"
SUFFIXES = (".parquet", ".csv")


@dataclass(frozen=True, eq=False)
class SplitFile:
    """Folds with the cohort.

    Attributes:
        frame: one row a fold and sample, all as text, "" being unknown: ``fold``, ``inner`` (the inner fold, "" for the outer one itself),
            ``part``, ``sample_id``, ``patient_id``, ``site``, and ``target`` or ``target_LABEL``.
        fingerprint: of the cohort, whatever the order of its rows.
        settings: the split's config.
    """

    frame: pd.DataFrame
    fingerprint: str
    settings: dict[str, Any]

    @classmethod
    def of(cls, split: Split, table: pd.DataFrame, settings: Mapping[str, Any]) -> SplitFile:
        """Draw a split of a data set's table, stratified by the table's own labels.

        Raises:
            InputError: where it cannot be drawn.
        """
        cohort = cohort_of(table)
        placed = []
        for fold, inner, drawn in _drawn(split, table):
            part = np.full(len(table), LEFT_OUT, dtype=object)
            for name in PARTS:
                part[getattr(drawn, name)] = name
            placed.append(pd.DataFrame({"fold": fold, "inner": inner, "part": part}, index=cohort.index))
        frame = pd.concat([pd.concat([place, cohort], axis=1) for place in placed], ignore_index=True)
        return cls(frame, fingerprint(cohort), dict(settings))

    @classmethod
    def read(cls, path: Path) -> SplitFile:
        """From a file.

        Raises:
            InputError: where it isn't there, or isn't one that ``write`` made.
        """
        if not path.is_file():
            raise InputError(f"split.path={path}: no such file; draw one with mmdx data split SOURCE --out {path} split=kfold.")
        try:
            if path.suffix == ".csv":
                with path.open(encoding="utf-8") as lines:
                    said = json.loads(lines.readline().removeprefix(f"# {MARK} "))
                    frame = pd.read_csv(lines, dtype=str, keep_default_na=False)
            else:
                read = pq.read_table(path)
                said, frame = json.loads(read.schema.metadata[MARK.encode()]), read.to_pandas()
            kept = cls(frame, said["fingerprint"], said["split"])
            frame[[*PLACE, "sample_id", "patient_id", "site"]]
        except Exception:
            raise InputError(f"split.path={path}: is not a file that mmdx data split wrote; give one, or draw it anew.") from None
        return kept

    def write(self, path: Path) -> None:
        """Into a file, Parquet or CSV by its suffix; in CSV the first line holds fingerprint and settings behind a ``#``."""
        said = json.dumps({"fingerprint": self.fingerprint, "split": self.settings})

        def csv(temporary: Path) -> None:
            with temporary.open("w", encoding="utf-8", newline="") as lines:
                lines.write(f"# {MARK} {said}\n")
                self.frame.to_csv(lines, index=False, lineterminator="\n")

        def parquet(temporary: Path) -> None:
            table = pa.Table.from_pandas(self.frame, preserve_index=False)
            pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), MARK: said}), temporary)

        write_atomically(path, csv if path.suffix == ".csv" else parquet)

    @property
    def cohort(self) -> pd.DataFrame:
        """The cohort that it was drawn for, as ``cohort_of`` gives it."""
        return self.frame.drop(columns=list(PLACE)).drop_duplicates("sample_id")


def _drawn(split: Split, table: pd.DataFrame) -> Iterator[tuple[str, str, Fold]]:
    """Each fold with its name and that of the inner fold."""
    for fold in split.folds(table):
        yield fold.name, "", fold
        for inner in split.inner_folds(fold, table) if hasattr(split, "inner_folds") else []:
            yield fold.name, inner.name, inner


def cohort_of(table: pd.DataFrame) -> pd.DataFrame:
    """What a cohort is told by: ids, patients, sites and targets of a data set's table, as text, "" where unknown."""
    names = ["sample_id", "patient_id", "site", *target_columns(table)]
    return pd.DataFrame({name: _text(table[name]) for name in names})


def _text(values: pd.Series) -> np.ndarray:
    """Values as text, the same for 1, 1.0 and True."""
    codes, unique = pd.factorize(values)  # a missing one is -1
    plain = unique.to_numpy(dtype=object)
    texts = [str(int(v)) if isinstance(v, int | float | np.number | np.bool_) and float(v).is_integer() else str(v) for v in plain]
    return np.array([*texts, ""], dtype=object)[codes]


def fingerprint(cohort: pd.DataFrame) -> str:
    """A hash of what ``cohort_of`` gives, whatever the order of rows."""
    rows = sorted(map("\x1f".join, zip(*(cohort[name].tolist() for name in cohort), strict=True)))
    return hashlib.blake2b("\n".join(["\x1f".join(map(str, cohort)), *rows]).encode(), digest_size=16).hexdigest()
