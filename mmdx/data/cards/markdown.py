"""A card as Markdown, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmdx.data.cards.count import Counts
from mmdx.data.cards.groups import Group
from mmdx.data.cards.source import Source

MARK = "<!-- Made by mmdx data card"
"""What every card begins with, by which the command knows its own files."""


def markdown(source: Source, counts: Counts | None) -> str:
    """The whole card; without counts it says how to have them."""
    mark = f"{MARK} from {source.name}.yaml: change that file, not this one. -->"
    parts = [f"{mark}\n# {source.title.strip()}", source.description.strip(), _facts(source)]
    parts += ["## Counts", _not_counted(source) if counts is None else _intro(counts)]
    if counts is not None:
        parts += [_group_table(counts), _modality_table(counts)]
    parts += [part for name in source.tables for part in _columns(source, name, counts)]
    parts += [f"## {section.title}\n{section.text.strip()}" for section in source.sections]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(source: Source) -> str:
    licence = source.licence + (f" (<{source.licence_url}>)" if source.licence_url else "")
    use = f"`{_opened(source)}`, FOLDER holding {source.layout}" if source.layout else ""
    facts = {
        "Use": use,
        "Source": f"<{source.url}>" if source.url.startswith("http") else source.url,
        "Paper": source.cite,
        "Creators": ", ".join(name for one in source.creators for name in one.values()),
        "Licence": licence,
        "Version": f"{source.version}, published {source.published}",
        "Row": source.row,
        "Target": source.target,
        "Modalities": "; ".join(f"`{name}`: {one.what}" for name, one in source.modalities.items()),
        "Site": source.site,
        "Patient": source.patient,
        "Tested on": source.tested_on,
    }
    return _table(["", ""], [[name, value] for name, value in facts.items() if value])


def _not_counted(source: Source) -> str:
    return f"The data was not there to be counted: `mmdx data card {_opened(source)}` fills them in."


def _opened(source: Source) -> str:
    """The overrides that open the data set."""
    return f"data={source.name} " + (f"data.root=FOLDER {source.overrides}".strip() if source.layout else "...")


def _intro(counts: Counts) -> str:
    patients = "of patients who are not known" if counts.patients is None else f"of {counts.patients:,} patients"
    sentences = [f"Counted by `mmdx data card {counts.how}`: {counts.rows:,} rows {patients}, {counts.faults:,} set aside as faulty."]
    if counts.left_out:
        sentences.append("Left out by the reader: " + ", ".join(f"{number:,} {reason}" for reason, number in counts.left_out.items()) + ".")
    if counts.smallest > 1:
        unit = "rows" if counts.patients is None else "patients"
        sentences.append(f'Groups of fewer than {counts.smallest} {unit} are put together as "others" or left empty.')
    return " ".join(sentences)


def _group_table(counts: Counts) -> str:
    head = ["", "", "rows"] + ["patients"] * (counts.patients is not None) + ["positive"] * counts.binary
    rows, last = [], ""
    for group in counts.groups:
        cells = [group.what if group.what != last else "", group.value, _number(group.rows)]
        cells += [_number(group.patients)] * (counts.patients is not None) + [_share(group)] * counts.binary
        rows.append(cells)
        last = group.what
    return _table(head, rows)


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _share(group: Group) -> str:
    return "" if group.positive is None or not group.rows else f"{group.positive:,} ({group.positive / group.rows:.0%})".replace("%", " %")


def _modality_table(counts: Counts) -> str:
    rows = [[f"`{name}`", one.files, one.content] for name, one in counts.modalities.items()]
    return _table(["modality", "files", "content"], rows)


def _columns(source: Source, name: str, counts: Counts | None) -> list[str]:
    table = source.tables[name]
    known = counts.columns.get(name, {}) if counts else {}
    title = f"### `{table.file}`\n{table.what}"
    head = ["column", "type", "meaning", *(["filled", "values"] if known else [])]
    rows = []
    for column, one in table.columns.items():
        there = known.get(column)
        rows.append([f"`{column}`", one.type, one.what, *([there.filled, there.values] if there else ["not there", ""] if known else [])])
    return [title, _table(head, rows)] if rows else [title]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
