"""Indiana University chest X-rays (Open-i): the films of each study, with its report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mmdx.data.openi_reports import XML, OpeniReports, xml_tables
from mmdx.data.readers import check_file, read_image
from mmdx.data.table_file import read_table
from mmdx.data.tables import need_columns, need_folder, sample
from mmdx.errors import InputError, SampleError

if TYPE_CHECKING:
    from mmdx.types import Sample

PROJECTIONS, IMAGES = "indiana_projections.csv", "indiana_images.csv"
FOLDERS = ("images", "NLMCXR_png", "NLMCXR_dcm")
NAME = re.compile(r"(?:CXR\d+_(?=\d+_IM)|CXR)?(\d+_IM-.+?)(?:\.dcm)?(?:\.png|\.jpg|\.dcm)?")
"""Upstream calls films ``CXR1_1_IM-0001-3001.png``, ``CXR10_IM-0002-1001.png`` and ``10_IM-0002-1001.dcm``, Kaggle ``10_IM-0002-1001.dcm.png``."""


class Openi(OpeniReports):
    """Films and reports of the Indiana University chest X-ray collection (Demner-Fushman et al. 2016, JAMIA 23:304), one row a study.

    Modalities: ``image``, a bag of the study's films, PNG or DICOM; and the texts asked for. Labels, and the warning about ``findings`` and
    ``impression``, are those of ``OpeniReports``. Studies with neither a film nor a text are left out and counted.

    Three layouts are read: Kaggle's (``indiana_reports.csv``, ``indiana_projections.csv``, ``images/images_normalized``), what
    ``mmdx data fetch openi_images`` makes (``indiana_reports.csv``, ``indiana_images.csv``, ``images``), and upstream's own
    (``ecgen-radiology`` with ``images``, ``NLMCXR_png`` or ``NLMCXR_dcm``). Which film is frontal stands in ``indiana_projections.csv`` alone.

    Args:
        root: folder that holds these.
        modalities: of texts, as for ``OpeniReports``; may be empty.
        target, problems: as for ``OpeniReports``.
        views: Frontal, Lateral: the films to use; None takes all, and needs no ``indiana_projections.csv``.

    Attributes:
        record: the texts of each study and its views, to be audited.

    Raises:
        InputError: where a file, folder, column, label or view is missing, or an argument is out of range.
    """

    without = "without image or text"

    def __init__(
        self,
        root: str | Path,
        modalities: Mapping[str, str] = {"text": "indication"},
        target: str = "abnormal",
        problems: int | Sequence[str] = 10,
        views: Sequence[str] | None = None,
    ) -> None:
        if "image" in modalities:
            raise InputError("data.modalities.image: the films have this name; give the text another one.")
        folder = need_folder(root, "indiana_reports.csv and images")
        listed = _chosen(_listed(folder), views)
        self.films = _films(folder, listed)
        shown = listed.dropna(subset="projection").groupby("uid")["projection"].agg(lambda names: "+".join(sorted(set(names))))
        super().__init__(root, modalities, target, problems)
        if not self.faults and not set(self.films) & set(self.table["sample_id"]):
            uid = next(iter(self.films), None)
            raise InputError(f"data.root={root}: none of the {len(self.films)} studies that have films (the first: uid {uid}) is among the reports'; "
                             "both tables must write uid in the same way.")
        self.modalities = ("image", *self.columns)
        uids = self.table["sample_id"]
        self.record = self.record.assign(views=pd.Series([shown.get(uid) for uid in uids], dtype=object))

    def _sound(self, rows: pd.DataFrame) -> list[bool]:
        sound = super()._sound(rows)
        for position, (number, uid) in enumerate(zip(rows.index, rows["uid"], strict=True)):
            try:
                for path in self.films.get(uid, []) if sound[position] else []:
                    check_file(path, "image", self._place(number, uid))
            except SampleError as fault:
                self.faults.append(fault)
                sound[position] = False
        return sound

    def _empty(self, rows: pd.DataFrame) -> pd.Series:
        return super()._empty(rows) & ~rows["uid"].isin(list(self.films))

    def paths_of(self, index: int) -> dict[str, list[Path]]:
        """The files of each modality of a row."""
        films = self.films.get(self.places[index].sample_id, [])
        return {"image": films} if films else {}

    def __getitem__(self, index: int) -> Sample:
        films = [read_image(path, self.places[index]) for path in self.paths_of(index).get("image", [])]
        return sample(self.table, index, ({"image": films} if films else {}) | self.texts[index])


def _listed(root: Path) -> pd.DataFrame:
    """uid, filename and projection (None where it is not known) of every film."""
    name = PROJECTIONS if (root / PROJECTIONS).is_file() else IMAGES
    if not (root / name).is_file() and (root / XML).is_dir():
        return xml_tables(root)[1].assign(projection=None)
    if not (root / name).is_file():
        raise InputError(f"data.root={root}: there is no {PROJECTIONS}, {IMAGES} or {XML}, which say what films a study has.")
    films = read_table(root / name, "data.root")
    need_columns(films, {"data=openi, uid": "uid", "data=openi, filename": "filename"}, name)
    if name == IMAGES:
        return films.assign(projection=None)
    need_columns(films, {"data.views": "projection"}, name)
    return films


def _chosen(films: pd.DataFrame, views: Sequence[str] | None) -> pd.DataFrame:
    """The films of the views asked for."""
    films = films.dropna(subset=["uid", "filename"]).drop_duplicates(["uid", "filename"])
    if views is None:
        return films
    there = sorted(films["projection"].dropna().unique())
    if not there:
        raise InputError(f"data.views={list(views)}: only {PROJECTIONS} says which film is which view; put it into the folder, or take all by null.")
    if missing := sorted(set(views) - set(there)):
        raise InputError(f"data.views={list(views)}: no film has the view {', '.join(missing)}. There are: {', '.join(there)}.")
    return films[films["projection"].isin(list(views))]


def _films(root: Path, films: pd.DataFrame) -> dict[str, list[Path]]:
    """Of each study its films, in the order of the table; one whose file is not there has the path where it should be."""
    folder = next((root / name for name in FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise InputError(f"data.root={root}: there is no folder {', '.join(FOLDERS)} in it. For the texts alone use data=openi_reports.")
    there = {match[1]: path for path in sorted(folder.rglob("*")) if (match := NAME.fullmatch(path.name))}
    found: dict[str, list[Path]] = {}
    for uid, name in zip(films["uid"], films["filename"], strict=True):
        match = NAME.fullmatch(name)
        found.setdefault(uid, []).append(there.get(match[1] if match else name, folder / Path(name).name))
    return found
