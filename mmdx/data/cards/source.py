"""What the one source of a card holds: facts and prose that no program can count."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

GAP = "TO FILL"
"""What a value begins with that its author has yet to give."""
TYPES = ("Text", "Integer", "Float", "Boolean", "Date", "URL")
"""Types of a column, by schema.org's names."""
RAI = (
    "dataCollection",
    "dataCollectionType",
    "dataCollectionMissingData",
    "dataCollectionRawData",
    "dataPreprocessingProtocol",
    "dataAnnotationProtocol",
    "dataUseCases",
    "dataLimitations",
    "dataBiases",
    "dataSocialImpact",
    "personalSensitiveInformation",
    "dataReleaseMaintenancePlan",
)
"""Properties of Croissant's vocabulary for responsible AI (RAI 1.0) that a section can be the value of: those whose name is the same in the
specification and in mlcroissant."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        what: its meaning, with the unit.
        type: one of ``TYPES``.
        names: the modality whose files the column names by their bare file name; empty for none.
    """

    what: str
    type: str = "Text"
    names: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the data set, a record set in Croissant.

    Args:
        file: its path in the data set's folder, or a pattern such as ``training-*/REFERENCE.csv``.
        what: what one row is.
        patient: the column that names the patient, for small groups; empty where there is none.
        columns: by name; none where the table has no header.
    """

    file: str
    what: str
    patient: str = ""
    columns: dict[str, Column] = field(default_factory=dict)


@dataclass(frozen=True)
class Modality:
    """A modality; ``files`` is a pattern such as ``images/*`` and ``format`` their media type, both empty where it has no files."""

    what: str
    files: str = ""
    format: str = ""


@dataclass(frozen=True)
class Section:
    """A section of prose in Markdown; ``rai`` is the property in ``RAI`` that it is the value of, or empty."""

    title: str
    text: str
    rai: str = ""


@dataclass(frozen=True)
class Source:
    """What is known of a data set without counting; every text may be Markdown.

    Args:
        name: of the data set; the file's.
        title: one line.
        description: what it is, in a sentence or two.
        url: its page.
        licence: its name, an SPDX identifier where there is one, or a sentence.
        licence_url: where it can be read; may be missing.
        creators: persons, or ``{Organization: NAME}``.
        version: of the data.
        published: the date, year-month-day.
        row: what one row is, and the format of its files.
        target: the labels and how they are coded.
        modalities: by name.
        patient: whether patients are known.
        cite: the publication to cite.
        site: what a site is.
        layout: what the folder ``data.root`` holds.
        overrides: what the data set needs beside ``data.root``, such as ``data.subset=pneumoniamnist``.
        tested_on: whether its loader was tried on the real files.
        tables: by name of the record set.
        sections: prose.
    """

    name: str
    title: str
    description: str
    url: str
    licence: str
    creators: list[dict[str, str]]
    version: str
    published: str
    row: str
    target: str
    modalities: dict[str, Modality]
    patient: str
    licence_url: str = ""
    cite: str = ""
    site: str = ""
    layout: str = ""
    overrides: str = ""
    tested_on: str = ""
    tables: dict[str, Table] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)

    def gaps(self) -> list[str]:
        """Keys that are still to be filled in, such as ``tables.samples.columns.age.what``."""
        return [key for key, value in _texts(dataclasses.asdict(self), "") if is_gap(value)]


def is_gap(text: str) -> bool:
    """Whether a value is still to be given."""
    return text.lstrip().startswith(GAP)


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Every text below a value, with its key."""
    if isinstance(value, str):
        yield key, value
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, one in pairs:
        yield from _texts(one, f"{key}.{name}" if key else str(name))
