"""Runs as one Parquet table: a row a run, a column a key of the config, a metric, a fact of the record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmdx.files import write_atomically
from mmdx.runs.read import Run
from mmdx.runs.then_and_now import leaves

FACTS = ("begun", "ended", "mmdx", "python", "code", "data_fingerprint", "revision", "timings", "peak_memory_gib", "hardware", "split")


def export(runs: Sequence[Run], path: Path) -> None:
    """Write the table.

    Columns: ``run``, ``state``, ``problem``, ``kind``, ``minutes``; ``choice.GROUP``; ``config.KEY``; ``record.KEY``; and of each metric
    ``metric.SECTION/SUBSET/NAME`` with ``_low``, ``_high`` and ``_n``. A column whose values are of several types holds them as JSON text.
    """
    rows = [_row(run) for run in runs]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    table = pa.table(columns) if names else pa.table({"run": pa.array([], pa.string())})
    write_atomically(path, lambda temporary: pq.write_table(table, temporary))


def _row(run: Run) -> dict[str, Any]:
    row: dict[str, Any] = {"run": run.name, "state": run.state, "problem": run.problem, "kind": run.kind, "minutes": run.minutes}
    row |= {f"choice.{group}": part for group, part in run.choices.items()}
    row |= {f"config.{key}": value for key, value in run.config.items()}
    row |= {f"record.{key}": value for key, value in leaves({key: run.record[key] for key in FACTS if run.record.get(key) is not None})}
    for name, entry in run.metrics.items():
        row[f"metric.{name}"] = _float(entry["value"])
        row |= {f"metric.{name}_{part}": _float(entry[part]) for part in ("low", "high")}
        row[f"metric.{name}_n"] = entry["n"]
    return row


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _column(values: list[Any]) -> pa.Array:
    """Values of one type as that type, of whole and other numbers as numbers, of several as JSON text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int} and all(abs(value) < 2**63 for value in values if value is not None):
        return pa.array(values, pa.int64())
    if kinds and kinds <= {int, float}:
        return pa.array([_float(value) for value in values], pa.float64())
    if kinds <= {str}:
        return pa.array(values, pa.string())
    return pa.array([None if value is None else json.dumps(value, sort_keys=True) for value in values], pa.string())
