"""Indiana University chest X-ray reports (Open-i): free text, normal or not, or several findings."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mmdx.data.table_file import read_table
from mmdx.data.tables import Place, build_table, check_classes, need_columns, need_folder, sample
from mmdx.errors import InputError, SampleError

if TYPE_CHECKING:
    from mmdx.types import Sample

TEXTS = ("indication", "comparison", "findings", "impression")
TARGETS = ("abnormal", "problems")
NORMAL, UNINDEXED = "normal", "No Indexing"
TABLE, XML = "indiana_reports.csv", "ecgen-radiology"


class OpeniReports:
    """Reports of the Indiana University chest X-ray collection (Demner-Fushman et al. 2016, JAMIA 23:304), one row a report.

    The labels were made from the report: whoever reads ``findings`` or ``impression`` reads the label. ``indication`` is what was known
    before the X-ray, hence the default. Upstream gives 3,996 reports of 3,996 patients, so ``uid`` stands for sample and patient alike;
    that two reports never share a patient cannot be checked, as no other identifier is published. ``XXXX`` is what upstream's
    de-identification took out, and stays.

    Left out, and counted in ``left_out``: reports without any of the texts asked for, and, for target=abnormal, those whose Problems are
    "No Indexing": nobody labelled them, and to call them abnormal would be wrong (most read normal). For target=problems they are
    unlabelled.

    Args:
        root: folder that holds ``indiana_reports.csv``, or upstream's own ``ecgen-radiology`` of one XML file a report.
        modalities: column (indication, comparison, findings, impression) by name of modality.
        target: "abnormal" is 1 where Problems are other than "normal"; "problems" is one label for each of ``problems``.
        problems: for target=problems the labels: names from the column Problems, or a number for the most frequent ones.

    Attributes:
        record: the texts of each report, by the source's own columns, to be audited.
        left_out: number of reports by reason.

    Raises:
        InputError: where the folder, a column or a label is missing, or an argument is out of range.
    """

    unit = "patient"
    without = "without text"

    def __init__(
        self,
        root: str | Path,
        modalities: Mapping[str, str] = {"text": "indication"},
        target: str = "abnormal",
        problems: int | Sequence[str] = 10,
    ) -> None:
        if target not in TARGETS:
            raise InputError(f"data.target={target}: must be one of {', '.join(TARGETS)}.")
        for name, column in modalities.items():
            if column not in TEXTS:
                raise InputError(f"data.modalities.{name}={column}: must be one of {', '.join(TEXTS)}.")
        self.root = need_folder(root, TABLE)
        self.columns = dict(modalities)
        self.modalities: tuple[str, ...] = tuple(self.columns)
        rows, self.source = _reports(self.root)
        need_columns(rows, {f"data=openi_reports, {name}": name for name in ("uid", "Problems", *TEXTS)}, self.source)
        self.faults: list[SampleError] = []
        rows = rows[self._sound(rows)]
        silent = self._empty(rows)
        unindexed = (rows["Problems"] == UNINDEXED) & (target == "abnormal")
        self.left_out = {self.without: int(silent.sum()), "not indexed": int((unindexed & ~silent).sum())}
        rows = rows[~silent & ~unindexed]
        self.places = [self._place(number, uid) for number, uid in zip(rows.index, rows["uid"], strict=True)]
        used = self.columns.items()
        self.record = rows[list(TEXTS)].reset_index(drop=True)
        self.texts = [{name: row[column] for name, column in used if row[column] is not None} for row in rows.to_dict("records")]
        found = [{part.strip() for part in cell.split(";")} for cell in rows["Problems"]]
        labels = {"target": [int(names != {NORMAL}) for names in found]} if target == "abnormal" else _labels(found, problems)
        self.table = build_table({"sample_id": rows["uid"], "patient_id": rows["uid"], "site": [None] * len(rows), **labels})
        check_classes(self.table, self.source, self.faults)

    def _place(self, number: int, uid: str | None) -> Place:
        return Place(self.source, int(number), uid or "", str(self.root))

    def _sound(self, rows: pd.DataFrame) -> list[bool]:
        """Of each row whether it can be used; what is wrong with the others goes to ``faults``."""
        sound: list[bool] = []
        first: dict[str, int] = {}
        for number, uid, problems in zip(rows.index, rows["uid"], rows["Problems"], strict=True):
            place = self._place(number, uid)
            if uid is None or problems is None:
                self.faults.append(place.fault(f"'{'uid' if uid is None else 'Problems'}' is empty"))
            elif first.setdefault(uid, number) != number:
                self.faults.append(place.fault(f"report {uid} is already in row {first[uid]}"))
            sound.append(uid is not None and problems is not None and first.get(uid) == number)
        return sound

    def _empty(self, rows: pd.DataFrame) -> pd.Series:
        """Of each row whether it has nothing to read."""
        return rows[list(self.columns.values())].isna().all(axis=1)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Sample:
        return sample(self.table, index, dict(self.texts[index]))


def _reports(root: Path) -> tuple[pd.DataFrame, str]:
    """The table of reports and what it was read from."""
    if not (root / TABLE).is_file() and (root / XML).is_dir():
        return xml_tables(root)[0], XML
    return read_table(root / TABLE, "data.root"), TABLE


def xml_tables(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reports and images of Open-i's XML, one file a report, in the form of ``read_table``: cells are strings or None.

    The first has ``uid``, ``MeSH`` (the terms under ``major``), ``Problems`` (the part of each term before its first slash, so it is in the
    table that is in wide use, whose 3,851 rows all follow that rule), ``image`` (the title) and the texts; the second ``uid`` and
    ``filename``. Reports without an image are left out, as there.

    Raises:
        InputError: where a file is not XML, or no report with an image is there.
    """
    reports: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    for path in sorted((root / XML).glob("*.xml"), key=lambda file: (len(file.stem), file.stem)):
        try:
            report = ElementTree.parse(path).getroot()
        except ElementTree.ParseError as fault:
            raise InputError(f"{XML}/{path.name}: not XML ({fault}). Remove the file, or unpack the reports again.") from None
        shown = [image.get("id", "") for image in report.iter("parentImage")]
        uid = _attribute(report, "uId", "id").removeprefix("CXR") or path.stem
        images += [{"uid": uid, "filename": f"{image}.png"} for image in shown]
        if shown:
            reports.append(_report(report, uid))
    if not reports:
        raise InputError(f"{root / XML}: there is no report with an image in it. Give the folder that holds Open-i's {XML}.")
    return tuple(pd.DataFrame(rows, dtype=object, index=range(1, len(rows) + 1)) for rows in (reports, images))  # type: ignore[return-value]


def _report(report: ElementTree.Element, uid: str) -> dict[str, str | None]:
    terms = [(term.text or "").strip() for mesh in report.iter("MeSH") for term in mesh.iter("major")]
    texts = {(text.get("Label") or "").lower(): " ".join((text.text or "").split()) for text in report.iter("AbstractText")}
    row = {"uid": uid, "MeSH": ";".join(terms), "Problems": ";".join(term.split("/")[0] for term in terms)}
    row |= {"image": (report.findtext(".//Article/ArticleTitle") or "").strip()} | {name: texts.get(name, "") for name in TEXTS}
    return {name: cell or None for name, cell in row.items()}


def _attribute(report: ElementTree.Element, tag: str, name: str) -> str:
    found = report.find(f".//{tag}")
    return "" if found is None else found.get(name, "")


def _labels(found: list[set[str]], problems: int | Sequence[str]) -> dict[str, list[int | None]]:
    """Columns ``target_LABEL`` from the Problems of each report: 1, 0, or None where it was not indexed."""
    counts = pd.Series([name for names in found for name in sorted(names - {NORMAL, UNINDEXED})]).value_counts()
    ranked = sorted(counts.index, key=lambda name: (-counts[name], name))
    if isinstance(problems, int):
        if not 1 <= problems <= len(ranked):
            raise InputError(f"data.problems={problems}: must be from 1 to {len(ranked)}, the number of different Problems.")
        labels = ranked[:problems]
    else:
        labels = list(problems)
        if unknown := [name for name in labels if name not in counts.index]:
            raise InputError(f"data.problems: no report has {unknown}. The most frequent are: {'; '.join(ranked[:10])}.")
    return {f"target_{label}": [None if UNINDEXED in names else int(label in names) for names in found] for label in labels}
