"""What a check goes through: rows, what each row names, and the table's own columns; of a manifest or of any data set."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mmdx.data.checks.files import Task
from mmdx.data.checks.findings import ERROR, Finding, of_fault
from mmdx.data.columns import TABULAR, TEXT, Source
from mmdx.data.manifest import Manifest, first_rows
from mmdx.data.readers import READERS
from mmdx.data.table_file import as_objects
from mmdx.data.tables import Place, build_table, check_classes, inside
from mmdx.errors import InputError, SampleError


class Entry(NamedTuple):
    """One row; what is not known is None.

    Attributes:
        table: the table that it stands in.
        row: of the table, counted from 1 without the header.
        label: its labels as one string.
    """

    table: str
    row: int | None
    sample_id: str
    patient: str | None
    split: str | None
    label: str | None


class Item(NamedTuple):
    """One file, text or sample that an entry names; ``shown`` is how findings call it, empty for an inline text."""

    entry: int
    modality: str
    shown: str
    task: Task


@dataclass
class Cohort:
    """Everything that is to be checked.

    Attributes:
        table: the table's name.
        entries: the rows.
        items: what they name.
        frame: the table's cells as strings, by row; for ages and dates.
        readers: reader by kind.
        dataset: reads the samples of tasks with a position.
        findings: what was found while it was opened.
        roles: what each column was taken for, where that was inferred.
    """

    table: str
    entries: list[Entry] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    frame: pd.DataFrame = field(default_factory=pd.DataFrame)
    readers: Mapping[str, Callable[..., Any]] = field(default_factory=lambda: READERS)
    dataset: Any = None
    findings: list[Finding] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)

    @property
    def has_text(self) -> bool:
        """Whether there is text, in which personal data is looked for."""
        return any(item.task.kind == TEXT for item in self.items) or TEXT in getattr(self.dataset, "modalities", ())


class CheckedManifest(Manifest):
    """A manifest that goes on after a fault and keeps rows that a run would set aside; takes ``Manifest``'s arguments."""

    def _read_rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        self.frame = frame = as_objects(frame)
        self.first_rows = first_rows(frame[self.ids["sample_id"]])
        self.entries: list[Entry] = []
        self.items: list[Item] = []
        self.findings: list[Finding] = []
        self.records: list[dict[str, Any]] = []
        for number, row in zip(frame.index, frame.to_dict("records"), strict=True):
            cells = {str(name): value for name, value in row.items()}
            place = Place(self.path.name, int(number), cells[self.ids["sample_id"]] or "", str(self.path.parent))
            self._keep(lambda c=cells, p=place: self._row_ids(c, p))  # type: ignore[misc]
            labels = self._keep(lambda c=cells, p=place: self.labels.of(c, p)) or {}  # type: ignore[misc]
            known = {key: cells[name] for key, name in self.ids.items()}
            label = "; ".join(str(value) for value in labels.values()) if labels else None
            self.entries.append(Entry(self.path.name, int(number), place.sample_id, known.get("patient_id"), known.get("split"), label))
            self.records.append({"sample_id": None, "patient_id": None, "site": None} | known | labels)
            self._list_inputs(cells, place)
        names = dict.fromkeys(name for record in self.records for name in record)
        return build_table({name: [record.get(name) for record in self.records] for name in names})

    def _keep(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except SampleError as fault:
            self.findings.append(of_fault(fault, self.path.name))
            return None

    def _list_inputs(self, cells: Mapping[str, Any], place: Place) -> None:
        present = False
        for name, source in self.sources.items():
            filled = [cells[column] for column in source.columns if cells[column] is not None]
            present = present or bool(filled)
            if source.kind != TABULAR and filled:
                self._list_cell(filled[0], name, source, place)
        if not present:
            fault = place.fault(f"sample '{place.sample_id}' has no modality at all: {', '.join(self.sources)} are all empty")
            self.findings.append(of_fault(fault, self.path.name))

    def _list_cell(self, cell: str, name: str, source: Source, place: Place) -> None:
        parts = [part.strip() for part in cell.split(";") if part.strip()]
        entry = len(self.entries) - 1
        if source.kind == TEXT and not all(part.lower().endswith(".txt") for part in parts):
            self.items.append(Item(entry, name, "", Task(TEXT, text=cell)))
            return
        if not parts:
            self.findings.append(of_fault(place.fault(f"column '{source.columns[0]}' has no path between its ';'"), self.path.name))
        for part in parts:
            path = self._keep(lambda p=part: inside(self.path.parent, p, source.kind, place))  # type: ignore[misc]
            if path is not None:
                self.items.append(Item(entry, name, part, Task(source.kind, str(path), options=tuple(sorted(source.options.items())))))

    def _check_table(self) -> None:
        try:
            check_classes(self.table, self.path.name)
        except InputError as fault:
            self.findings.append(Finding(self.path.name, None, "classes", ERROR, str(fault)))


def cohort_of_manifest(manifest: CheckedManifest) -> Cohort:
    """The cohort of a manifest that was opened for checking."""
    roles, readers = manifest.roles, manifest.readers
    return Cohort(manifest.path.name, manifest.entries, manifest.items, manifest.frame, readers, None, manifest.findings, roles)


def cohort_of_dataset(dataset: Any, name: str, config: str) -> Cohort:
    """The cohort of any data set: ``table``, ``modalities``, ``__getitem__``, and, where it has them, ``faults``, ``places`` (of each row), ``rows``
    (its cells) and ``paths`` (the file of each row, where there is one modality only). What was read of a file is remembered under ``config``."""
    table: pd.DataFrame = dataset.table
    places = getattr(dataset, "places", None) or [None] * len(table)
    named = next((place.table for place in places if place), "") or name
    targets = [column for column in table.columns if str(column).startswith("target")]
    code = hashlib.blake2b(Path(inspect.getfile(type(dataset))).read_bytes(), digest_size=8).hexdigest()
    kind = f"{type(dataset).__module__}.{type(dataset).__qualname__} {code}"
    paths = getattr(dataset, "paths", None) if len(dataset.modalities) == 1 else None
    entries, items = [], []
    for index, row in enumerate(table.to_dict("records")):
        known = {str(key): None if pd.isna(value) else str(value) for key, value in row.items()}
        label = "; ".join(str(known[str(column)]) for column in targets)
        place = places[index]
        table_name, number = (place.table, place.row) if place else (named, None)
        entries.append(Entry(table_name, number, known["sample_id"] or "", known.get("patient_id"), known.get("split"), label))
        path = str(paths[index]) if paths else ""
        shown = place.shown(path) if place and path else path or known["sample_id"] or ""
        items.append(Item(index, dataset.modalities[0] if path else "", shown, Task(kind, path, options=(("config", config),), position=index)))
    frame = pd.DataFrame(dataset.rows) if getattr(dataset, "rows", None) else table
    rows = [entry.row if entry.row is not None else number for number, entry in enumerate(entries, 1)]
    findings = [of_fault(fault, named) for fault in getattr(dataset, "faults", [])]
    return Cohort(named, entries, items, frame.set_axis(rows, axis=0), READERS, dataset, findings)


def cohort_that_failed(fault: InputError, table: str) -> Cohort:
    """A cohort of which nothing is known but why."""
    kind = "classes" if "only one class" in str(fault) else "table"
    return Cohort(table, findings=[Finding(table, None, kind, ERROR, str(fault))])
