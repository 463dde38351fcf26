"""Which groups of test rows are looked at: of each ``meta_`` column, of two of them crossed, and of what a sample lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

PREFIX = "meta_"
MOST = 20
"""Values of a column that are still groups."""
FEW = 6
"""Different numbers of a column that are groups as they are; more are cut into bands."""
BANDS: Mapping[str, Sequence[float]] = {"age": (18, 40, 60, 80)}
"""Where the bands of a numeric column begin, by its name without ``meta_``; other columns are cut at their quartiles."""


@dataclass(frozen=True)
class Grouping:
    """A way to divide rows into groups.

    Attributes:
        name: of the column without ``meta_``, ``missing MODALITY``, or two columns joined by " x ".
        code: [n], number of each row's group; -1 where it is not known.
        labels: names of the groups.
        crossed: whether two columns were joined.
    """

    name: str
    code: np.ndarray
    labels: tuple[str, ...]
    crossed: bool = False


def groupings(rows: pd.DataFrame, full: str, bands: Mapping[str, Sequence[float]] = BANDS, most: int = MOST) -> tuple[list[Grouping], dict[str, str]]:
    """Every way to divide the rows, and the columns that give none with the reason why.

    Args:
        rows: of the full set of modalities, with ``meta_`` columns and, where known, ``present``.
        full: name of that set.
        bands: where the bands of numeric columns begin.
        most: values of a column that are still groups; two crossed columns have no more groups than that either.
    """
    columns: list[Grouping] = []
    skipped: dict[str, str] = {}
    for column in sorted(str(c) for c in rows if str(c).startswith(PREFIX)):
        name = column.removeprefix(PREFIX)
        found = _grouping(name, rows[column], bands)
        if not found.labels:
            skipped[name] = "no row has a value"
        elif len(found.labels) > most:
            skipped[name] = f"{len(found.labels)} different values; at most {most} are taken for groups"
        else:
            columns.append(found)
    several = [grouping for grouping in columns if len(grouping.labels) > 1]
    crossed = [cross(one, two) for one, two in combinations(several, 2) if len(one.labels) * len(two.labels) <= most]
    return columns + _missing(rows, full) + [grouping for grouping in crossed if len(grouping.labels) > 1], skipped


def _grouping(name: str, values: pd.Series, bands: Mapping[str, Sequence[float]]) -> Grouping:
    known = (values.notna() & (values.astype(str).str.strip() != "")).to_numpy()
    numbers = pd.to_numeric(values.where(known), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    numeric = bool(known.any()) and not np.isnan(numbers[known]).any() and values.dtype != bool
    if numeric and (name in bands or len(np.unique(numbers[known])) > FEW):
        return _banded(name, numbers, known, bands)
    if numeric:
        text = pd.Series([f"{number:g}" if here else None for number, here in zip(numbers, known, strict=True)], dtype=object)
        labels = tuple(f"{number:g}" for number in np.unique(numbers[known]))
    else:
        text = values.where(known).map(str, na_action="ignore").astype(object)
        labels = tuple(sorted(text[known].unique()))
    return Grouping(name, pd.Index(labels, dtype=object).get_indexer(pd.Index(text)), labels)


def _banded(name: str, numbers: np.ndarray, known: np.ndarray, bands: Mapping[str, Sequence[float]]) -> Grouping:
    if name in bands:
        edges = np.asarray(bands[name], dtype=np.float64)
    else:
        edges = np.unique(np.quantile(numbers[known], [0.25, 0.5, 0.75]))
        edges = edges[edges > numbers[known].min()]
    code = np.where(known, np.searchsorted(edges, np.where(known, numbers, 0.0), side="right"), -1)
    inner = [f"{low:g} to below {high:g}" for low, high in pairwise(edges)]
    names = [f"below {edges[0]:g}", *inner, f"{edges[-1]:g} and over"] if len(edges) else ["all"]
    there = [k for k in range(len(names)) if (code == k).any()]
    again = np.full(len(names) + 1, -1)
    again[there] = np.arange(len(there))
    return Grouping(name, again[code], tuple(names[k] for k in there))


def _missing(rows: pd.DataFrame, full: str) -> list[Grouping]:
    """For each modality that some of the rows lack and others have: whether a row lacks it."""
    if "present" not in rows:
        return []
    kinds = {present: set(str(present).split("+")) for present in rows["present"].unique()}
    found = []
    for modality in full.split("+"):
        lacks = rows["present"].map({present: modality not in there for present, there in kinds.items()}).to_numpy(bool)
        if lacks.any() and not lacks.all():
            found.append(Grouping(f"missing {modality}", lacks.astype(int), ("there", "missing")))
    return found


def cross(one: Grouping, two: Grouping) -> Grouping:
    """The groups of those that are in a group of one and a group of another grouping; combinations that nobody is in are left out."""
    both = np.where((one.code < 0) | (two.code < 0), -1, one.code * len(two.labels) + two.code)
    there = np.unique(both[both >= 0])
    labels = tuple(f"{one.labels[k // len(two.labels)]}, {two.labels[k % len(two.labels)]}" for k in there)
    code = np.where(both < 0, -1, np.searchsorted(there, both))
    return Grouping(f"{one.name} x {two.name}", code, labels, crossed=True)
