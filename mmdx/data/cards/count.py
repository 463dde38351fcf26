"""What a card says about the cohort, counted from the data itself."""

from __future__ import annotations

import glob
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mmdx.data.cards.groups import SMALL, Group, group_rows, pooled_values, units_of
from mmdx.data.cards.measure import Measured
from mmdx.data.cards.source import Source, Table
from mmdx.data.columns import TABULAR, TEXT, kind_of
from mmdx.data.table_file import numbers_of, read_table
from mmdx.errors import SampleError

MOST_VALUES = 30
"""A column of metadata with more different values than this is not split by, only their number is told."""
MOST_FILES = 20
"""A table of more files than this is a set of files, without the SHA-256 of each."""


class Filled(NamedTuple):
    """How many cells of a column are filled, of how many rows, as shown; and the commonest values of a column of categories."""

    filled: str
    values: str


class TableFile(NamedTuple):
    """A file that holds a table: path in the data set's folder, SHA-256, bytes."""

    path: str
    sha256: str
    size: int


@dataclass
class Counts:
    """Counted from the data.

    Attributes:
        how: the overrides the data was opened with, without folders.
        rows: rows that can be used.
        patients: their patients, None where these are not known.
        faults: rows set aside.
        left_out: rows left out on purpose, by reason.
        groups: rows, patients and positives by group; the first is all rows.
        binary: whether the target is binary.
        smallest: patients of the smallest group that is shown.
        modalities: what the raw inputs of each modality are like.
        tables: the files of each table; none of one that has many.
        columns: of each table its columns, as far as they are there.
    """

    how: str
    rows: int = 0
    patients: int | None = None
    faults: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    binary: bool = False
    smallest: int = SMALL
    modalities: dict[str, Measured] = field(default_factory=dict)
    tables: dict[str, list[TableFile]] = field(default_factory=dict)
    columns: dict[str, dict[str, Filled]] = field(default_factory=dict)


def count(dataset: Any, source: Source, how: str, smallest: int = SMALL, tell: Callable[[int, int], None] = lambda done, of: None) -> Counts:
    """Read every sample of a data set once and count.

    Args:
        dataset: as in ``mmdx.types.Dataset``, with ``root`` or ``path`` for the folder its tables lie in.
        source: the card's source, which says which tables and columns there are.
        how: the overrides the data was opened with.
        smallest: patients of the smallest group that is shown.
        tell: called with the number of samples read, and of all.
    """
    counts = Counts(how, smallest=smallest, left_out=dict(getattr(dataset, "left_out", {})))
    present, used = _read_samples(dataset, counts, tell)
    table = dataset.table.iloc[used].reset_index(drop=True)
    counts.rows, counts.faults = len(table), len(dataset.table) - len(table) + len(getattr(dataset, "faults", []))
    counts.patients = int(table["patient_id"].nunique()) if table["patient_id"].notna().any() else None
    counts.binary = "target" in table and set(table["target"]) <= {0, 1}
    counts.groups = _groups(table, present, counts)
    if root := folder_of(dataset):
        notes = {column for column, role in getattr(dataset, "roles", {}).items() if role.endswith(f"({TEXT})")}
        for name, one in source.tables.items():
            _count_table(name, one, root, notes, counts)
    return counts


def _count_table(name: str, table: Table, root: Path, notes: set[str], counts: Counts) -> None:
    paths = table_paths(root, table.file)
    named = paths if len(paths) <= MOST_FILES else []
    counts.tables[name] = [TableFile(path.relative_to(root).as_posix(), _sha256(path), path.stat().st_size) for path in named]
    if paths and table.columns:
        frame = pd.concat([read_table(path, name) for path in paths], ignore_index=True)
        counts.columns[name] = _columns(frame, table, notes, counts.smallest)


def folder_of(dataset: Any) -> Path | None:
    """The folder that a data set's tables lie in; None where it has none."""
    root, path = getattr(dataset, "root", None), getattr(dataset, "path", None)
    return Path(root) if root else Path(path).parent if path else None


def table_paths(root: Path, pattern: str) -> list[Path]:
    """The files that a table's ``file`` names: that very file, else those that the pattern fits."""
    if (root / pattern).is_file():
        return [root / pattern]
    return sorted(Path(name) for name in glob.glob(str(Path(glob.escape(str(root))) / pattern)) if Path(name).is_file())


def _read_samples(dataset: Any, counts: Counts, tell: Callable[[int, int], None]) -> tuple[dict[str, list[bool]], list[int]]:
    """Of each modality which of the readable rows have it, and which rows these are."""
    paths_of = files_of(dataset)
    counts.modalities = {name: Measured() for name in dataset.modalities}
    present: dict[str, list[bool]] = {name: [] for name in dataset.modalities}
    used = []
    for index in range(len(dataset)):
        tell(index, len(dataset))
        try:
            inputs = dataset[index].inputs
        except SampleError:
            continue
        used.append(index)
        paths = paths_of(index)
        for name in present:
            present[name].append(name in inputs)
            if name in inputs:
                counts.modalities[name].add(inputs[name], paths.get(name, []))
    return present, used


def files_of(dataset: Any) -> Callable[[int], Mapping[str, list[Path]]]:
    """The files of each modality by row, of a data set with ``paths_of``; of any other none are known."""
    return getattr(dataset, "paths_of", None) or (lambda index: {})


def _groups(table: pd.DataFrame, present: Mapping[str, list[bool]], counts: Counts) -> list[Group]:
    units = units_of(table)
    positive = table["target"] if counts.binary else None
    known = counts.patients is not None

    def by(what: str, values: Any) -> list[Group]:
        return group_rows(what, values, units, positive, known, counts.smallest)

    groups = by("all", ["rows"] * len(table))
    for column in [str(name) for name in table.columns if str(name).startswith("target")]:
        groups += group_rows(_spoken(column), table[column], units, None, known, counts.smallest)
    for name, has in present.items():
        groups += by(name, ["there" if yes else "missing" for yes in has])
    for column in [str(name) for name in table.columns if name in ("site", "split") or str(name).startswith("meta_")]:
        if table[column].nunique() <= MOST_VALUES:
            groups += by(_spoken(column), table[column]) if table[column].notna().any() else []
        else:
            groups.append(Group(_spoken(column), f"{table[column].nunique()} values", int(table[column].notna().sum()), None, None))
    if known:
        groups += by("rows a patient has", table["patient_id"].map(table["patient_id"].value_counts()).astype("Int64").astype(object))
    return groups


def _spoken(column: str) -> str:
    return column.removeprefix("meta_").replace("target_", "label ", 1).replace("_", " ")


def _columns(frame: pd.DataFrame, table: Table, notes: set[str], smallest: int) -> dict[str, Filled]:
    units = frame[table.patient] if table.patient in frame else pd.Series(frame.index)
    return {name: _filled(frame[name], units, name in notes, smallest) for name in table.columns if name in frame}


def _filled(column: pd.Series, units: pd.Series, note: bool, smallest: int) -> Filled:
    there = column.notna()
    filled = f"{there.sum():,} of {len(column):,}"
    if 0 < units[there].nunique() < smallest:
        filled = f"few of {len(column):,}"
    elif 0 < units[~there].nunique() < smallest:
        filled = f"nearly all of {len(column):,}"
    if note or kind_of(column) != TABULAR or numbers_of(column) is not None:
        return Filled(filled, "")
    names, units = column[there], units[there]
    pooled = set(pooled_values(names, units, smallest))
    shown = Counter(names[~names.isin(pooled)]).most_common()
    values = [f"{name} {number:,}" for name, number in sorted(shown, key=lambda pair: (-pair[1], pair[0]))]
    if pooled and values:
        together = names.isin(pooled)
        values.append(f"others ({len(pooled)})" + (f" {together.sum():,}" if units[together].nunique() >= smallest else ""))
    return Filled(filled, "; ".join(values))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
