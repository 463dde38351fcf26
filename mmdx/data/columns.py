"""Which column of a manifest is what, read from the config or inferred from the cells, and how a label column is coded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mmdx.data.table_file import numbers_of
from mmdx.data.tables import Place, need_columns
from mmdx.errors import InputError

SUFFIXES = {
    "image": (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom"),
    "volume": (".nii", ".nii.gz"),
    "audio": (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".au"),
    "signal": (".hea",),
    "text": (".txt",),
}
TABULAR, TEXT = "tabular", "text"
YES_NO = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
LABELLED = {"0": 0, "1": 1, "-1": -1, "0.0": 0, "1.0": 1, "-1.0": -1}
CATEGORIES = 20
"""A column of short words with at most this many different ones is a categorical column."""

LOOKED_AT = 5000
"""Cells of a column by which its kind is told."""


class Source(NamedTuple):
    """Where a modality comes from.

    Attributes:
        kind: name of a reader, or "tabular".
        columns: one, or several where tabular.
        options: further arguments of the reader.
    """

    kind: str
    columns: tuple[str, ...]
    options: dict[str, Any]


def kind_of(column: pd.Series) -> str | None:
    """Kind of a column of strings: by the suffix of most cells, else tabular for numbers and few short words, text for three
    words and more on average, None where it is none of these. Of a long column some thousand cells, evenly spaced, tell; all have to be
    numbers where it is one of numbers."""
    cells = column.dropna()
    if cells.empty:
        return None
    cells = cells.iloc[:: max(1, len(cells) // LOOKED_AT)]
    for kind, suffixes in SUFFIXES.items():
        if cells.str.lower().str.endswith(suffixes).mean() >= 0.5:
            return kind
    if numbers_of(column) is not None:
        return TABULAR
    if cells.str.count(r"\S+").mean() >= 3:
        return TEXT
    return TABULAR if column.nunique() <= min(CATEGORIES, max(2, len(cells) // 2)) else None


def infer_sources(frame: pd.DataFrame) -> dict[str, Source]:
    """Modalities of columns that have no other use: each column with files or text is one by its name, numbers and
    categories together are ``tabular``."""
    sources: dict[str, Source] = {}
    tabular = []
    for name in frame.columns:
        kind = kind_of(frame[name]) if name else None
        if kind == TABULAR:
            tabular.append(name)
        elif kind is not None:
            sources[name] = Source(kind, (name,), {})
    if tabular:
        sources["tabular"] = Source(TABULAR, tuple(tabular), {})
    return sources


def read_source(name: str, spec: Any, frame: pd.DataFrame, kinds: Sequence[str]) -> Source:
    """One entry of ``data.modalities``: a column, a list of columns (tabular), or ``{column or columns, kind, ...}``.

    Where the kind is not given, it is that of the columns, else the modality's own name where that is a kind.

    Raises:
        InputError: where the entry is none of these, or the kind is unknown or cannot be told.
    """
    key = f"data.modalities.{name}"
    usual: bool = isinstance(spec, str | Sequence | Mapping)
    if not usual:
        raise InputError(f"{key}={spec}: must be a column, a list of columns (tabular), or {{column: COLUMN, kind: KIND}}.")
    entry = dict(spec) if isinstance(spec, Mapping) else {"column" if isinstance(spec, str) else "columns": spec}
    given = [entry.pop("column", None), entry.pop("columns", None)]
    columns = tuple([given[0]] if isinstance(given[0], str) else given[1] or ())
    if (given[0] is None) == (given[1] is None) or not columns:
        raise InputError(f"{key}: must be a column, or have one of 'column' and 'columns', e.g. {{column: image_path, kind: image}}.")
    kind = entry.pop("kind", None)
    if kind is None:
        first = kind_of(frame[columns[0]]) if len(columns) == 1 and columns[0] in frame else TABULAR
        kind = first or (name if name in kinds else None)
    if kind is None or kind not in kinds:
        raise InputError(f"{key}.kind={kind}: must be one of {', '.join(sorted(kinds))}.")
    if kind != TABULAR and len(columns) > 1:
        raise InputError(f"{key}: kind {kind} takes one column, not {list(columns)}; several paths in one cell are parted by ';'.")
    if kind == TABULAR and entry:
        raise InputError(f"{key}: a tabular modality has no option {sorted(entry)}.")
    options = {str(name): tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value for name, value in entry.items()}
    return Source(kind, columns, options)


class Labels:
    """The label column or columns of a manifest.

    Args:
        frame: the manifest.
        target: a column, several, or None for the column ``label`` or ``target``, else all that begin with ``label_``.
        positive: the value of a single column that is 1; every other is 0.
        file: the manifest's name, for the messages.

    Attributes:
        columns: of the manifest.
        names: of the columns they become in the cohort's table.

    Raises:
        InputError: where a column isn't there, or no row has the positive value.
    """

    def __init__(self, frame: pd.DataFrame, target: str | Sequence[str] | None, positive: str | int | None, file: str) -> None:
        if target is None:
            single = next((name for name in ("label", "target") if name in frame), None)
            target = single or [name for name in frame.columns if name.startswith("label_")]
        self.columns = [target] if isinstance(target, str) else list(target)
        if not self.columns:
            there = ", ".join(frame.columns)
            raise InputError(f"{file}: no column 'label', 'target' or 'label_...'. Name one with data.target. Columns: {there}.")
        for column in self.columns:
            need_columns(frame, {"data.target": column}, file)
        if isinstance(target, str):
            self.names = ["target"]
            self.code: dict[str, int | str] = _code_of(set(frame[target].dropna().unique()), target, positive)
        else:
            self.names = [f"target_{column.removeprefix('label_').removeprefix('target_')}" for column in self.columns]
            self.code = {**LABELLED}

    def unfit(self, frame: pd.DataFrame) -> np.ndarray:
        """Of each row [n] whether ``of`` would refuse it."""
        odd = np.zeros(len(frame), dtype=bool)
        for column in self.columns:
            cells = frame[column]
            empty = cells.isna().to_numpy()
            odd |= empty if self.names == ["target"] else ~empty & ~cells.isin(list(self.code)).to_numpy()
        return odd

    def coded(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """The target columns of rows that all fit, as ``of`` has them; a missing one of several is NaN."""
        coded: dict[str, np.ndarray] = {}
        for name, column in zip(self.names, self.columns, strict=True):
            number, values = pd.factorize(frame[column])
            codes = [self.code[value] for value in values]
            if any(isinstance(code, str) for code in codes):
                coded[name] = np.array(codes, dtype=object)[number]
            else:
                missing = (number < 0).any()
                coded[name] = np.where(number < 0, np.nan, np.array([*codes, 0])[number]) if missing else np.array(codes)[number]
        return coded

    def of(self, row: Mapping[str, Any], place: Place) -> dict[str, int | str | None]:
        """The target columns of one row.

        Raises:
            SampleError: where a single label is empty, or one of several is none of 1, 0, -1 and empty.
        """
        if self.names == ["target"] and row[self.columns[0]] is None:
            raise place.fault(f"label column '{self.columns[0]}' is empty")
        for column in self.columns:
            if row[column] is not None and row[column] not in self.code:
                raise place.fault(f"label column '{column}' is '{row[column]}', expected 1, 0, -1 (uncertain) or empty (not labelled)")
        return {
            name: None if row[column] is None else self.code[row[column]] for name, column in zip(self.names, self.columns, strict=True)
        }


def _code_of(values: set[str], column: str, positive: str | int | None) -> dict[str, int | str]:
    """What each value of a single label column becomes: 1 and 0, or the name of a class."""
    if positive is not None:
        if str(positive) not in values:
            raise InputError(f"data.positive={positive}: no row has it in column '{column}'. Values: {', '.join(sorted(values)[:10])}.")
        return {value: int(value == str(positive)) for value in values}
    if all(value.lower() in YES_NO for value in values):
        return {value: YES_NO[value.lower()] for value in values}
    return {value: value for value in values}
