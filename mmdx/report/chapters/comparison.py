"""Other runs beside this one, where ``mmdx compare`` has left its result in the folder."""

from __future__ import annotations

from typing import Any

from mmdx.report.parts import Block, Chapter, Lines, Table
from mmdx.report.run_folder import RunFolder
from mmdx.report.wording import title


def chapter(run: RunFolder) -> Chapter | None:
    """Every table that the comparison holds; None where there is none."""
    found = run.comparison
    if not found:
        return None
    blocks: list[Block] = []
    for name, own in found.items():
        rows = _rows(own)
        if rows:
            columns = list(dict.fromkeys(key for _, row in rows for key in row))
            cells = [(first, [_cell(row.get(c)) for c in columns]) for first, row in rows]
            blocks.append(Table(f"comparison_{len(blocks)}", f"{title(name)}.", "Run", [title(c) for c in columns], cells))
        elif isinstance(own, str):
            blocks.append(Lines(title(name), own))
    return Chapter("comparison", "Comparison with other runs", blocks) if blocks else None


def _rows(own: Any) -> list[tuple[str, dict[str, Any]]]:
    """A list of records, or records by name, as rows with their first cell."""
    if isinstance(own, list) and own and all(isinstance(row, dict) for row in own):
        return [(_name(row, k), row) for k, row in enumerate(own, 1)]
    if isinstance(own, dict) and own and all(isinstance(row, dict) for row in own.values()):
        return [(str(name), {"value": row} if "value" in row else row) for name, row in own.items()]
    return []


def _name(row: dict[str, Any], number: int) -> str:
    return next((str(row[key]) for key in ("run", "name", "runs", "between") if key in row), str(number))


def _cell(cell: Any) -> Any:
    if isinstance(cell, dict) and "value" in cell:
        return cell
    if isinstance(cell, (list, tuple, dict)):
        return ", ".join(map(str, cell))
    return cell
