"""Indiana University chest X-ray reports (Open-i): free text, normal or not, or several findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mmdx.data.table_file import read_table
from mmdx.data.tables import Place, build_table, check_classes, need_columns, need_folder, sample
from mmdx.errors import InputError, SampleError

if TYPE_CHECKING:
    from mmdx.types import Sample

TEXTS = ("indication", "comparison", "findings", "impression")
TARGETS = ("abnormal", "problems")
NORMAL, UNINDEXED = "normal", "No Indexing"


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
        root: folder that holds ``indiana_reports.csv``.
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
        self.root = need_folder(root, "indiana_reports.csv")
        self.columns = dict(modalities)
        self.modalities: tuple[str, ...] = tuple(self.columns)
        rows = read_table(self.root / "indiana_reports.csv", "data.root")
        need_columns(rows, {f"data=openi_reports, {name}": name for name in ("uid", "Problems", *TEXTS)}, "indiana_reports.csv")
        self.faults: list[SampleError] = []
        rows = rows[self._sound(rows)]
        silent = rows[list(self.columns.values())].isna().all(axis=1)
        unindexed = (rows["Problems"] == UNINDEXED) & (target == "abnormal")
        self.left_out = {"without text": int(silent.sum()), "not indexed": int((unindexed & ~silent).sum())}
        rows = rows[~silent & ~unindexed]
        used = self.columns.items()
        self.record = rows[list(TEXTS)].reset_index(drop=True)
        self.texts = [{name: row[column] for name, column in used if row[column] is not None} for row in rows.to_dict("records")]
        found = [{part.strip() for part in cell.split(";")} for cell in rows["Problems"]]
        labels = {"target": [int(names != {NORMAL}) for names in found]} if target == "abnormal" else _labels(found, problems)
        self.table = build_table({"sample_id": rows["uid"], "patient_id": rows["uid"], "site": [None] * len(rows), **labels})
        check_classes(self.table, "indiana_reports.csv")

    def _sound(self, rows: pd.DataFrame) -> list[bool]:
        """Of each row whether it can be used; what is wrong with the others goes to ``faults``."""
        sound: list[bool] = []
        first: dict[str, int] = {}
        for number, uid, problems in zip(rows.index, rows["uid"], rows["Problems"], strict=True):
            place = Place("indiana_reports.csv", int(number), str(uid or ""), str(self.root))
            if uid is None or problems is None:
                self.faults.append(place.fault(f"'{'uid' if uid is None else 'Problems'}' is empty"))
            elif first.setdefault(uid, number) != number:
                self.faults.append(place.fault(f"report {uid} is already in row {first[uid]}"))
            sound.append(uid is not None and problems is not None and first.get(uid) == number)
        return sound

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Sample:
        return sample(self.table, index, dict(self.texts[index]))


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
