"""Folders of classes: ``ROOT/CLASS/file`` or ``ROOT/SPLIT/CLASS/file``, images, volumes, sounds or texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdx.data.columns import SUFFIXES
from mmdx.data.readers import READERS, check_file
from mmdx.data.tables import Place, build_table, check_classes, inside, need_folder, sample
from mmdx.errors import InputError, SampleError

if TYPE_CHECKING:
    from mmdx.types import Sample

LAYOUT = "CLASS/file, or SPLIT/CLASS/file with the splits train, val and test"
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test"}
MEND = "remove it, or set data.on_error=quarantine to go on without it"

LITTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}
"""What operating systems leave in folders and archives."""


class Folder:
    """Files sorted into one folder for each class, one row a file.

    The modality is called after the kind that the suffixes say: image, volume, audio or text; all files must be of one kind. ``sample_id``
    is the path below the root. Hidden files are passed over; files and folders that lead outside the root by a link are refused.

    Args:
        root: folder that holds the classes' folders, or ``train``, ``val`` and ``test`` with these in each; the splits are then the
            column ``split``, for split=given.
        positive: the class that is the diagnosis: the target is 1 there and 0 elsewhere. None takes the classes' names, for
            task=multiclass, or folders called 0 and 1 as they are.
        patient_pattern: regular expression, searched in the file's name, whose one group is the patient: ``'^(\\d+)_'``. None says that
            patients are not known: rows are then taken to be independent.

    Raises:
        InputError: where the folder is missing or laid out otherwise, a class is empty, files are of several kinds, or an argument is wrong.
    """

    def __init__(self, root: str | Path, positive: str | int | None = None, patient_pattern: str | None = None) -> None:
        pattern = _compiled(patient_pattern)
        self.root = need_folder(root, LAYOUT)
        self.faults: list[SampleError] = []
        self.places: list[Place] = []
        self.paths: list[Path] = []
        kinds: dict[str, str] = {}
        found: list[tuple[str | None, str, str | None]] = []  # split, class, patient
        for split, path in _files(self.root):
            place = Place(sample_id=path.relative_to(self.root).as_posix(), folder=str(self.root))
            try:
                kind = _kind(path, place)
                kinds.setdefault(kind, place.sample_id)
                if path.is_symlink():  # its folder is known to lie inside
                    inside(self.root, place.sample_id, kind, place)
                check_file(path, kind, place)
                patient = _patient(pattern, path, place)
            except SampleError as fault:
                self.faults.append(fault)
                continue
            self.places.append(place)
            self.paths.append(path)
            found.append((split, path.parent.name, patient))
        if len(kinds) > 1:
            several = ", ".join(f"{kind} ({example})" for kind, example in kinds.items())
            raise InputError(f"data.root={root}: files of several kinds: {several}. Keep one kind, or write a manifest (data=manifest).")
        self.modalities: tuple[str, ...] = tuple(kinds)
        self.unit = "patient" if pattern else "sample"
        columns: dict[str, Iterable[Any]] = {
            "sample_id": [place.sample_id for place in self.places],
            "patient_id": [patient for _, _, patient in found],
            "site": [None] * len(found),
            "target": _targets([name for _, name, _ in found], positive),
        }
        if found and found[0][0]:
            columns["split"] = [split for split, _, _ in found]
        self.table = build_table(columns)
        check_classes(self.table, f"data.root={self.root}", self.faults)

    def __len__(self) -> int:
        return len(self.table)

    def paths_of(self, index: int) -> dict[str, list[Path]]:
        """The files of each modality of a row."""
        return {self.modalities[0]: [self.paths[index]]}

    def __getitem__(self, index: int) -> Sample:
        kind = self.modalities[0]
        return sample(self.table, index, {kind: READERS[kind](self.paths[index], self.places[index])})


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    if not isinstance(pattern, str):
        raise InputError(f"data.patient_pattern={pattern!r}: must be text, a regular expression with one group, as in '^([0-9]+)_'.")
    try:
        compiled = re.compile(pattern)
    except re.error as fault:
        raise InputError(f"data.patient_pattern={pattern!r}: not a regular expression ({fault}).") from None
    if compiled.groups != 1:
        raise InputError(f"data.patient_pattern={pattern!r}: has {compiled.groups} groups, must have one, the patient, as in '^([0-9]+)_'.")
    return compiled


def _files(root: Path) -> Iterator[tuple[str | None, Path]]:
    """Every file with its split, None where the layout has none, in alphabetical order."""
    tops = _folders(root, root)
    splits = [folder for folder in tops if folder.name.lower() in SPLITS]
    if splits and len(splits) < len(tops):
        odd = next(folder.name for folder in tops if folder not in splits)
        raise InputError(f"data.root={root}: folder '{odd}' stands beside '{splits[0].name}'. Expected {LAYOUT}.")
    for top in splits or [root]:
        for folder in _folders(top, root):
            children = _visible(folder)
            shown = folder.relative_to(root)
            if not children:
                raise InputError(f"data.root={root}: class folder '{shown}' is empty. Put its files into it, or remove it.")
            for path in children:
                if path.is_dir():
                    raise InputError(f"data.root={root}: there is a folder '{path.name}' in class folder '{shown}'. Expected {LAYOUT}.")
                yield SPLITS[top.name.lower()] if splits else None, path


def _folders(parent: Path, root: Path) -> list[Path]:
    """The folders in a folder, which may not lead outside the root; files beside them, such as a read-me, are passed over."""
    folders = [path for path in _visible(parent) if path.is_dir()]
    if not folders:
        raise InputError(f"data.root={root}: there is no folder in '{parent.name}'. Expected {LAYOUT}.")
    for folder in folders:
        if not folder.resolve().is_relative_to(root.resolve()):
            raise InputError(f"data.root={root}: folder '{folder.relative_to(root)}' is a link that leads outside. Move the files into it.")
    return folders


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in LITTER)


def _kind(path: Path, place: Place) -> str:
    for kind, suffixes in SUFFIXES.items():
        if path.name.lower().endswith(suffixes):
            return kind
    known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
    raise place.fault(f"file '{place.sample_id}' is of no kind that can be read ({known}); {MEND}", path)


def _patient(pattern: re.Pattern[str] | None, path: Path, place: Place) -> str | None:
    if pattern is None:
        return None
    match = pattern.search(path.name)
    if not match or not match[1]:
        raise place.fault(f"file '{place.sample_id}': data.patient_pattern='{pattern.pattern}' finds no patient in its name; {MEND}", path)
    return match[1]


def _targets(classes: list[str], positive: str | int | None) -> list[int] | list[str]:
    there = sorted(set(classes))
    if positive is not None:
        if str(positive) not in there:
            raise InputError(f"data.positive={positive}: no such class. There are: {', '.join(there)}.")
        return [int(name == str(positive)) for name in classes]
    return [int(name) for name in classes] if there == ["0", "1"] else classes
