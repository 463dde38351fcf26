"""Splits: which samples train, validate and test, with every patient on one side and labels and sites spread evenly.

All splits have ``folds(table, labels) -> list[Fold]``. What they do follows from the table's content and the seed, and not from the order
of its rows. Validation rows are a share ``val`` of those that are not in the test part, taken in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

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


class HoldOut:
    """One test part, drawn once.

    Args:
        test: share of all rows to test on.
        val: share of the other rows to validate on.
        seed: of the draw.
    """

    def __init__(self, test: float = 0.2, val: float = 0.15, seed: int = 0) -> None:
        self.test, self.val, self.seed = _share("test", test), _share("val", val), seed

    def folds(self, table: pd.DataFrame, labels: np.ndarray | None = None) -> list[Fold]:
        """One fold, named "holdout"."""
        cohort = Cohort.of(table, labels)
        if cohort.n_groups < 3:
            raise InputError(f"split=holdout: the data has {cohort.count}, and train, val and test need one each.")
        part = deal(cohort, np.arange(len(table)), [1 - self.test, self.test], np.random.default_rng([self.seed, 0]))
        return [_fold("holdout", cohort, part == 1, self.val, np.random.default_rng([self.seed, 1]))]


class KFold:
    """k folds; every row is in exactly one test part.

    Args:
        folds: number of folds, at least 2.
        val: share of the rows outside the test part to validate on.
        seed: of the draw.
    """

    def __init__(self, folds: int = 5, val: float = 0.15, seed: int = 0) -> None:
        self.n_folds, self.val, self.seed = _count("folds", folds, 2), _share("val", val), seed

    def folds(self, table: pd.DataFrame, labels: np.ndarray | None = None) -> list[Fold]:
        """Folds named "fold0", "fold1", ..."""
        return _k_folds(Cohort.of(table, labels), self.n_folds, self.val, [self.seed], "")


class Repeated:
    """k folds, several times with other draws.

    Args:
        repeats: number of times, at least 2.
        folds: number of folds, at least 2.
        val: share of the rows outside the test part to validate on.
        seed: of the draws.
    """

    def __init__(self, repeats: int = 5, folds: int = 5, val: float = 0.15, seed: int = 0) -> None:
        self.repeats, self.n_folds = _count("repeats", repeats, 2), _count("folds", folds, 2)
        self.val, self.seed = _share("val", val), seed

    def folds(self, table: pd.DataFrame, labels: np.ndarray | None = None) -> list[Fold]:
        """Folds named "repeat0_fold0", "repeat0_fold1", ..., "repeat1_fold0", ..."""
        cohort = Cohort.of(table, labels)
        repeats = (_k_folds(cohort, self.n_folds, self.val, [self.seed, r], f"repeat{r}_") for r in range(self.repeats))
        return [fold for folds in repeats for fold in folds]


class LeaveOneSiteOut:
    """Each site is the test part once, and the other sites train and validate. A site may have one class only; its metrics are then
    undefined.

    Args:
        val: share of the other sites' rows to validate on.
        seed: of the draw.
    """

    def __init__(self, val: float = 0.15, seed: int = 0) -> None:
        self.val, self.seed = _share("val", val), seed

    def folds(self, table: pd.DataFrame, labels: np.ndarray | None = None) -> list[Fold]:
        """One fold a site, named as the site, in alphabetical order."""
        unknown = int(table["site"].isna().sum())
        if unknown:
            raise InputError(f"split=leave_one_site_out: the site of {unknown} of {len(table)} samples is not known; use another split.")
        sites = sorted(table["site"].unique())
        if len(sites) < 2:
            raise InputError(f"split=leave_one_site_out: all samples are from site {sites[0]}, and at least two sites are needed.")
        cohort, site = Cohort.of(table, labels), table["site"].to_numpy()
        made = []
        for i, name in enumerate(sites):
            fold = _fold(str(name), cohort, site == name, self.val, np.random.default_rng([self.seed, i]), ("train", "val"))
            made.append(check_split(fold, table))
        return made


class Given:
    """The parts that the table's column ``split`` gives.

    Args:
        val: share of the training rows to validate on where the table names no validation rows.
        seed: of that draw.
    """

    def __init__(self, val: float = 0.15, seed: int = 0) -> None:
        self.val, self.seed = _share("val", val), seed

    def folds(self, table: pd.DataFrame, labels: np.ndarray | None = None) -> list[Fold]:
        """One fold, named "given"."""
        if "split" not in table:
            raise InputError("split=given: the data set has no column split; use split=holdout or split=kfold.")
        split = table["split"].to_numpy()
        odd = sorted({str(value) for value in split} - set(PARTS))
        if odd:
            raise InputError(f"split=given: the column split holds '{odd[0]}', expected train, val or test.")
        missing = {"train", "test"} - set(split)
        if missing:
            raise InputError(f"split=given: the column split has no {min(missing)} row.")
        cohort, positions = Cohort.of(table, labels), {name: np.flatnonzero(split == name) for name in PARTS}
        check_split(Fold("given", **positions), table)
        if len(positions["val"]):
            return [_check_classes(Fold("given", **positions), cohort, PARTS)]
        return [_fold("given", cohort, split == "test", self.val, np.random.default_rng(self.seed))]


def check_split(fold: Fold, table: pd.DataFrame) -> Fold:
    """The fold itself, where its parts share no row and no patient.

    Raises:
        InputError: where they do, naming the first row or patient and the parts.
    """
    ids = table["sample_id"].astype(str).to_numpy()
    patients = [None if pd.isna(patient) else str(patient) for patient in table["patient_id"]]
    seen: dict[tuple[str, str], str] = {}
    for name in PARTS:
        rows = getattr(fold, name)
        here = {("sample", ids[row]) for row in rows} | {("patient", patients[row]) for row in rows if patients[row] is not None}
        for kind, value in sorted(here):
            other = seen.setdefault((kind, value), name)
            if other != name:
                raise InputError(f"split {fold.name}: {kind} '{value}' is in {other} and in {name}. Put all its rows into one part.")
    return fold


def _k_folds(cohort: Cohort, n_folds: int, val: float, seed: list[int], prefix: str) -> list[Fold]:
    if cohort.n_groups < n_folds:
        raise InputError(f"split.folds={n_folds}: the data has {cohort.count}, fewer than folds; give at most {cohort.n_groups}.")
    part = deal(cohort, np.arange(len(cohort.groups)), [1 / n_folds] * n_folds, np.random.default_rng([*seed, 0]))
    return [_fold(f"{prefix}fold{k}", cohort, part == k, val, np.random.default_rng([*seed, 1, k])) for k in range(n_folds)]


def _fold(
    name: str, cohort: Cohort, test: np.ndarray, val: float, rng: np.random.Generator, both_classes: Sequence[str] = PARTS
) -> Fold:
    """A fold from a test mask [n], its validation rows drawn from the rest."""
    rest = np.flatnonzero(~test)
    part = deal(cohort, rest, [1 - val, val], rng)
    return _check_classes(Fold(name, rest[part == 0], rest[part == 1], np.flatnonzero(test)), cohort, both_classes)


def _check_classes(fold: Fold, cohort: Cohort, both_classes: Sequence[str]) -> Fold:
    """The fold itself, where no part is empty and the parts named have at least two classes."""
    for name in PARTS:
        rows = getattr(fold, name)
        key = {"train": "split.folds", "val": "split.val", "test": "split.folds or split.test"}[name]
        mend = f"The data has {cohort.count}; change {key}, or give more data."
        if len(rows) == 0:
            raise InputError(f"split {fold.name}: no sample is left for its {name} part. {mend}")
        classes = sorted({str(label) for label in cohort.labels[rows]}) if cohort.labels.ndim == 1 else []
        if name in both_classes and len(classes) == 1:
            raise InputError(f"split {fold.name}: its {name} part has only one class ({classes[0]}) in {len(rows)} samples. {mend}")
    return fold


def _share(name: str, value: float) -> float:
    if not 0 < value < 1:
        raise InputError(f"split.{name}={value}: must be greater than 0 and less than 1.")
    return float(value)


def _count(name: str, value: int, least: int) -> int:
    if not isinstance(value, int) or value < least:
        raise InputError(f"split.{name}={value}: must be a whole number, at least {least}.")
    return value
