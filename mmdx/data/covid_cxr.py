"""COVID-19 image data collection: chest X-rays with clinical notes, age and sex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mmdx.data.readers import check_file, read_image
from mmdx.data.table_file import read_table
from mmdx.data.tables import Place, build_table, check_classes, is_number, need_columns, need_folder, sample
from mmdx.errors import InputError, SampleError

if TYPE_CHECKING:
    from mmdx.types import Sample

TABULAR = ("age", "sex", "view")
TARGETS = ("covid19", "finding")
RECORD = ("clinical_notes", "age", "sex", "view")
_RADIOPAEDIA = "covid-19-rapidly-progressive-acute-respiratory-distress-syndrome-ards"
SAME_PICTURE = {
    f"{_RADIOPAEDIA}-admission.jpg": "16660_2_1.jpg",
    f"{_RADIOPAEDIA}-day-1.jpg": "16660_3_1.jpg",
    f"{_RADIOPAEDIA}-day-2.jpg": "16660_4_1.jpg",
    f"{_RADIOPAEDIA}-day-3.jpg": "16660_5_1.jpg",
}
"""Pictures that two publications show, and so the collection holds under two names and two patients (found by comparing pixels)."""


class CovidCxr:
    """Chest X-rays of the COVID-19 image data collection (Cohen et al. 2020, arXiv:2006.11988), one row an image.

    Modalities: ``image``; ``text``, the clinical note, which about a third of the rows lack and which often names the diagnosis;
    ``tabular``, the columns asked for. Scores on this collection are partly shortcuts: note, view and source all go with the finding.

    Rows whose picture is also another patient's are kept, and the two patients joined to one: the collection gathers published cases,
    some were published twice, and a picture must not be on both sides of a split. ``sample_id`` is patient and file as published,
    ``patient_id`` the first published id of those joined. ``site`` is null: ``location`` is free text with 63 spellings, mostly of
    one patient each. Its last part, the country, is ``meta_country``; ``meta_sex``, ``meta_view``, ``meta_age_group`` are there to audit.

    Args:
        root: folder that holds ``metadata.csv`` and ``images``.
        target: "covid19" is 1 where the finding names COVID-19, also with ARDS; "finding" is the name of the finding, COVID-19 with
            ARDS being COVID-19.
        columns: of the modality ``tabular``, from age, sex and view; without any there is no such modality.
        views: PA, AP, AP Supine, L: the views to use; None takes all.
        min_patients: for target=finding, findings of fewer patients are the class "Other".

    Attributes:
        record: what the source says of each row, by its own columns, to be audited.

    Raises:
        InputError: where the folder, a column or a view is missing, an argument is out of range, or one class only is left.
    """

    unit = "patient"

    def __init__(
        self,
        root: str | Path,
        target: str = "covid19",
        columns: Sequence[str] = TABULAR,
        views: Sequence[str] | None = None,
        min_patients: int = 5,
    ) -> None:
        if target not in TARGETS:
            raise InputError(f"data.target={target}: must be one of {', '.join(TARGETS)}.")
        if odd := [name for name in columns if name not in TABULAR]:
            raise InputError(f"data.columns={odd}: must be from {', '.join(TABULAR)}.")
        if min_patients < 1:
            raise InputError(f"data.min_patients={min_patients}: must be at least 1.")
        self.root = need_folder(root, "metadata.csv and images")
        self.columns = tuple(columns)
        self.modalities: tuple[str, ...] = ("image", "text", "tabular") if self.columns else ("image", "text")
        rows = read_table(self.root / "metadata.csv", "data.root")
        needed = ("patientid", "filename", "finding", "clinical_notes", "age", "sex", "view", "location")
        need_columns(rows, {f"data=covid_cxr, {name}": name for name in needed}, "metadata.csv")
        if views is not None:
            there = sorted(rows["view"].dropna().unique())
            if missing := sorted(set(views) - set(there)):
                raise InputError(f"data.views={list(views)}: no row has the view {', '.join(missing)}. There are: {', '.join(there)}.")
            rows = rows[rows["view"].isin(list(views))]
        self.faults: list[SampleError] = []
        self.places: list[Place] = []
        self.rows: list[dict[str, Any]] = []
        first: dict[str, int] = {}
        for number, row in zip(rows.index, rows.to_dict("records"), strict=True):
            place = Place("metadata.csv", int(number), f"{row['patientid']}/{row['filename']}", str(self.root))
            try:
                self._check(row, place, first)
            except SampleError as fault:
                self.faults.append(fault)
                continue
            self.places.append(place)
            self.rows.append({str(name): value for name, value in row.items()})
        self.table = self._table(target, min_patients)
        self.record = pd.DataFrame({name: [row[name] for row in self.rows] for name in RECORD}, dtype=object)
        check_classes(self.table, "metadata.csv", self.faults)

    def _check(self, row: Mapping[Any, Any], place: Place, first: dict[str, int]) -> None:
        for name in ("patientid", "filename", "finding"):
            if row[name] is None:
                raise place.fault(f"'{name}' is empty")
        if Path(row["filename"]).name != row["filename"]:
            raise place.fault(f"filename '{row['filename']}' is not the bare name of a file in images")
        if first.setdefault(place.sample_id, place.row or 0) != place.row:
            raise place.fault(f"image {place.sample_id} is already in row {first[place.sample_id]}")
        if row["age"] is not None and not is_number(row["age"]):
            raise place.fault(f"age '{row['age']}' is not a number")
        check_file(self.root / "images" / row["filename"], "image", place)

    def _table(self, target: str, min_patients: int) -> pd.DataFrame:
        rows = self.rows
        pictures = [SAME_PICTURE.get(row["filename"], row["filename"]) for row in rows]
        patients = _joined_patients([row["patientid"] for row in rows], pictures)
        covid = ["COVID-19" in row["finding"] for row in rows]
        findings = pd.Series(["COVID-19" if yes else row["finding"] for yes, row in zip(covid, rows, strict=True)], dtype=object)
        counts = pd.Series(patients, dtype=object).groupby(findings).transform("nunique")
        return build_table(
            {
                "sample_id": [place.sample_id for place in self.places],
                "patient_id": patients,
                "site": [None] * len(rows),
                "target": [int(yes) for yes in covid] if target == "covid19" else findings.where(counts >= min_patients, "Other"),
                "meta_sex": [row["sex"] for row in rows],
                "meta_view": [row["view"] for row in rows],
                "meta_age_group": [_age_group(row["age"]) for row in rows],
                "meta_country": [row["location"] and row["location"].rsplit(",", 1)[-1].strip() for row in rows],
            }
        )

    def __len__(self) -> int:
        return len(self.table)

    def paths_of(self, index: int) -> dict[str, list[Path]]:
        """The files of each modality of a row."""
        return {"image": [self.root / "images" / self.rows[index]["filename"]]}

    def __getitem__(self, index: int) -> Sample:
        row = self.rows[index]
        inputs: dict[str, Any] = {"image": read_image(self.root / "images" / row["filename"], self.places[index])}
        if row["clinical_notes"] is not None:
            inputs["text"] = row["clinical_notes"]
        values = {name: float(row[name]) if name == "age" and row[name] is not None else row[name] for name in self.columns}
        if any(value is not None for value in values.values()):
            inputs["tabular"] = values
        return sample(self.table, index, inputs)


def _joined_patients(patients: Sequence[str], pictures: Sequence[str]) -> list[str]:
    """Patient of each row, where patients who share a picture are one: the first id of each connected part."""
    patient, _ = pd.factorize(np.array(patients, dtype=object))
    picture, names = pd.factorize(np.array(pictures, dtype=object))
    links = coo_matrix((np.ones(len(patient)), (patient + len(names), picture)), shape=(len(names) + patient.max(initial=-1) + 1,) * 2)
    part = connected_components(links, directed=False)[1][picture]
    first: dict[int, str] = {}
    return [first.setdefault(int(number), str(name)) for number, name in zip(part, patients, strict=True)]


def _age_group(age: str | None) -> str | None:
    if age is None:
        return None
    return "under 40" if float(age) < 40 else "40 to 59" if float(age) < 60 else "60 and over"
