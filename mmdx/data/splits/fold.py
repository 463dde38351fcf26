"""One division of a cohort, and what every division is checked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mmdx.data.stratify import Cohort, deal
from mmdx.errors import InputError

PARTS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Fold:
    """One division of a cohort; each part holds row positions of the table, in ascending order."""

    name: str
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


class Split(Protocol):
    """What makes folds."""

    def folds(self, table: pd.DataFrame, labels: np.ndarray | None = None) -> list[Fold]:
        """Folds of a cohort.

        Args:
            table: a data set's table.
            labels: what to stratify by, [n] classes or [n, L] of which 1 is positive; None takes the table's target.

        Raises:
            InputError: where the cohort is too small for it, or a part has one class only.
        """
        ...


def check_split(fold: Fold, table: pd.DataFrame) -> Fold:
    """The fold itself, where its parts share no row and no patient.

    Raises:
        InputError: where they do, naming the first row or patient and the parts.
    """
    for kind in ("patient", "sample"):
        ids = table[f"{kind}_id"]
        codes, names = pd.factorize(ids.astype(str).where(ids.notna()))  # a missing one is -1
        side = np.full(len(names), -1)
        for number, part in enumerate(PARTS):
            here = codes[getattr(fold, part)]
            here = here[here >= 0]
            both = here[(side[here] >= 0) & (side[here] != number)]
            if len(both):
                name, other = min((str(names[code]), PARTS[side[code]]) for code in np.unique(both))
                raise InputError(f"split {fold.name}: {kind} '{name}' is in {other} and in {part}. Put all its rows into one part.")
            side[here] = number
    return fold


def rows_of(ids: pd.Series, table: pd.DataFrame) -> np.ndarray:
    """Of each sample id its row in a data set's table, -1 where it has none."""
    wanted, there = (pa.array(column.astype(str), type=pa.large_string()) for column in (ids, table["sample_id"]))
    return np.asarray(pc.index_in(wanted, value_set=there).fill_null(-1).to_numpy(zero_copy_only=False))


def check_classes(fold: Fold, cohort: Cohort, both_classes: Sequence[str] = PARTS) -> Fold:
    """The fold itself, where no part is empty and the parts named have at least two classes.

    Raises:
        InputError: where that isn't so.
    """
    for name in PARTS:
        rows = getattr(fold, name)
        key = {"train": "split.folds", "val": "split.val", "test": "split.folds or split.test"}[name]
        mend = f"The data has {cohort.count}; change {key}, or give more data."
        if len(rows) == 0:
            raise InputError(f"split {fold.name}: no sample is left for its {name} part. {mend}")
        one_class = cohort.labels.ndim == 1 and (cohort.label[rows] == cohort.label[rows[0]]).all()
        if name in both_classes and one_class:
            label = cohort.labels[rows[0]]
            raise InputError(f"split {fold.name}: its {name} part has only one class ({label}) in {len(rows)} samples. {mend}")
    return fold


def fold_with(
    name: str, cohort: Cohort, test: np.ndarray, val: float, rng: np.random.Generator, both_classes: Sequence[str] = PARTS
) -> Fold:
    """A fold from a test mask [n], its validation rows drawn from the rest.

    Raises:
        InputError: where a part is empty, or one of those named has one class only.
    """
    rest = np.flatnonzero(~test)
    part = deal(cohort, rest, [1 - val, val], rng)
    return check_classes(Fold(name, rest[part == 0], rest[part == 1], np.flatnonzero(test)), cohort, both_classes)


def share(name: str, value: float) -> float:
    """An argument that must be a share.

    Raises:
        InputError: where it isn't between 0 and 1.
    """
    if not 0 < value < 1:
        raise InputError(f"split.{name}={value}: must be greater than 0 and less than 1.")
    return float(value)


def count(name: str, value: int, least: int) -> int:
    """An argument that must be a whole number.

    Raises:
        InputError: where it isn't, or is less than ``least``.
    """
    if not isinstance(value, int) or value < least:
        raise InputError(f"split.{name}={value}: must be a whole number, at least {least}.")
    return value
