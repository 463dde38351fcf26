"""What the tables of all data sets share: naming a place in one, checking columns, labels and paths."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from mmdx.errors import InputError, SampleError

if TYPE_CHECKING:
    from mmdx.types import Sample

CLASSES = 20
"""A target of more different numbers than this is a number, not the name of a class."""

ADVICE = "Remove the row, or set data.on_error=quarantine to go on without it."


class Place(NamedTuple):
    """Where a raw input is named, for the sentence that says what is wrong with it.

    Attributes:
        table: name of the table, e.g. ``manifest.csv``; empty where a file is read on its own.
        row: row in it, counted from 1 without the header.
        sample_id: the sample's id.
        folder: folder that paths are shown relative to.
    """

    table: str = ""
    row: int | None = None
    sample_id: str = ""
    folder: str = ""

    def shown(self, path: str | Path) -> str:
        """The path as the table gives it where it lies in the folder, else in full."""
        text, folder = str(path), f"{self.folder.rstrip(os.sep)}{os.sep}"
        return text.removeprefix(folder) if self.folder else text

    def fault(self, problem: str, path: str | Path | None = None, advice: str = ADVICE) -> SampleError:
        """The error for a problem found here: one sentence with table and row in front and what to do behind."""
        where = f"{self.table}, row {self.row}: " if self.table else ""
        tail = f" {advice}" if self.table else ""
        file = self.shown(path) if path is not None else self.table
        return SampleError(f"{where}{problem}.{tail}", sample_id=self.sample_id, file=file, row=self.row)


NOWHERE = Place()


def need_columns(frame: pd.DataFrame, wanted: Mapping[str, str], file: str) -> None:
    """Check that columns are there.

    Args:
        wanted: column by the config key that asks for it.

    Raises:
        InputError: for the first that is not, with what is there and the nearest name.
    """
    there = [str(name) for name in frame.columns]
    for key, column in wanted.items():
        if column not in there:
            near = difflib.get_close_matches(column, there, n=1)
            hint = f"Did you mean '{near[0]}'? " if near else ""
            raise InputError(f"{file}: no column '{column}' (asked for by {key}). {hint}Columns: {', '.join(there)}.")


def inside(folder: Path, cell: str, kind: str, place: Place) -> Path:
    """The file that a cell names, which may not lie outside the folder, neither by ``..`` nor by a link.

    Raises:
        SampleError: where it does.
    """
    path = folder / cell
    if not path.resolve().is_relative_to(folder.resolve()):
        raise place.fault(f"{kind} file '{cell}' lies outside the table's folder {folder}; move it into the folder", cell)
    return path


def need_folder(root: str | Path, holds: str) -> Path:
    """The folder that ``data.root`` names.

    Raises:
        InputError: where there is none.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise InputError(f"data.root={root}: no such folder. Give the folder that holds {holds}.")
    return root


def is_number(text: str) -> bool:
    """Whether a cell is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def build_table(columns: Mapping[str, Iterable[Any]]) -> pd.DataFrame:
    """A cohort's table; ids and names are objects so that an unknown one stays None."""
    frame = pd.DataFrame({name: pd.Series(list(values), dtype=object) for name, values in columns.items()})
    for name in frame.columns:
        if name.startswith("target") or name in ("time", "event"):
            frame[name] = frame[name].infer_objects()
    return frame


def target_columns(table: pd.DataFrame) -> list[str]:
    """The columns of a cohort's table that say what is to be predicted: ``target``, or ``target_LABEL``, or ``time`` and ``event``."""
    found = [str(name) for name in table.columns if str(name) == "target" or str(name).startswith("target_")]
    return found or [name for name in ("time", "event") if name in table]


def as_classes(table: pd.DataFrame) -> pd.Series | pd.DataFrame:
    """The target, or labels, of a cohort's table as classes: of times whether the event was seen, of a number whether it is above the median."""
    columns = target_columns(table)
    if columns == ["time", "event"]:
        return table["event"].astype(int)
    if columns != ["target"]:
        return table[columns]
    numbers = pd.to_numeric(table["target"], errors="coerce")
    if numbers.notna().all() and numbers.nunique() > CLASSES:
        return (numbers > numbers.median()).astype(int)
    return table["target"]


def check_classes(table: pd.DataFrame, file: str, faults: Sequence[SampleError] = ()) -> None:
    """Check that there is something to tell apart.

    Raises:
        InputError: where no row is left, a target has one class only, or nobody had the event.
    """
    more = f" {len(faults)} rows were set aside, the first for this: {faults[0]}" if faults else ""
    if table.empty:
        raise InputError(f"{file}: no usable row is left.{more}")
    if target_columns(table) == ["time", "event"] and not (table["event"] == 1).any():
        raise InputError(f"{file}: none of the {len(table)} rows has the event. Give rows that have it, and check data.event.{more}")
    for name in [column for column in target_columns(table) if column not in ("time", "event")]:
        classes = sorted({str(value) for value in table[name].dropna().unique() if value != -1 or name == "target"})
        if len(classes) < 2:
            label = "the target" if name == "target" else f"label '{name.removeprefix('target_')}'"
            found = f"class {classes[0]}" if classes else "no labelled row"
            raise InputError(f"{file}: {label} has only one class in {len(table)} rows ({found}). Give rows of at least two classes.{more}")


def sample(table: pd.DataFrame, index: int, inputs: dict[str, Any]) -> Sample:
    """One row of a cohort's table with its raw inputs; the target is a dict of several labels, or of time and event."""
    from mmdx.types import Sample  # brings torch, which reading and checking a table must not

    row = {str(name): None if pd.isna(value) else value for name, value in table.iloc[index].items()}
    labels = {name.removeprefix("target_"): value for name, value in row.items() if name.startswith("target_")}
    meta = {name: row[name] for name in ("sample_id", "patient_id", "site")}
    meta |= {name.removeprefix("meta_"): value for name, value in row.items() if name.startswith("meta_")}
    target = labels or ({name: row[name] for name in ("time", "event")} if target_columns(table) == ["time", "event"] else row["target"])
    return Sample(inputs, target, meta)
