"""The source of a card for a user's own data: what the data says by itself, and what its owner has to say (Gebru et al. 2021)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from mmdx.data.cards.count import files_of, folder_of
from mmdx.data.cards.source import GAP
from mmdx.data.columns import TABULAR
from mmdx.data.table_file import read_table

FORMATS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
    ".dcm": "image/dicom",
    ".dicom": "image/dicom",
    ".nii": "application/x-nifti",
    ".gz": "application/x-nifti",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".mp3": "audio/mpeg",
    ".txt": "text/plain",
}
QUESTIONS = (
    ("Motivation", "dataUseCases", "For what was the data set made, by whom, and who paid for it?"),
    ("Composition", "dataLimitations", "Whom does a row stand for, how were they chosen, and who or what is missing?"),
    ("Collection", "dataCollection", "How, where, when and with which devices was it recorded? Did patients agree, and which ethics board?"),
    ("Labels", "dataAnnotationProtocol", "Who made the labels, from what, by which rule, and how often do two of them agree?"),
    ("Preprocessing", "dataPreprocessingProtocol", "What was cleaned, cut, converted or left out, and is the raw data kept?"),
    ("Personal data", "personalSensitiveInformation", "What can identify a person, and how was it removed?"),
    ("Before you trust a score", "dataBiases", "What goes with the label and is not the disease: site, device, note, what is missing?"),
    ("Uses", "", "What was it used for, and for what should it not be used?"),
    ("Distribution and maintenance", "dataReleaseMaintenancePlan", "Who may have it on which terms, who looks after it, how are errors mended?"),
)
"""The parts of a datasheet, as sections: title, RAI property, and the question to answer (Gebru et al. 2021, Commun ACM 64(12):86, shortened)."""
OPEN = {
    "title": "one line",
    "description": "what it is, in a sentence or two",
    "url": "its page, or where to ask for it",
    "licence": "an SPDX identifier, or the terms of use in a sentence",
    "creators": "",
    "cite": "the publication to cite; delete this line where there is none",
    "version": "such as 1.0.0",
    "published": "year-month-day",
    "row": "what one row is, and the format of its files",
    "target": "what each label means and who decides on it",
    "patient": "whom patient_id stands for, and whether anyone can be there twice",
}
KNOWN = {"sample_id": "the row's own id", "patient_id": "the patient", "site": "hospital or source", "split": "train, val or test"}
"""What the columns of these roles mean."""
HEAD = """\
# The card of {name}: fill in what begins with TO FILL, then run `mmdx data card` again with the same words (docs/cards.md).
# Nothing here was taken from the text of a patient. Values may be Markdown.
"""


def skeleton(dataset: Any, name: str) -> str:
    """The YAML text of a source with its gaps marked, from the columns and roles of a manifest, or the modalities of any other data set."""
    lines = [HEAD.format(name=name).rstrip()]
    for key, question in OPEN.items():
        lines.append("creators: [TO FILL]" if key == "creators" else f"{key}: {_gap(question)}")
        if key == "target":
            lines += ["modalities:", *(_modality(dataset, one) for one in dataset.modalities)]
    if dataset.table["site"].notna().any():
        lines.append(f"site: {_gap('what a site is, and how sites differ')}")
    if hasattr(dataset, "roles"):
        lines += _table(dataset)
    lines.append("sections:")
    for title, rai, question in QUESTIONS:
        lines += [f"  - title: {title}", *([f"    rai: {rai}"] if rai else []), f"    text: {_gap(question)}"]
    return "\n".join(lines) + "\n"


def _gap(question: str) -> str:
    return json.dumps(f"{GAP}: {question}", ensure_ascii=False)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _modality(dataset: Any, name: str) -> str:
    root, paths_of = folder_of(dataset), files_of(dataset)
    paths = [path for index in range(len(dataset)) for path in paths_of(index).get(name, [])] if root else []
    files = f", {_files(paths, root)}" if root and paths else ""
    return f"  {_quoted(name)}: {{what: {_gap('what it holds, and when and by whom it was made')}{files}}}"


def _files(paths: list[Path], root: Path) -> str:
    """A pattern that all files fit, and the media type of most."""
    folders = [path.parent.relative_to(root) for path in paths]
    common = Path(os.path.commonpath(folders)) if len(set(folders)) > 1 else folders[0]
    suffixes = sorted((path.suffix for path in paths), key=str.lower)
    common_suffix = max(set(suffixes), key=suffixes.count)
    pattern = ("**/" if len(set(folders)) > 1 else "") + (f"*{common_suffix}" if len(set(suffixes)) == 1 else "*")
    kind = FORMATS.get(common_suffix.lower(), "application/octet-stream")
    return f"files: {_quoted((common / pattern).as_posix())}, format: {kind}"


def _table(dataset: Any) -> list[str]:
    frame = read_table(dataset.path, "data.path")
    lines = ["tables:", "  samples:", f"    file: {_quoted(dataset.path.name)}", f"    what: {_gap('what one row is')}"]
    if patient := dataset.ids.get("patient_id"):
        lines.append(f"    patient: {_quoted(patient)}")
    lines.append("    columns:")
    return lines + [f"      {_quoted(column)}: {_column(frame[column], role)}" for column, role in dataset.roles.items()]


def _column(cells: pd.Series, role: str) -> str:
    if role in KNOWN:
        return _quoted(KNOWN[role])
    if role.endswith(")") and not role.endswith(f"({TABULAR})"):
        return _quoted(f"of the modality {role}")
    kind = _type(cells)
    shown = TABULAR if role == f"{TABULAR} ({TABULAR})" else role
    return f"{{what: {_gap(f'meaning and unit; read as {shown}')}" + ("}" if kind == "Text" else f", type: {kind}}}")


def _type(cells: pd.Series) -> str:
    numbers = pd.to_numeric(cells.dropna(), errors="coerce")
    if numbers.isna().any() or numbers.empty:
        return "Text"
    return "Integer" if bool((numbers % 1 == 0).all()) and not cells.dropna().str.contains(r"[.eE]").any() else "Float"
