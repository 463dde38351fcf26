"""The table of a sweep: ``sweep.csv`` and ``sweep.md``, a row a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mmdx.files import write_atomically, write_text
from mmdx.sweep.space import Interval, Space

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

DIGITS = 4


def write_table(folder: Path, space: Space, objectives: Mapping[str, str], trials: Sequence[FrozenTrial]) -> None:
    """Write both files: number, state, values, parameters, folder (within the sweep's), reason of a failure, seconds."""
    table = table_of(space, objectives, trials)
    write_atomically(folder / "sweep.csv", lambda path: table.to_csv(path, index=False))
    write_text(folder / "sweep.md", _markdown(table, space, objectives))


def table_of(space: Space, objectives: Mapping[str, str], trials: Sequence[FrozenTrial]) -> pd.DataFrame:
    """The table, in the order of the trials' numbers."""
    rows = []
    for trial in trials:
        complete = trial.state.name == "COMPLETE"
        row: dict[str, Any] = {"number": trial.number, "state": trial.state.name}
        row |= {name: trial.values[k] if complete else None for k, name in enumerate(objectives)}
        row |= {key: space.parameters[key].text(trial.params[key]) if key in trial.params else None for key in space.parameters}
        row |= {"folder": str(trial.number), "reason": trial.user_attrs.get("reason", ""), "seconds": trial.user_attrs.get("seconds")}
        rows.append(row)
    return pd.DataFrame(rows)


def _markdown(table: pd.DataFrame, space: Space, objectives: Mapping[str, str]) -> str:
    """The table for people: the best first under one objective, then what was pruned or failed."""
    first, way = next(iter(objectives.items()))
    if len(objectives) == 1:
        table = table.sort_values(first, ascending=way == "minimize", na_position="last", kind="stable")
    for key in (key for key, parameter in space.parameters.items() if isinstance(parameter, Interval)):
        table = table.assign(**{key: pd.to_numeric(table[key])})
    lines = [" | ".join(map(str, table)), " | ".join("---" for _ in table.columns)]
    lines += [" | ".join(map(_cell, row)) for row in table.itertuples(index=False)]
    told = ", ".join(f"{name} ({way}d)" for name, way in objectives.items())
    return f"# Sweep by {told}\n\n" + "\n".join(f"| {line} |" for line in lines) + "\n"


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    text = f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
