"""Yaseen, Son and Kwon's heart sounds: normal, or one of four valve diseases."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mmdx.data.readers import check_file, read_recording
from mmdx.data.tables import Place, build_table, check_classes, need_folder, sample
from mmdx.errors import InputError, SampleError

if TYPE_CHECKING:
    from mmdx.types import Sample

RATE = 8000
CLASSES = {
    "AS": "aortic stenosis",
    "MR": "mitral regurgitation",
    "MS": "mitral stenosis",
    "MVP": "mitral valve prolapse",
    "N": "normal",
}
LAYOUT = "the folders AS, MR, MS, MVP and N"
TARGETS = ("abnormal", "diagnosis")


class Yaseen2018:
    """Heart sounds of five classes, 200 of each, about three beats long (Yaseen, Son and Kwon 2018, Appl Sci 8:2344), one row a file.

    Files are ``CLASS/New_CLASS_001.wav``, the folder as ``mmdx data fetch`` makes it, or as upstream's archives call it, ``CLASS_New_3...``.
    Patients and sources are not published: ``patient_id`` and ``site`` are null, and excerpts of one recording cannot be kept together.

    Args:
        root: folder that holds the classes' folders.
        target: "abnormal" is 0 for class N and 1 for the others; "diagnosis" is the class, for task=multiclass.

    Raises:
        InputError: where a class's folder is missing or empty, or an argument is out of range.
    """

    modalities: tuple[str, ...] = ("audio",)
    unit = "recording"

    def __init__(self, root: str | Path, target: str = "abnormal") -> None:
        if target not in TARGETS:
            raise InputError(f"data.target={target}: must be one of {', '.join(TARGETS)}.")
        self.root = need_folder(root, LAYOUT)
        self.faults: list[SampleError] = []
        self.places: list[Place] = []
        self.paths: list[Path] = []
        classes: list[str] = []
        for name in CLASSES:
            for path in _recordings(self.root, name):
                place = Place(sample_id=path.stem, folder=str(self.root))
                try:
                    if not re.fullmatch(rf"New_{name}_\d+\.wav", path.name):
                        raise place.fault(f"audio file '{place.shown(path)}' is not called New_{name}_NUMBER.wav, as all of {name} are", path)
                    check_file(path, "audio", place)
                except SampleError as fault:
                    self.faults.append(fault)
                    continue
                self.places.append(place)
                self.paths.append(path)
                classes.append(name)
        unknown = [None] * len(classes)
        labels = classes if target == "diagnosis" else [int(name != "N") for name in classes]
        self.table = build_table(
            {"sample_id": [place.sample_id for place in self.places], "patient_id": unknown, "site": unknown, "target": labels}
        )
        check_classes(self.table, f"data.root={self.root}", self.faults)

    def __len__(self) -> int:
        return len(self.table)

    def paths_of(self, index: int) -> dict[str, list[Path]]:
        """The files of each modality of a row."""
        return {"audio": [self.paths[index]]}

    def __getitem__(self, index: int) -> Sample:
        return sample(self.table, index, {"audio": read_recording(self.paths[index], self.places[index], RATE)})


def _recordings(root: Path, name: str) -> list[Path]:
    """The files of a class."""
    folders = [folder for folder in (root / name, *sorted(root.glob(f"{name}_New_*"))) if folder.is_dir()]
    if not folders:
        raise InputError(f"data.root={root}: there is no folder {name} ({CLASSES[name]}) in it. Give the folder that holds {LAYOUT}.")
    found = sorted(path for path in folders[0].iterdir() if path.suffix.lower() == ".wav" and not path.name.startswith("."))
    if not found:
        raise InputError(f"data.root={root}: the folder {folders[0].name} holds no New_{name}_001.wav, New_{name}_002.wav, ... Get it anew.")
    return found
