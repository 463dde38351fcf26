"""What only the rows together show, and columns of ages and dates."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from math import isfinite

import pandas as pd

from mmdx.data.checks.cohort import Cohort, Entry
from mmdx.data.checks.findings import ERROR, WARNING, Finding
from mmdx.data.table_file import numbers_of

Dates = dict[int, date | None]
"""Of each row its date, None where it cannot be told."""

OLDEST, EARLIEST = 120, 1900
MOSTLY = 0.5
"""A column is one of ages or dates by its name, and where so many of its cells are."""
AGE = re.compile(r"(^|_)age(_|$)|_at_.*age", re.IGNORECASE)
NO_AGE = re.compile(r"group|band|class|bin", re.IGNORECASE)
DATE = re.compile(r"(^|_)(date|dob|datetime|day_of|born|birth)(_|$)|date$", re.IGNORECASE)
BIRTH = re.compile(r"birth|dob|born", re.IGNORECASE)


def table_findings(cohort: Cohort) -> Iterator[Finding]:
    """Patients in several splits, ages, dates, numbers that are not finite."""
    yield from _patients(cohort)
    births: list[tuple[str, Dates]] = []
    others: list[tuple[str, Dates]] = []
    for name in map(str, cohort.frame.columns):
        cells = cohort.frame[name].dropna()
        if cells.empty or cells.map(lambda cell: isinstance(cell, dict | list)).any():
            continue
        cells = cells.astype(str)
        if AGE.search(name) and not NO_AGE.search(name):
            yield from _ages(cells, name, cohort.table)
        elif DATE.search(name):
            dates = _dates(cells)
            (births if BIRTH.search(name) else others).append((name, dates))
            yield from _dates_out_of_range(cells, dates, name, cohort.table)
        elif numbers_of(cells) is not None:
            yield from _not_finite(cells, name, cohort.table)
    yield from _born_after(births, others, cohort.table)


def _patients(cohort: Cohort) -> Iterator[Finding]:
    rows: dict[str, dict[str, Entry]] = defaultdict(dict)
    for entry in cohort.entries:
        if entry.patient and entry.split:
            rows[entry.patient].setdefault(entry.split, entry)
    for patient, splits in rows.items():
        if len(splits) > 1:
            places = " and ".join(f"{split} (row {entry.row})" for split, entry in splits.items())
            message = f"{cohort.table}: patient '{patient}' is in {places}. Put all rows of a patient into one part."
            yield Finding(cohort.table, [*splits.values()][-1].row, "patient_in_two_splits", ERROR, message)


def _at(row: object, table: str, kind: str, sentence: str) -> Finding:
    number = int(str(row))
    return Finding(table, number, kind, WARNING, f"{table}, row {number}: {sentence}.")


def _ages(cells: pd.Series, name: str, table: str) -> Iterator[Finding]:
    years = pd.to_numeric(cells, errors="coerce")
    if years.notna().mean() < MOSTLY:
        return
    for row, cell, age in zip(cells.index, cells, years, strict=True):
        if age != age:
            yield _at(row, table, "age", f"column '{name}' is '{cell}', expected an age in years")
        elif not 0 <= age <= OLDEST:
            yield _at(row, table, "age", f"column '{name}' is {cell}, expected 0 to {OLDEST} years")


FORMS = (
    (re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ].*)?$"), (1, 2, 3)),
    (re.compile(r"(\d{4})(\d{2})(\d{2})$"), (1, 2, 3)),
    (re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})$"), (3, 2, 1)),
)
"""Written dates and where year, month and day stand; in the last form day and month may be the other way round."""


def _dates(cells: pd.Series) -> Dates:
    return {int(str(row)): _date(cell) for row, cell in cells.items()}


def _date(cell: str) -> date | None:
    for form, (year, month, day) in FORMS:
        if found := form.match(cell.strip()):
            parts = [int(found[place]) for place in (year, month, day)]
            for y, m, d in (parts, [parts[0], parts[2], parts[1]] if year == 3 else parts):
                try:
                    return date(y, m, d)
                except ValueError:
                    continue
    return None


def _dates_out_of_range(cells: pd.Series, dates: Dates, name: str, table: str) -> Iterator[Finding]:
    if sum(day is not None for day in dates.values()) < MOSTLY * len(dates):
        return
    latest = date.today() + timedelta(days=1)
    for (row, day), cell in zip(dates.items(), cells, strict=True):
        if day is None:
            if not re.fullmatch(r"(19|20)\d\d([-/.](0?[1-9]|1[0-2]))?", cell):  # a year or month alone is coarse, not wrong
                yield _at(row, table, "date", f"column '{name}' has no date that can be told, as most rows have")
        elif day > latest or day.year < EARLIEST:
            yield _at(row, table, "date", f"column '{name}' has a date {'in the future' if day > latest else f'before {EARLIEST}'} (year {day.year})")


def _born_after(
    births: Sequence[tuple[str, Dates]], others: Sequence[tuple[str, Dates]], table: str
) -> Iterator[Finding]:
    for birth_name, births_of in births:
        for name, dates in others:
            for row, day in dates.items():
                born = births_of.get(row)
                if day is not None and born is not None and born > day:
                    yield _at(row, table, "date", f"'{birth_name}' is after '{name}'")


def _not_finite(cells: pd.Series, name: str, table: str) -> Iterator[Finding]:
    for row, cell in cells.items():
        if not isfinite(float(cell)):
            yield _at(row, table, "not_finite", f"column '{name}' is '{cell}', expected a finite number")
