"""Runs on a terminal: a table of many, and two beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from mmdx.runs.choose import check_key
from mmdx.runs.read import BROKEN, Run
from mmdx.runs.then_and_now import differences

COLUMNS = ("run", "state", "data", "fusion", "seed", "n")
LAST = ("begun", "minutes")


def table_of(runs: Sequence[Run], columns: Sequence[str] = ()) -> Group:
    """A row a run; a metric stands with its 95 % interval.

    Args:
        runs: in the order to show them.
        columns: what is shown beside the run's name; none takes state, data, fusion, seed, n, the main metrics, when it began and how long it took.

    Raises:
        InputError: for a column that no run has.
    """
    for name in columns:
        check_key(runs, name, "--columns")
    chosen = ["run", *(name for name in columns if name != "run")] if columns else [*COLUMNS, *_primaries(runs), *LAST]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in chosen:
        table.add_column(escape(name), overflow="fold", justify="left" if name in ("run", "state", "data", "fusion", "begun") else "right")
    for run in runs:
        table.add_row(*(escape(cell(run, name)) for name in chosen))
    counts = Counter(run.state for run in runs)
    below = [f"{len(runs)} runs: {', '.join(f'{count} {state}' for state, count in counts.most_common())}." if runs else "no runs."]
    below += [f"{run.name}: {run.problem}." for run in runs if run.state == BROKEN]
    return Group(table, *(escape(line) for line in below))


def cell(run: Run, name: str) -> str:
    """What stands in a column."""
    entry = run.entry(name) if name not in run.config and name not in run.choices else None
    return told(entry) if entry is not None else _short(run.value(name) if name != "seed" else run.value("seeds") or run.value("seed"))


def told(entry: Any) -> str:
    """A scored entry: value and interval."""
    if entry is None or entry.get("value") is None:
        return "-"
    interval = f" [{entry['low']:.3f}, {entry['high']:.3f}]" if entry.get("low") is not None and entry.get("high") is not None else ""
    return f"{entry['value']:.3f}{interval}"


def beside(one: Run, other: Run) -> Group:
    """Two runs: metrics, then what differs in config, code, packages, machine and data; which is better with what certainty says ``mmdx compare``."""
    scores = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("metric", one.name, other.name, "difference"):
        scores.add_column(escape(name), overflow="fold", justify="left" if name == "metric" else "right")
    for name in [*one.metrics, *(name for name in other.metrics if name not in one.metrics)]:
        first, second = one.metrics.get(name), other.metrics.get(name)
        before, after = ((entry or {}).get("value") for entry in (first, second))
        apart = f"{after - before:+.3f}" if before is not None and after is not None else "-"
        if name.startswith(("test/", "retrained/")):
            scores.add_row(escape(name), told(first), told(second), apart)
    settings = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("what differs", one.name, other.name):
        settings.add_column(escape(name), overflow="fold")
    for row in _unlike(one, other):
        settings.add_row(*map(escape, row))
    parts = ((scores, "scores in either"), (settings, "differences in what is recorded"))
    found = [table if table.row_count else f"no {what}." for table, what in parts]
    return Group(*found, f"whether one is better, on common rows and with tests: mmdx compare {escape(str(one.folder))} {escape(str(other.folder))}")


def _unlike(one: Run, other: Run) -> Iterator[tuple[str, str, str]]:
    for group in sorted(one.choices.keys() | other.choices.keys()):
        if one.choices.get(group) != other.choices.get(group):
            yield group, _short(one.choices.get(group)), _short(other.choices.get(group))
    before, after = ({**run.record, "config": run.config} for run in (one, other))
    if before.get("data_fingerprint") != after.get("data_fingerprint"):
        yield "data fingerprint", _short(before.get("data_fingerprint")), _short(after.get("data_fingerprint"))
    for difference in differences(before, after):
        yield f"{difference.kind}: {difference.name}", _short(difference.then), _short(difference.now)


def _primaries(runs: Sequence[Run]) -> list[str]:
    """The main metrics of the runs, the most frequent first, three at most."""
    return [name for name, _ in Counter(run.primary for run in runs if run.primary).most_common(3)]


def _short(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
