"""PhysioNet/CinC Challenge 2016: heart sounds, normal or abnormal."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmdx.data.readers import check_file, read_recording
from mmdx.data.tables import Place, build_table, check_classes, need_folder, sample
from mmdx.errors import InputError, SampleError

if TYPE_CHECKING:
    from mmdx.types import Sample

RATE = 2000
LAYOUT = "training-a, training-b, ..."


class Physionet2016:
    """Heart sounds of the PhysioNet/CinC Challenge 2016 (Liu et al. 2016, Physiol Meas 37:2181), in the upstream layout.

    One row a recording of ``training-X/REFERENCE.csv``; ``target`` is 1 where it is abnormal. Only the ``.wav`` is read: headers of
    sub-database a name an ECG as well, which is not always there. Which recordings come from one subject is not published for every
    sub-database, so ``patient_id`` is null, splits are by recording and so is every interval. ``site`` is the sub-database: sensor,
    population and share of abnormal recordings differ so much between them that a pooled result alone says little.

    Args:
        root: folder that holds ``training-a``, ``training-b``, ...
        databases: letters of the sub-databases to use; None takes all that are there.

    Raises:
        InputError: where the folder, a sub-database or a reference is missing, or all recordings have the same class.
    """

    modalities: tuple[str, ...] = ("audio",)
    unit = "recording"

    def __init__(self, root: str | Path, databases: Sequence[str] | None = None) -> None:
        self.root = need_folder(root, LAYOUT)
        self.faults: list[SampleError] = []
        self.places: list[Place] = []
        self.paths: list[Path] = []
        names: list[str] = []
        there: set[str] = set()
        targets: list[int] = []
        for folder in _folders(self.root, databases):
            for place, label in _reference(folder, self.root):
                try:
                    if place.sample_id in there:
                        raise place.fault(f"recording {place.sample_id} is there a second time")
                    if label not in {"1", "-1"}:
                        raise place.fault(f"recording {place.sample_id} has the label '{label}', expected 1 (abnormal) or -1 (normal)")
                    path = folder / f"{place.sample_id}.wav"
                    check_file(path, "audio", place)
                except SampleError as fault:
                    self.faults.append(fault)
                    continue
                names.append(place.sample_id)
                there.add(place.sample_id)
                targets.append(int(label == "1"))
                self.places.append(place)
                self.paths.append(path)
        sites = [path.parent.name.removeprefix("training-") for path in self.paths]
        self.table = build_table({"sample_id": names, "patient_id": [None] * len(names), "site": sites, "target": targets})
        check_classes(self.table, f"data.root={self.root}", self.faults)

    def __len__(self) -> int:
        return len(self.table)

    def paths_of(self, index: int) -> dict[str, list[Path]]:
        """The files of each modality of a row."""
        return {"audio": [self.paths[index]]}

    def __getitem__(self, index: int) -> Sample:
        return sample(self.table, index, {"audio": read_recording(self.paths[index], self.places[index], RATE)})


def _folders(root: Path, databases: Sequence[str] | None) -> list[Path]:
    there = {folder.name.removeprefix("training-"): folder for folder in sorted(root.glob("training-*")) if folder.is_dir()}
    if not there:
        raise InputError(f"data.root={root}: there is no folder training-a, training-b, ... in it. Give the folder that holds {LAYOUT}.")
    wanted = sorted(there) if databases is None else list(databases)
    for letter in wanted:
        if letter not in there:
            raise InputError(f"data.databases={wanted}: no training-{letter} in {root}. There are: {', '.join(sorted(there))}.")
    return [there[letter] for letter in wanted]


def _reference(folder: Path, root: Path) -> list[tuple[Place, str]]:
    """Place and label of each row of a sub-database's REFERENCE.csv, which has no header."""
    path = folder / "REFERENCE.csv"
    if not path.is_file():
        raise InputError(f"data.root={root}: no {folder.name}/REFERENCE.csv, which holds the labels. Get the sub-database anew.")
    with path.open(newline="") as file:
        cells = [[cell.strip() for cell in row] for row in csv.reader(file)]
    table = str(path.relative_to(root))
    return [(Place(table, number, row[0], str(root)), row[1] if len(row) > 1 else "") for number, row in enumerate(cells, 1) if any(row)]
