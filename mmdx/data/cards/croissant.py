"""A card as Croissant JSON-LD, for programs: https://docs.mlcommons.org/croissant, version 1.1 with the RAI vocabulary 1.0."""

from __future__ import annotations

import itertools
import logging
import re
from typing import Any

from mmdx.data.cards.count import Counts
from mmdx.data.cards.groups import Group
from mmdx.data.cards.source import Section, Source, Table, is_gap
from mmdx.errors import InputError

CONFORMS = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
_TERMS = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileProperty fileObject fileSet format includes isArray "
    "isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source subField transform"
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    **{term: f"cr:{term}" for term in _TERMS.split()},
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
}
_EMPHASIS = re.compile(r"(?<![\w*/-])(\*{1,2})([^*\s](?:[^*]*[^*\s])?)\1(?![\w*/])")
_TABLE_RULE = re.compile(r"^\|[\s|:-]*-[\s|:-]*\|[ \t]*$", re.MULTILINE)
_TABLE_ROW = re.compile(r"^\|(.*)\|[ \t]*$", re.MULTILINE)
TABLES = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".parquet": "application/x-parquet",
    ".pq": "application/x-parquet",
    ".xml": "text/xml",
}
"""Media types of tables, as mlcroissant names them where it reads them."""
ONE = ("dataCollection", "dataCollectionMissingData", "dataCollectionRawData", "dataSocialImpact", "dataReleaseMaintenancePlan")
"""RAI properties that have one value; the others have a list, an entry for each point of a section."""
CONTENTS = {"image": "sc:ImageObject", "audio": "sc:AudioObject", "video": "sc:VideoObject"}


def croissant(source: Source, counts: Counts | None) -> dict[str, Any]:
    """The card as JSON-LD. What is still to be filled in is left out.

    Paths are relative to the data set's folder. A table that was counted is a file with its SHA-256; one that was not is a set of files,
    which has none. The counts are a record set of their own, ``counts``, with null for what is hidden or not known.
    """
    sets = [_record_set(name, table, source, counts) for name, table in source.tables.items() if table.columns] + _counted(counts)
    known: dict[str, str] = {}
    facts = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS,
        "name": source.name,
        "alternateName": plain(source.title),
        "description": plain(source.description),
        "url": source.url,
        "license": source.licence_url or plain(source.licence),
        "creator": [{"@type": f"sc:{kind}", "name": name} for one in source.creators for kind, name in one.items() if not is_gap(name)],
        "citeAs": plain(source.cite),
        "version": source.version,
        "datePublished": source.published,
        **_rai(source.sections),
        "distribution": _without_spaces(_distribution(source, counts), known),
        "recordSet": _without_spaces(sets, known),
    }
    return {key: value for key, value in facts.items() if value and not (isinstance(value, str) and is_gap(value))}


def _rai(sections: list[Section]) -> dict[str, Any]:
    found: dict[str, list[str]] = {}
    for section in sections:
        if section.rai and not is_gap(section.text):
            text = section.text.strip()
            points = re.split(r"^- |\n\n(?=\S)", text, flags=re.MULTILINE) if re.search(r"^- ", text, re.MULTILINE) else [text]
            found.setdefault(section.rai, []).extend(plain(point) for point in points if point.strip())
    return {f"rai:{name}": " ".join(values) if name in ONE else values for name, values in found.items()}


def _distribution(source: Source, counts: Counts | None) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for name, table in source.tables.items():
        encoding = TABLES.get(table.file[table.file.rfind(".") :].lower(), "text/plain")
        files = counts.tables.get(name, []) if counts else []
        if not files or (table.columns and len(files) > 1):
            parts.append(_file_set(table.file, table.file, encoding, table.what))
            continue
        for file in files:
            entry = {"@type": "cr:FileObject", "@id": file.path, "name": file.path, **_described(table.what), "contentUrl": file.path}
            parts.append({**entry, "contentSize": f"{file.size} B", "encodingFormat": encoding, "sha256": file.sha256})
    for name, one in source.modalities.items():
        if one.files:
            measured = counts.modalities.get(name) if counts else None
            what = f"{one.what}: {measured.files}; {measured.content}" if measured and measured.files else one.what
            parts.append(_file_set(f"files/{name}", one.files, one.format, what))
    return parts


def _file_set(identity: str, pattern: str, encoding: str, what: str) -> dict[str, Any]:
    """A set of files; ``**/`` stands for any folders below or none, but mlcroissant takes it for one at least, so both are given."""
    includes = [pattern, pattern.replace("**/", "")] if "**/" in pattern else pattern
    return {"@type": "cr:FileSet", "@id": identity, "name": identity, **_described(what), "includes": includes, "encodingFormat": encoding}


def _without_spaces(part: Any, known: dict[str, str]) -> Any:
    """The same part without white space in an ``@id``, where mlcroissant refuses it; ``known`` has the ``@id`` of each name."""
    if isinstance(part, list):
        return [_without_spaces(one, known) for one in part]
    if not isinstance(part, dict):
        return part
    return {key: _identity(one, known) if key == "@id" else _without_spaces(one, known) for key, one in part.items()}


def _identity(name: str, known: dict[str, str]) -> str:
    if name not in known:
        identity = "_".join(name.split())
        while identity in known.values():
            identity += "_"
        known[name] = identity
    return known[name]


def _record_set(name: str, table: Table, source: Source, counts: Counts | None) -> dict[str, Any]:
    files = counts.tables.get(name, []) if counts else []
    origin = {"fileObject": {"@id": files[0].path}} if len(files) == 1 else {"fileSet": {"@id": table.file}}
    fields = []
    for column, one in table.columns.items():
        entry = _field(f"{name}/{column}", column, one.what, f"sc:{one.type}", {**origin, "extract": {"column": column}})
        fields.append(entry)
        if one.names:
            files_of = {"fileSet": {"@id": f"files/{one.names}"}}
            entry["references"] = {**files_of, "extract": {"fileProperty": "filename"}}
            kind = CONTENTS.get(source.modalities[one.names].format.split("/")[0], "sc:Text")
            what = source.modalities[one.names].what
            content = f"{one.names}_content" if one.names in table.columns else one.names
            fields.append(_field(f"{name}/{content}", content, what, kind, {**files_of, "extract": {"fileProperty": "content"}}))
    return {"@type": "cr:RecordSet", "@id": name, "name": name, **_described(table.what), "field": fields}


def _field(identity: str, name: str, what: str, kind: str, where: dict[str, Any]) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": identity, "name": name, **_described(what), "dataType": kind, "source": where}


def _described(what: str) -> dict[str, str]:
    return {} if is_gap(what) else {"description": plain(what)}


def _counted(counts: Counts | None) -> list[dict[str, Any]]:
    if counts is None:
        return []
    fields = [
        {"@type": "cr:Field", "@id": f"counts/{name}", "name": name, "dataType": "sc:Text" if name in ("what", "value") else "sc:Integer"}
        for name in Group._fields
    ]
    data = [{f"counts/{name}": value for name, value in group._asdict().items()} for group in counts.groups]
    what = f"The cohort, counted by mmdx data card {counts.how}; empty where not known or fewer than {counts.smallest}."
    return [{"@type": "cr:RecordSet", "@id": "counts", "name": "counts", "description": what, "field": fields, "data": data}]


def plain(text: str) -> str:
    """Markdown as one line of plain text; code stays as it is, the cells of a table are parted by commas and its rows by semicolons."""
    text = " ".join(_TABLE_ROW.sub(_row, _TABLE_RULE.sub("", text)).split())
    code = re.findall(r"`[^`]*`", text)
    text = re.sub(r"`[^`]*`", "\0", text)  # a star in code is no emphasis, but emphasis may hold code
    text = _EMPHASIS.sub(r"\2", re.sub(r"\[([^\]]*)\]\(([^)]*)\)", r"\1 (\2)", text))
    return "".join(part for pair in itertools.zip_longest(text.split("\0"), code, fillvalue="") for part in pair)


def _row(match: re.Match[str]) -> str:
    return ", ".join(cell.strip() for cell in match[1].split("|")) + ";"


def validate(card: dict[str, Any]) -> list[str]:
    """What mlcroissant warns of.

    Raises:
        InputError: where mlcroissant is not installed, or refuses the card.
    """
    try:
        import mlcroissant
    except ImportError:
        raise InputError("validating a card needs mlcroissant: pip install 'mmdx[cards]'") from None
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # it logs the very warnings that are returned
    try:
        return sorted(str(issue) for issue in mlcroissant.Dataset(jsonld=card).metadata.ctx.issues.warnings)
    except mlcroissant.ValidationError as fault:
        raise InputError(f"{card['name']}: mlcroissant refuses the card: {' '.join(str(fault).split())}") from None
    finally:
        logger.setLevel(level)
