"""Rows, patients and positives by group, with groups that are too small to publish put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

SMALL = 5
"""A group of fewer patients than this is hidden unless asked for."""
UNKNOWN = "not known"


class Group(NamedTuple):
    """One line of the counts; a number is None where it is not known, or hidden.

    Attributes:
        what: what the rows are told apart by.
        value: the group.
        positive: rows whose binary target is 1.
    """

    what: str
    value: str
    rows: int | None
    patients: int | None
    positive: int | None


def units_of(table: pd.DataFrame) -> pd.Series:
    """Of each row whom it stands for: the patient, or the row itself where its patient is not known."""
    rows = pd.Series([("row", index) for index in range(len(table))], index=table.index, dtype=object)
    return table["patient_id"].where(table["patient_id"].notna(), rows)


def group_rows(what: str, values: Iterable[Any], units: Iterable[Any], positive: Iterable[Any] | None, patients: bool, smallest: int) -> list[Group]:
    """The rows by value.

    Values of fewer than ``smallest`` units become one group, "others (n)", without their names. It takes in the next smallest values
    until it has that many units itself, so that it cannot be had by subtraction either. Positives are hidden where some but fewer than
    ``smallest`` units are positive, or are negative; where this is so of one group only, also in the smallest other one.

    Args:
        what: name of the partition.
        values: value of each row; None where it is not known.
        units: whom each row stands for.
        positive: 1 where the row's target is positive; None where the target is not binary.
        patients: whether units are patients.
        smallest: units of the smallest group that is shown; 0 or 1 shows all.
    """
    names = [UNKNOWN if pd.isna(value) else str(value) for value in values]
    frame = pd.DataFrame({"name": names, "unit": pd.Series(list(units), dtype=object)})
    frame["positive"] = pd.Series([None] * len(frame) if positive is None else list(positive), dtype=object)
    pooled = pooled_values(frame["name"], frame["unit"], smallest)
    frame["name"] = frame["name"].where(~frame["name"].isin(pooled), f"others ({len(pooled)})")
    order = sorted(set(frame["name"]), key=lambda name: (name.startswith("others (") and bool(pooled), name == UNKNOWN, _natural(name)))
    parts = [frame[frame["name"] == name] for name in order]
    hidden = _hidden_positives(parts, smallest) if positive is not None else set(range(len(parts)))
    groups = []
    for number, (name, part) in enumerate(zip(order, parts, strict=True)):
        count = part["unit"].nunique()
        if count < smallest:
            groups.append(Group(what, name, None, None, None))
            continue
        ill = None if number in hidden else int((part["positive"] == 1).sum())
        groups.append(Group(what, name, len(part), count if patients else None, ill))
    return groups


def pooled_values(names: pd.Series, units: pd.Series, smallest: int) -> list[str]:
    """Values that are to be put together, so that neither they nor what they make together is a small group."""
    sizes = units.groupby(names).nunique().sort_values(kind="stable")
    few = int((sizes < smallest).sum())
    while 0 < few < len(sizes) and units[names.isin(sizes.index[:few])].nunique() < smallest:
        few += 1
    return [str(name) for name in sizes.index[:few]]


def _hidden_positives(parts: Sequence[pd.DataFrame], smallest: int) -> set[int]:
    """Which groups' positives are not shown."""
    hidden = set()
    for number, part in enumerate(parts):
        sides = [part.loc[(part["positive"] == 1) == side, "unit"].nunique() for side in (True, False)]
        if any(0 < count < smallest for count in sides):
            hidden.add(number)
    others = sorted(set(range(len(parts))) - hidden, key=lambda number: len(parts[number]))
    return hidden | set(others[:1]) if len(hidden) == 1 else hidden


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), "") if name.isdigit() else (1, 0, name)
