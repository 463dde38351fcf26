"""What a check finds: file, row, kind and one sentence; the kinds there are; and which kind a reader's fault is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from mmdx.errors import SampleError

ERROR, WARNING = "error", "warning"

KINDS: dict[str, str] = {
    "table": "the table cannot be read or used as it is",
    "missing": "a file that is named is not there",
    "outside": "a path leads out of the table's folder",
    "empty": "a file has no bytes, samples, pixels or text",
    "unreadable": "a file is damaged or of another type",
    "truncated": "a file is cut short",
    "silent": "a sound, or a channel or most of it, is zero or nearly so",
    "constant": "a sound or an image has one value only",
    "not_finite": "NaN or infinite values",
    "clipped": "a sound or an image is cut off at its largest or smallest value",
    "rate": "a sampling rate that is not the one asked for, or not that of the others",
    "channels": "a sound or signal with other channels than the others, or without the one asked for",
    "mode": "an image with another value type or colour than the others",
    "shape": "one image where a volume is expected",
    "series": "a folder that is not one DICOM series: slices missing, twice, of several series, or of another size",
    "spacing": "a volume that does not state the distance between its voxels, where one is asked for",
    "scale": "values beyond what the file says it can hold, or in other units than the others",
    "size": "an image or sound far larger, smaller, longer or shorter than the others",
    "orientation": "an image that its file says is to be turned, or a volume with other axes than the others or none stated",
    "encoding": "text that is not in the stated encoding, or was damaged by a wrong one",
    "id": "an empty sample id",
    "duplicate_id": "a sample id that is there twice",
    "label": "an empty label, or one that is none",
    "split": "a split other than train, val and test",
    "no_modality": "a row without any modality",
    "classes": "a target with one class only",
    "patient_in_two_splits": "a patient on both sides of a split",
    "age": "an age that is none, below 0 or above 120",
    "date": "a date that is none, before 1900 or in the future, or a birth after another date of the row",
    "duplicate": "the same content twice",
    "duplicate_across_splits": "the same content on both sides of a split",
    "duplicate_across_patients": "the same content under two patients",
    "duplicate_with_other_label": "the same content with another label",
    "near_duplicate": "nearly the same content twice",
    "near_duplicate_across_splits": "nearly the same content on both sides of a split",
    "near_duplicate_across_patients": "nearly the same content under two patients",
    "near_duplicate_with_other_label": "nearly the same content with another label",
    "personal": "what may identify a person: a filled DICOM attribute, a pattern in text",
    "row": "another fault of a row that the data set's own reader found",
}
"""Every kind with what it means."""

ENDS = (
    "truncat|end of file|eof|end-of-stream|less than expected|expected [0-9]+ bytes|unexpected end|broken data stream"
    "|match the expected amount"
)
"""Words by which decoders tell that a file ends too early."""
FAULTS: tuple[tuple[str, str], ...] = (
    ("file '' lies outside", "outside"),
    ("file '' is missing", "missing"),
    ("has 0 bytes|has no (samples|pixels|text)|has no path|holds no file", "empty"),
    ("file '' is a folder", "unreadable"),
    ("is cut short", "truncated"),
    ("DICOM series", "series"),
    ("states no spacing|cannot be read at spacing", "spacing"),
    (f"cannot be read.*({ENDS})", "truncated"),
    ("cannot be read", "unreadable"),
    ("has values beyond", "scale"),
    ("not finite", "not_finite"),
    ("is silent", "silent"),
    ("is constant", "constant"),
    ("channel named|channels named|no channel|channels of different", "channels"),
    ("sampling rate", "rate"),
    ("expected a volume", "shape"),
    ("is not text in", "encoding"),
    ("is already in row|second time", "duplicate_id"),
    ("expected train, val or test", "split"),
    ("no modality at all", "no_modality"),
    ("label", "label"),
    ("^[^:]*: column '' is empty", "id"),
    ("age '' is not", "age"),
)
"""Words of a fault's sentence, quoted parts taken out, and its kind; the first that is there holds."""


class Finding(NamedTuple):
    """One thing that is wrong.

    Attributes:
        file: the file, as the table names it; the table itself where no single file is at fault; a sample's id where a data set
            does not tell its files.
        row: row of the table, counted from 1 without the header; None where it is no single row.
        kind: one of ``KINDS``.
        severity: "error" or "warning".
        message: one sentence.
    """

    file: str
    row: int | None
    kind: str
    severity: str
    message: str


def kind_of_fault(sentence: str) -> str:
    """The kind of a fault that a reader or a data set told in a sentence."""
    bare = re.sub(r"'[^']*'", "''", sentence)
    return next((kind for words, kind in FAULTS if re.search(words, bare, re.IGNORECASE)), "row")


def without_advice(fault: SampleError) -> str:
    """A fault's sentence without the advice on running with it."""
    return str(fault).split(" Remove the row, or set data.on_error")[0]


def without_place(sentence: str) -> str:
    """A sentence without the table and row in front."""
    return re.sub(r"^[^:']*, row \d+: ", "", sentence)


def of_fault(fault: SampleError, table: str) -> Finding:
    """The finding for a fault that a data set set aside."""
    message = without_advice(fault)
    return Finding(fault.file or table, fault.row, kind_of_fault(message), ERROR, message)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, errors first, then by row, file and kind."""
    return sorted(dict.fromkeys(findings), key=lambda f: (f.severity != ERROR, f.row or 0, f.file, f.kind, f.message))
