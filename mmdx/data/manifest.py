"""A user's own data: one CSV or Parquet file with a path or the text itself for each modality."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mmdx.data.columns import TABULAR, TEXT, Labels, Source, infer_sources, read_source
from mmdx.data.readers import READERS, check_file, check_options
from mmdx.data.survival_labels import SurvivalLabels
from mmdx.data.table_file import STRINGS, as_objects, numbers_of, open_table, release
from mmdx.data.tables import Place, check_classes, inside, need_columns, sample
from mmdx.errors import InputError, SampleError

if TYPE_CHECKING:
    from mmdx.types import Sample

SPLITS = ("train", "val", "test")


class Manifest:
    """A table with one row a sample: ids, one column a modality, labels.

    A cell names a file relative to the manifest's folder, several files parted by ``;`` (a bag), or is the text itself. An empty cell
    is a modality that the sample lacks. A column of text may name ``.txt`` files instead. Files outside the manifest's folder are refused.

    Args:
        path: the CSV or Parquet file.
        modalities: by name of modality a column, a list of columns (tabular), or ``{column or columns, kind, option...}`` with kind
            image, volume, audio, signal, text or tabular and the reader's options (volume: ``spacing``; audio: ``expected_rate``,
            ``channel``; signal: ``expected_rate``, ``channels``; text: ``encoding``). None infers them from the columns that have no other use.
        target: label column (0 and 1, or class names), or a list of columns for several labels, each 1, 0, -1 (uncertain) or empty (not
            labelled). None takes the column ``label`` or ``target``, else all that begin with ``label_``, else ``time`` with ``event``. A number
            or an ordered class is a label column too, for task=regression and task=ordinal.
        positive: the value of the label column that is the diagnosis; every other value is 0.
        time: column of the time to an event, or to the end of follow-up, in any unit; with ``event``, instead of ``target``.
        event: column that is 1 where the event happened at that time, 0 where the sample was followed no longer.
        sample_id: column of unique ids.
        patient_id: column of patients, whom splits keep together; without it rows are taken to be independent.
        site: column of hospitals or sources; may be missing.
        split: column with train, val or test; may be missing; None leaves it aside.
        meta: further columns to audit by; those named ``meta_...`` are taken anyway.
        readers: further kinds of modality: ``reader(path, place)`` by kind.

    The files that rows name are looked at when they are read. Cells stay in Arrow's memory, so that a million rows take little of it and
    loader workers share it.

    Attributes:
        roles: what each column of the file was taken for.
        cells: the columns of the modalities, by row of the file.
        faults: rows left out, each with its reason.

    Raises:
        InputError: where the file or a column is missing, an argument is out of range, one class only is there, or a patient is on both
            sides of the given split. Faults of single rows are in ``faults``.
    """

    def __init__(
        self,
        path: str | Path,
        modalities: Mapping[str, Any] | None = None,
        target: str | Sequence[str] | None = None,
        positive: str | int | None = None,
        time: str | None = None,
        event: str | None = None,
        sample_id: str = "sample_id",
        patient_id: str | None = "patient_id",
        site: str | None = "site",
        split: str | None = "split",
        meta: Sequence[str] = (),
        readers: Mapping[str, Callable[[Path, Place], Any]] | None = None,
    ) -> None:
        if not isinstance(path, str | Path):
            raise InputError(f"data.path={path}: must be the path of a CSV or Parquet file.")
        if not isinstance(sample_id, str):
            raise InputError(f"data.sample_id={sample_id}: must be the name of the column of ids.")
        if isinstance(meta, str):
            raise InputError(f"data.meta={meta}: must be a list of columns, as in [{meta}].")
        if modalities is not None and not isinstance(modalities, Mapping):
            raise InputError(f"data.modalities={modalities}: must be a column by name of modality, as in {{image: COLUMN}}, or null.")
        self.path = Path(path).expanduser()
        self.readers = {**READERS, **(readers or {})}
        frame = open_table(self.path, "data.path")
        optional = {"patient_id": patient_id, "site": site, "split": split}
        wanted = {"sample_id": sample_id} | {key: name for key, name in optional.items() if name and name != key}
        for key, name in [*wanted.items(), *(("meta", name) for name in meta)]:
            need_columns(frame, {f"data.{key}": name}, self.path.name)
        self.ids = {"sample_id": sample_id} | {key: name for key, name in optional.items() if name and name in frame}
        survival = SurvivalLabels.named(frame, target, positive, time, event, self.path.name)
        self.labels: Labels | SurvivalLabels = survival or Labels(frame, target, positive, self.path.name)
        self.meta = {f"meta_{name.removeprefix('meta_')}": name for name in frame.columns if name in meta or name.startswith("meta_")}
        self.roles = dict.fromkeys(frame.columns, "unused")
        self.roles |= {name: key for key, name in self.ids.items()}
        self.roles |= dict.fromkeys(self.labels.columns, "label") | dict.fromkeys(self.meta.values(), "meta")
        free = [column for column, role in self.roles.items() if role == "unused"]
        self.sources = self._given_sources(modalities, frame) if modalities is not None else infer_sources(frame[free])
        if not self.sources:
            raise InputError(f"{self.path.name}: no column looks like a modality. Name one, e.g. data.modalities='{{image: COLUMN}}'.")
        self.modalities: tuple[str, ...] = tuple(self.sources)
        tabular = [column for source in self.sources.values() if source.kind == TABULAR for column in source.columns]
        self.numeric = {column for column in tabular if numbers_of(frame[column]) is not None}
        for modality, source in self.sources.items():
            self.roles |= dict.fromkeys(source.columns, f"{modality} ({source.kind})")

        self.faults: list[SampleError] = []
        self.table = self._read_rows(frame)
        self.unit = "patient" if self.table["patient_id"].notna().any() else "sample"
        self._check_table()
        release()

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Sample:
        place = Place(self.path.name, int(self.cells.index[index]), self.table["sample_id"].iloc[index], str(self.path.parent))
        row = {name: None if pd.isna(cell := self.cells[name].iloc[index]) else cell for name in self.cells.columns}
        inputs: dict[str, Any] = {}
        for name, cell in self._row_inputs(row, place).items():
            source = self.sources[name]
            if isinstance(cell, list):  # of paths; text and tabular cells are the raw input itself
                bag = [self._read(path, source, place) for path in cell]
                inputs[name] = bag[0] if len(bag) == 1 else bag
            else:
                inputs[name] = cell
        return sample(self.table, index, inputs)

    def paths_of(self, index: int) -> dict[str, list[Path]]:
        """The files of each modality of a row, as they are named."""
        paths = {}
        for name, source in self.sources.items():
            cell = self.cells[source.columns[0]].iloc[index]
            if source.kind != TABULAR and not pd.isna(cell):
                parts = [part.strip() for part in cell.split(";") if part.strip()]
                if source.kind != TEXT or all(part.lower().endswith(".txt") for part in parts):
                    paths[name] = [self.path.parent / part for part in parts]
        return paths

    def _read(self, path: Path, source: Source, place: Place) -> Any:
        if source.kind not in READERS:  # ours look themselves, and some take a folder
            check_file(path, source.kind, place)
        return self.readers[source.kind](path, place, **source.options)

    def _given_sources(self, modalities: Mapping[str, Any], frame: pd.DataFrame) -> dict[str, Source]:
        if not modalities:
            raise InputError("data.modalities={}: must name at least one modality, or be null to infer them.")
        sources = {name: read_source(name, spec, frame, [*self.readers, TABULAR]) for name, spec in modalities.items()}
        for name, source in sources.items():
            key = f"data.modalities.{name}"
            for column in source.columns:
                need_columns(frame, {key: column}, self.path.name)
            if source.kind != TABULAR:
                accepted = sorted(set(inspect.signature(self.readers[source.kind]).parameters) - {"path", "place"})
                if unknown := sorted(set(source.options) - set(accepted)):
                    raise InputError(f"{key}.{unknown[0]}: kind {source.kind} has no such option. It has: {', '.join(accepted) or 'none'}.")
                if self.readers[source.kind] is READERS.get(source.kind):
                    check_options(source.options, key)
        return sources

    def _read_rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The cohort's table; fills ``cells``, what the modalities are made of, and ``faults``. All rows are looked at as columns, and only
        those that look wrong by themselves."""
        self.first_rows = first_rows(frame[self.ids["sample_id"]])
        doubtful = np.flatnonzero(self._doubtful(frame)).tolist()
        faulty = np.zeros(len(frame), dtype=bool)
        for position, row in zip(doubtful, as_objects(frame.iloc[doubtful]).to_dict("records"), strict=True):
            cells = {str(name): value for name, value in row.items()}
            place = Place(self.path.name, int(frame.index[position]), cells[self.ids["sample_id"]] or "", str(self.path.parent))
            try:
                self._row_ids(cells, place)
                self.labels.of(cells, place)
                self._row_inputs(cells, place)
            except SampleError as fault:
                self.faults.append(fault)
                faulty[position] = True
        if faulty.any():
            frame = frame[~faulty]
        self.cells = frame[list(dict.fromkeys(column for source in self.sources.values() for column in source.columns))]
        names = {"sample_id": None, "patient_id": None, "site": None} | self.ids | {name: column for name, column in self.meta.items()}
        unknown = pd.Series(np.nan, index=frame.index, dtype=STRINGS)
        columns = {name: unknown if column is None else frame[column] for name, column in names.items()}
        ids = {name: cells for name, cells in columns.items() if name not in self.meta}
        meta = {name: columns[name] for name in self.meta}
        return pd.DataFrame({**ids, **self.labels.coded(frame), **meta}).reset_index(drop=True)

    def _doubtful(self, frame: pd.DataFrame) -> np.ndarray:
        """Rows [n] that may be at fault."""
        ids = frame[self.ids["sample_id"]]
        doubtful = self.labels.unfit(frame) | ids.isna().to_numpy()
        if self.first_rows:
            doubtful |= ids.isin(list(self.first_rows)).to_numpy()
        if "split" in self.ids:
            doubtful |= ~frame[self.ids["split"]].isin(SPLITS).to_numpy()
        empty = np.ones(len(frame), dtype=bool)
        for source in self.sources.values():
            for column in source.columns:
                empty &= frame[column].isna().to_numpy()
            if source.kind != TABULAR:  # perhaps nothing but separators
                doubtful |= frame[source.columns[0]].str.startswith(";").to_numpy(dtype=bool, na_value=False)
        return doubtful | empty

    def _row_ids(self, row: Mapping[str, Any], place: Place) -> None:
        column = self.ids["sample_id"]
        if not place.sample_id:
            raise place.fault(f"column '{column}' is empty")
        if (first := self.first_rows.get(place.sample_id, place.row)) != place.row:
            raise place.fault(f"{column} '{place.sample_id}' is already in row {first}")
        split = row[self.ids["split"]] if "split" in self.ids else SPLITS[0]
        if split not in SPLITS:
            near = difflib.get_close_matches(split or "", SPLITS, n=1, cutoff=0.4)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise place.fault(f"column '{self.ids['split']}' is '{split or ''}', expected train, val or test{hint}")

    def _row_inputs(self, row: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """Of each modality that a row has: a list of paths, the text, or the tabular values."""
        cells: dict[str, Any] = {}
        for name, source in self.sources.items():
            if source.kind == TABULAR:
                values = {c: float(row[c]) if c in self.numeric and row[c] is not None else row[c] for c in source.columns}
                if any(value is not None for value in values.values()):
                    cells[name] = values
            elif (cell := row[source.columns[0]]) is not None:
                parts = [part.strip() for part in cell.split(";") if part.strip()]
                if source.kind == TEXT and not all(part.lower().endswith(".txt") for part in parts):
                    cells[name] = cell
                    continue
                if not parts:
                    raise place.fault(f"column '{source.columns[0]}' has no path between its ';'")
                cells[name] = [inside(self.path.parent, part, source.kind, place) for part in parts]
        if not cells:
            raise place.fault(f"sample '{place.sample_id}' has no modality at all: {', '.join(self.sources)} are all empty")
        return cells

    def _check_table(self) -> None:
        """Check what no single row shows."""
        check_classes(self.table, self.path.name, self.faults)
        if "split" in self.ids:
            self._check_patients_apart()

    def _check_patients_apart(self) -> None:
        sides = self.table[["patient_id", "split"]].dropna().drop_duplicates()
        if (twice := sides["patient_id"].duplicated()).any():
            patient = sides["patient_id"][twice].min()
            where = f"{self.path.name}: patient '{patient}' is in {' and '.join(sorted(sides['split'][sides['patient_id'] == patient]))}"
            raise InputError(f"{where}. Put all rows of a patient into one part, or set data.split=null to leave the column aside.")


def first_rows(ids: pd.Series) -> dict[str, int]:
    """Of each id that is there more than once the first row that has it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.count_distinct(pa.array(ids)).as_py() == ids.notna().sum():
        return {}
    twice = ids[ids.duplicated(keep=False) & ids.notna()]
    first = twice[~twice.duplicated()]
    return dict(zip(first.tolist(), first.index.tolist(), strict=True))
