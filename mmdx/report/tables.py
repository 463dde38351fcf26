"""Tables as the page shows them, and as CSV files."""

from __future__ import annotations

import csv
import io
from typing import Any

from mmdx.report.parts import Cell, Table
from mmdx.report.wording import bounded, known, number

COLUMNS = ("value", "low", "high", "n", "n_units", "unit", "method", "p", "p_adjusted", "reason")


def shown(cell: Cell, digits: int) -> dict[str, Any]:
    """A cell for the page: its ``text``, what stands ``below`` it in small letters, ``why`` it says nothing, and whether it is a ``number``."""
    found: dict[str, Any] = {"text": "–", "below": "", "why": "", "number": True}
    if cell is None:
        return found
    if isinstance(cell, dict):
        if not known(cell):
            return found | {"why": str(cell.get("reason") or "not defined")}
        below = f"{number(cell['low'], digits)} to {number(cell['high'], digits)}" if bounded(cell) else "no interval"
        return found | {"text": number(cell["value"], digits), "below": below, "why": str(cell.get("reason") or "")}
    if isinstance(cell, bool) or not isinstance(cell, (int, float)):
        return found | {"text": str(cell), "number": False}
    if isinstance(cell, int):
        return found | {"text": f"{cell:,}"}
    return found | {"text": f"{cell:.1e}" if 0 < abs(cell) < 0.5 * 10**-digits else number(cell, digits)}


def csv_of(table: Table) -> str:
    """A table in long form, one line a cell: the first column, which column, and what the entry holds, unrounded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([table.head.lower(), "row", "measure", *COLUMNS])
    for place, (first, cells) in enumerate(table.rows, 1):
        for column, cell in zip(table.columns, cells, strict=True):
            entry = cell if isinstance(cell, dict) else {"value": cell}
            writer.writerow([first, place, column, *("" if entry.get(c) is None else entry[c] for c in COLUMNS)])
    return out.getvalue()
