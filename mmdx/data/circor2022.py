"""CirCor DigiScope: heart sounds of children at several places of the chest, with a murmur or not, and a cardiologist's finding."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mmdx.data.readers import check_file, read_recording
from mmdx.data.table_file import read_table
from mmdx.data.tables import Place, build_table, check_classes, is_number, need_columns, need_folder, sample
from mmdx.errors import InputError, SampleError

if TYPE_CHECKING:
    from mmdx.types import Sample

RATE = 4000
TABLE, FOLDER = "training_data.csv", "training_data"
LOCATIONS = ("AV", "PV", "TV", "MV", "Phc")
RECORDING = re.compile(rf"([^_.]+)_({'|'.join(LOCATIONS)})(?:_(\d+))?\.wav")
TABULAR = {"age": "Age", "sex": "Sex", "height": "Height", "weight": "Weight", "pregnancy": "Pregnancy status"}
NUMBERS = ("height", "weight")
TARGETS = {"murmur": ("Murmur", ("Present", "Absent", "Unknown")), "outcome": ("Outcome", ("Abnormal", "Normal"))}
UNKNOWN = ("leave_out", "class")


class Circor2022:
    """Heart sounds of the CirCor DigiScope data set (Oliveira et al. 2022, IEEE J Biomed Health Inform 26:2524), one row a patient and campaign.

    Modalities: ``audio``, a bag of the patient's recordings at 4000 Hz in the order AV, PV, TV, MV, Phc, of one place by number;
    ``tabular``, the columns asked for. What upstream says of a murmur (place, timing, shape, pitch, grading, quality) was written
    down with the label and is never an input.

    A child examined in both campaigns has a row and a ``Patient ID`` in each, and ``Additional ID`` names the other one: both rows have one
    ``patient_id``, the first of its ids in the table. ``site`` is the campaign.

    Args:
        root: folder that holds ``training_data.csv`` and ``training_data``.
        target: "murmur" is 1 where an annotator heard one in at least one recording; "outcome" is 1 where the cardiologist's overall
            finding is abnormal.
        unknown: for target=murmur what becomes of the patients whose recordings did not let the annotator tell: "leave_out", counted in
            ``left_out``; or "class", for task=multiclass with the classes Absent, Present and Unknown.
        columns: of the modality ``tabular``, from age, sex, height, weight, pregnancy; without any there is no such modality.
        locations: AV, PV, TV, MV, Phc: the places whose recordings are used; None takes all.

    Attributes:
        record: what the source says of each row, to be audited.
        left_out: number of rows by reason.

    Raises:
        InputError: where the folder, the table or a column is missing, an argument is out of range, or one class only is left.
    """

    unit = "patient"

    def __init__(
        self,
        root: str | Path,
        target: str = "murmur",
        unknown: str = "leave_out",
        columns: Sequence[str] = tuple(TABULAR),
        locations: Sequence[str] | None = None,
    ) -> None:
        _check_arguments(target, unknown, columns, locations)
        self.root = need_folder(root, f"{TABLE} and {FOLDER}")
        if not (self.root / FOLDER).is_dir():
            raise InputError(f"data.root={root}: there is no folder {FOLDER} in it. Give the folder that holds {TABLE} and {FOLDER}.")
        rows = read_table(self.root / TABLE, "data.root").rename(columns=lambda name: name.rstrip(":"))
        needed = ("Patient ID", "Recording locations", *TABULAR.values(), "Murmur", "Outcome", "Campaign", "Additional ID")
        need_columns(rows, {f"data=circor2022, {name}": name for name in needed}, TABLE)
        self.target, self.columns = target, tuple(columns)
        self.modalities: tuple[str, ...] = ("audio", "tabular") if self.columns else ("audio",)
        self.faults: list[SampleError] = []
        self.places: list[Place] = []
        self.rows: list[dict[str, Any]] = []
        self.recordings: list[list[Path]] = []
        self.left_out = {"murmur unknown": 0, "no recording at the locations": 0}
        self._read(rows, unknown == "leave_out", LOCATIONS if locations is None else locations)
        self.table = self._table(unknown == "class")
        self.record = pd.DataFrame({name: [row[column] for row in self.rows] for name, column in TABULAR.items()}, dtype=object)
        check_classes(self.table, TABLE, self.faults)

    def _read(self, rows: pd.DataFrame, without_unknown: bool, wanted: Sequence[str]) -> None:
        """Fills ``rows``, ``places``, ``recordings``, ``faults`` and ``left_out``."""
        found = _recordings(self.root / FOLDER)
        first: dict[str, int] = {}
        for number, row in zip(rows.index, rows.to_dict("records"), strict=True):
            place = Place(TABLE, int(number), row["Patient ID"] or "", str(self.root))
            try:
                self._check(row, place, first)
                recordings = _recordings_of(row, found, wanted, place)
            except SampleError as fault:
                self.faults.append(fault)
                continue
            if self.target == "murmur" and without_unknown and row["Murmur"] == "Unknown":
                self.left_out["murmur unknown"] += 1
            elif not recordings:
                self.left_out["no recording at the locations"] += 1
            else:
                self.rows.append({str(name): value for name, value in row.items()})
                self.places.append(place)
                self.recordings.append(recordings)

    def _check(self, row: Mapping[Any, Any], place: Place, first: dict[str, int]) -> None:
        if not place.sample_id:
            raise place.fault("'Patient ID' is empty")
        if first.setdefault(place.sample_id, place.row or 0) != place.row:
            raise place.fault(f"patient {place.sample_id} is already in row {first[place.sample_id]}")
        label, classes = TARGETS[self.target]
        if row[label] not in classes:
            raise place.fault(f"'{label}' is '{row[label] or ''}', expected {', '.join(classes)}")
        for name in NUMBERS:
            if row[TABULAR[name]] is not None and not is_number(row[TABULAR[name]]):
                raise place.fault(f"'{TABULAR[name]}' is '{row[TABULAR[name]]}', expected a number")

    def _table(self, unknown_is_class: bool) -> pd.DataFrame:
        label, classes = TARGETS[self.target]
        labels = [row[label] for row in self.rows]
        ids = [place.sample_id for place in self.places]
        return build_table(
            {
                "sample_id": ids,
                "patient_id": _patients(ids, [(row["Additional ID"] or "").removesuffix(".0") for row in self.rows]),
                "site": [row["Campaign"] for row in self.rows],
                "target": labels if self.target == "murmur" and unknown_is_class else [int(value == classes[0]) for value in labels],
                "meta_age": [row["Age"] for row in self.rows],
                "meta_sex": [row["Sex"] for row in self.rows],
            }
        )

    def __len__(self) -> int:
        return len(self.table)

    def paths_of(self, index: int) -> dict[str, list[Path]]:
        """The files of each modality of a row."""
        return {"audio": self.recordings[index]}

    def __getitem__(self, index: int) -> Sample:
        inputs: dict[str, Any] = {"audio": [read_recording(path, self.places[index], RATE) for path in self.recordings[index]]}
        cells = {name: self.rows[index][TABULAR[name]] for name in self.columns}
        if any(cell is not None for cell in cells.values()):
            inputs["tabular"] = {name: float(cell) if name in NUMBERS and cell is not None else cell for name, cell in cells.items()}
        return sample(self.table, index, inputs)


def _check_arguments(target: str, unknown: str, columns: Sequence[str], locations: Sequence[str] | None) -> None:
    if target not in TARGETS:
        raise InputError(f"data.target={target}: must be one of {', '.join(TARGETS)}.")
    if unknown not in UNKNOWN:
        raise InputError(f"data.unknown={unknown}: must be one of {', '.join(UNKNOWN)}.")
    if odd := [name for name in columns if name not in TABULAR]:
        raise InputError(f"data.columns={odd}: must be from {', '.join(TABULAR)}.")
    if locations is not None and (not locations or set(locations) - set(LOCATIONS)):
        raise InputError(f"data.locations={list(locations)}: must be one or more of {', '.join(LOCATIONS)}, or null for all.")


def _recordings(folder: Path) -> dict[str, list[tuple[str, Path]]]:
    """Of each patient the recordings that are there, with their place, in the order of places and numbers."""
    named = [(match, path) for path in folder.glob("*.wav") if (match := RECORDING.fullmatch(path.name))]
    found: dict[str, list[tuple[str, Path]]] = {}
    for match, path in sorted(named, key=lambda one: (LOCATIONS.index(one[0][2]), int(one[0][3] or 0))):
        found.setdefault(match[1], []).append((match[2], path))
    return found


def _recordings_of(
    row: Mapping[Any, Any], found: Mapping[str, list[tuple[str, Path]]], wanted: Sequence[str], place: Place
) -> list[Path]:
    """A patient's recordings at the wanted places; every place that the table lists must have one."""
    there = [(location, path) for location, path in found.get(place.sample_id, []) if location in wanted]
    listed = {name.strip() for name in (row["Recording locations"] or "").split("+")} & set(wanted)
    for location in sorted(listed - {location for location, _ in there}):
        check_file(Path(place.folder) / FOLDER / f"{place.sample_id}_{location}.wav", "audio", place)
    for _, path in there:
        check_file(path, "audio", place)
    return [path for _, path in there]


def _patients(ids: Sequence[str], others: Sequence[str]) -> list[str]:
    """Patient of each row, where rows that name each other, or the same third one, are one: the first of their ids."""
    position = {name: k for k, name in enumerate(dict.fromkeys([*ids, *others]))}
    links = [(position[own], position[other]) for own, other in zip(ids, others, strict=True) if other]
    ends = np.array(links, dtype=int).reshape(-1, 2).T
    part = connected_components(coo_matrix((np.ones(len(links)), (ends[0], ends[1])), shape=(len(position),) * 2), directed=False)[1]
    first: dict[int, str] = {}
    return [first.setdefault(int(part[position[own]]), own) for own in ids]
