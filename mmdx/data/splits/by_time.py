"""Folds by time: train on what came before, test on what came after."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mmdx.data.splits.fold import Fold, check_classes, count, share
from mmdx.data.stratify import Cohort
from mmdx.errors import InputError


class ByTime:
    """Train before, validate between, test after: temporal validation (Moons et al. 2015, TRIPOD, doi:10.7326/M14-0698, type 2b; Steyerberg
    2019, Clinical Prediction Models, chapter 17).

    A patient belongs to the part in which the first row falls, as one who was enrolled then. Rows of that patient that lie after the
    part's end are in no part: when the model was made nobody had them, and a test on them would be on patients whom it knows. So
    every row trained on is earlier than every row validated on, and both are earlier than every row tested, and equal times are never
    parted. Nothing is drawn and nothing is stratified.

    With several folds the window moves and what lies before it grows, as in scikit-learn's ``TimeSeriesSplit(folds, test_size=test n)``: the
    last fold tests on the latest share ``test`` of all rows, the one before it on the share before that.

    Args:
        column: of the data set's ``meta_`` columns the one with a date (ISO 8601) or a number for each row.
        test: share of all rows that each fold tests on, as near as times and patients allow.
        val: share of the rows before the test part to validate on, the latest of them.
        folds: number of windows.
    """

    def __init__(self, column: str = "time", test: float = 0.2, val: float = 0.15, folds: int = 1) -> None:
        self.column, self.test, self.val = str(column).removeprefix("meta_"), share("test", test), share("val", val)
        self.n_folds = count("folds", folds, 1)
        if folds * test >= 1:
            raise InputError(f"split.folds={folds}: with split.test={test} nothing is left to train on; give fewer folds or a smaller test part.")

    def folds(self, table: pd.DataFrame, labels: np.ndarray | None = None) -> list[Fold]:
        """One fold named "by_time", or several named "window0", "window1", ... in the order of time."""
        time, cohort = times(table, self.column), Cohort.of(table, labels)
        entry = pd.Series(time).groupby(cohort.groups).transform("min").to_numpy()
        cuts = [_cut(entry, 1 - k * self.test) for k in range(self.n_folds, 0, -1)]
        if len(set(cuts)) < len(cuts):
            raise InputError(
                f"split.folds={self.n_folds}: the {cohort.unit} come in at {len(np.unique(entry))} different times, too few for that many windows; "
                "give fewer folds."
            )
        window, made = np.searchsorted(cuts, entry, side="right"), []
        for number, cut in enumerate(cuts):
            before = (entry < cut) & (time < cut)
            start = _cut(entry[before], 1 - self.val)
            train, val = before & (entry < start) & (time < start), before & (entry >= start)
            name = "by_time" if self.n_folds == 1 else f"window{number}"
            made.append(check_classes(Fold(name, *map(np.flatnonzero, (train, val, window == number + 1))), cohort))
        return made


def _cut(entry: np.ndarray, before: float) -> float:
    """The time, of those at which some patient comes in, whose share of rows before it is nearest to the one asked for."""
    times, earlier = np.unique(np.sort(entry), return_index=True)
    if len(times) < 2:
        raise InputError("split=by_time: all that is to be parted comes in at one time; give a column with more times, or use another split.")
    return times[1:][np.abs(earlier[1:] - before * len(entry)).argmin()]


def times(table: pd.DataFrame, column: str) -> np.ndarray:
    """Of each row a number that grows with time, from dates or numbers.

    Raises:
        InputError: where there is no such column, or a time is missing or cannot be read.
    """
    name, key = f"meta_{column}", f"split.column={column}"
    if name not in table:
        there = ", ".join(c.removeprefix("meta_") for c in map(str, table) if c.startswith("meta_")) or "none"
        raise InputError(f"{key}: the data has no column {name}; there are: {there}. A manifest hands a column on by data.meta='[{column}]'.")
    values = table[name]
    read = _read(values)
    odd = (read.isna() | read.isin([np.inf, -np.inf])).to_numpy()
    if odd.any():
        first = int(odd.argmax())
        found = "is missing" if pd.isna(values.iloc[first]) else f"is '{values.iloc[first]}', no date or number"
        more = f", and {odd.sum() - 1} more cannot be used" if odd.sum() > 1 else ""
        mend = "write dates as 2019-12-31, leave such rows out, or use another split"
        raise InputError(f"{key}: the time of sample '{table['sample_id'].iloc[first]}' {found}{more}; {mend}.")
    is_date = pd.api.types.is_datetime64_any_dtype(read)
    return read.to_numpy(dtype="datetime64[us]").astype(np.int64) if is_date else read.to_numpy(dtype=float)


def _read(values: pd.Series) -> pd.Series:
    """Times or numbers, whichever more of the values are; what cannot be read is missing."""
    if pd.api.types.is_datetime64_any_dtype(values):
        return values
    if pd.api.types.is_numeric_dtype(values):
        return values.astype(float)
    text = values.astype(str)
    numbers, dates = pd.to_numeric(text, errors="coerce"), pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
    return numbers if numbers.notna().sum() > dates.notna().sum() else dates
