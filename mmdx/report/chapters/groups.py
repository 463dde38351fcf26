"""For whom the model does worse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmdx.report.parts import Block, Chapter, Drawing, Note, Table, Text, Warnings
from mmdx.report.plots.forest import Row, forest
from mmdx.report.run_folder import RunFolder
from mmdx.report.wording import count, digits_of, in_sentence, interval, intervals_of, joined, known, number, p_value, plain, title

SHOWN = ("auroc", "sensitivity", "false_positive_rate", "ppv", "selection_rate", "calibration_in_the_large", "ece", "brier")
DRAWN = ("auroc", "sensitivity", "false_positive_rate")
MOST_ROWS = 28
Named = tuple[str, str, dict[str, Any]]


def chapter(run: RunFolder) -> Chapter | None:
    """Dots and intervals of every group, gaps with adjusted p, and the groups that are too small; None where the kind has no such section."""
    section = run.section("groups")
    if not section and not run.sectioned:
        return None
    columns = list(each_column(section))
    blocks: list[Block] = []
    if not columns:
        told = "No groups were looked at: predictions have no meta_ column with groups, and no sample lacks a modality."
        blocks.append(Note(told, f"mmdx score {run.name}"))
    small = too_small(section)
    minimum, unit = int(section.get("minimum") or 0), run.unit
    if small:
        blocks.append(Warnings([f"Too small to judge (fewer than {count(minimum, unit)}), so not given as numbers: {joined(small)}."]))
    for metric in DRAWN:
        blocks += _drawn(metric, [c for c in columns if " x " not in c[1]])
    if columns:
        blocks += [table for table in (_gaps(section, columns), _table(columns)) if table.rows]
    for output, name, column in columns:
        if column.get("reason"):
            blocks.append(Text(f"{plain(_name(output, name))}: {column['reason']}."))
    skipped = section.get("skipped") or {}
    if skipped:
        blocks.append(Text("Columns that give no groups: " + "; ".join(f"{plain(name)} ({why})" for name, why in skipped.items()) + "."))
    return Chapter("groups", "Groups", blocks)


def each_column(section: dict[str, Any]) -> Iterator[Named]:
    """Outcome, name and content of every column that was looked at."""
    if isinstance(section.get("outputs"), dict):
        for output, own in section["outputs"].items():
            yield from ((output, name, column) for name, column in (own.get("columns") or {}).items() if isinstance(column, dict))
    else:
        yield from (("", name, column) for name, column in (section.get("columns") or {}).items() if isinstance(column, dict))


def too_small(section: dict[str, Any]) -> list[str]:
    """Groups that are too small to be judged, with their sizes."""
    found: dict[str, str] = {}
    for _, name, column in each_column(section):
        for label, group in (column.get("groups") or {}).items():
            if group.get("too_small"):
                size = group.get("n_units", group.get("n", "?"))
                found.setdefault(f"{name} {label}", f"{plain(name)} {plain(label)} ({size})")
    return list(found.values())


def _name(output: str, name: str) -> str:
    return f"{output}, {name}" if output else name


def _drawn(metric: str, columns: list[Named]) -> Iterator[Drawing]:
    rows: list[Row] = []
    left = 0
    for output, name, column in columns:
        own = []
        for label, group in (column.get("groups") or {}).items():
            entry = (group.get("entries") or {}).get(metric)
            if known(entry):
                own.append(Row(f"{label} ({group.get('n', '?')})", entry, 0))
            else:
                own.append(Row(f"{label} ({group.get('n', '?')})", None, 0, "too small"))
        if len(rows) + len(own) + 1 > MOST_ROWS:
            left += 1
        elif any(row.entry for row in own):
            rows += [Row(_name(output, name)), *own]
    if rows:
        more = f" {left} further columns are in the table." if left else ""
        caption = f"{title(metric)} in each group; beside its name the number of its rows.{more} {intervals_of(row.entry for row in rows)}."
        yield Drawing(f"groups_{metric}", f"{title(metric)} in groups", caption, forest(rows, title(metric)))


def _gaps(section: dict[str, Any], columns: list[Named]) -> Table:
    rows: list[tuple[str, list[Any]]] = []
    entries = []
    for output, name, column in columns:
        for gap, entry in (column.get("gaps") or {}).items():
            if not isinstance(entry, dict):
                continue
            between = joined(map(str, entry["between"])) if entry.get("between") else None
            rows.append((_name(output, name), [title(gap), entry, between, entry.get("p"), entry.get("p_adjusted")]))
            entries.append(entry)
    correction = str(section.get("correction", "")).capitalize()
    caption = f"Gaps between groups, largest minus smallest. Adjusted p: {correction}, {section.get('tests', '?')} tests. {intervals_of(entries)}."
    return Table("gaps", caption, "Column", ["Gap", "Size", "Between", "p", "Adjusted p"], rows, folded=len(rows) > 12)


def _table(columns: list[Named]) -> Table:
    shown = [
        m for m in SHOWN if any(m in (g.get("entries") or {}) for _, _, c in columns for g in (c.get("groups") or {}).values())
    ]
    heads = [title(m) for m in shown] or ["Metrics"]
    rows: list[tuple[str, list[Any]]] = []
    for output, name, column in columns:
        for label, group in (column.get("groups") or {}).items():
            entries = group.get("entries") or {}
            told: list[Any] = [entries.get(m) for m in shown] if entries else ["too small"] + [None] * (len(heads) - 1)
            rows.append((_name(output, name), [label, group.get("n"), *told]))
    return Table("groups", "Every group.", "Column", ["Group", "n", *heads], rows, folded=True)


def sentences(run: RunFolder) -> Iterator[str]:
    """For whom the model does worse, for the summary."""
    section = run.section("groups")
    gaps = [(name, gap, e) for _, name, c in each_column(section) for gap, e in (c.get("gaps") or {}).items() if known(e) and e.get("p") is not None]
    shown = [g for g in gaps if g[2].get("p_adjusted") is not None and float(g[2]["p_adjusted"]) < 0.05]
    tests = section.get("tests", len(gaps))
    if shown:
        name, gap, entry = max(shown, key=lambda g: abs(g[2]["value"]))
        yield f"The largest gap that holds after correction for {tests} tests is the {_told(name, gap, entry)}."
    elif gaps:
        name, gap, entry = min(gaps, key=lambda g: float(g[2]["p"]))
        yield (
            f"No gap between groups holds after correction for {tests} tests, which does not show that there is none. The strongest sign is the "
            f"{_told(name, gap, entry)}."
        )
    small = too_small(section)
    if small:
        listed = small[:6] + ([f"{len(small) - 6} more"] if len(small) > 6 else [])
        yield f"Groups too small to judge: {joined(listed)}."


def _told(name: str, gap: str, entry: dict[str, Any]) -> str:
    between = entry.get("between") or []
    where = f", {plain(between[0])} against {plain(between[1])}" if len(between) == 2 else ""
    digits = digits_of(entry, 0.0)
    inside = [interval(entry, digits)]
    if entry.get("p_adjusted") is not None:
        inside.append(f"adjusted {p_value(entry['p_adjusted'])}")
    return f"{in_sentence(gap)} by {plain(name)}{where}: {number(entry['value'], digits)} ({'; '.join(inside)})"
