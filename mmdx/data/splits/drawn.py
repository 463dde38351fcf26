"""Folds drawn by a seed: once, k-fold, repeated, nested."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mmdx.data.splits.fold import Fold, count, fold_with, share
from mmdx.data.stratify import Cohort, deal
from mmdx.errors import InputError


class HoldOut:
    """One test part, drawn once.

    Args:
        test: share of all rows to test on.
        val: share of the other rows to validate on.
        seed: of the draw.
    """

    def __init__(self, test: float = 0.2, val: float = 0.15, seed: int = 0) -> None:
        self.test, self.val, self.seed = share("test", test), share("val", val), seed

    def folds(self, table: pd.DataFrame, labels: np.ndarray | None = None) -> list[Fold]:
        """One fold, named "holdout"."""
        cohort = Cohort.of(table, labels)
        if cohort.n_groups < 3:
            raise InputError(f"split=holdout: the data has {cohort.count}, and train, val and test need one each.")
        part = deal(cohort, np.arange(len(table)), [1 - self.test, self.test], np.random.default_rng([self.seed, 0]))
        return [fold_with("holdout", cohort, part == 1, self.val, np.random.default_rng([self.seed, 1]))]


class KFold:
    """k folds; every row is in exactly one test part.

    Args:
        folds: number of folds, at least 2.
        val: share of the rows outside the test part to validate on.
        seed: of the draw.
    """

    def __init__(self, folds: int = 5, val: float = 0.15, seed: int = 0) -> None:
        self.n_folds, self.val, self.seed = count("folds", folds, 2), share("val", val), seed

    def folds(self, table: pd.DataFrame, labels: np.ndarray | None = None) -> list[Fold]:
        """Folds named "fold0", "fold1", ..."""
        return _k_folds(Cohort.of(table, labels), self.n_folds, self.val, [self.seed], "")


class Nested(KFold):
    """k folds, and within each of them inner folds to choose hyperparameters by (Varma & Simon 2006, doi:10.1186/1471-2105-7-91).

    ``folds`` are those of ``KFold``, so that a run tests each row once; whoever chooses hyperparameters for one of them asks for its
    ``inner_folds``, which never hold a row that it tests.

    Args:
        folds: number of outer folds, at least 2.
        inner: number of inner folds in each of them, at least 2.
        val: share of the rows outside a test part to validate on, in outer and inner folds.
        seed: of the draw of the outer folds.
        inner_seed: of the draws of the inner folds.
    """

    def __init__(self, folds: int = 5, inner: int = 5, val: float = 0.15, seed: int = 0, inner_seed: int = 0) -> None:
        super().__init__(folds, val, seed)
        self.n_inner, self.inner_seed = count("inner", inner, 2), count("inner_seed", inner_seed, 0)

    def inner_folds(self, outer: Fold, table: pd.DataFrame, labels: np.ndarray | None = None) -> list[Fold]:
        """Folds of the rows that an outer fold trains and validates on, named as in "fold0-fold1"; arguments as of ``folds``."""
        rows = np.sort(np.concatenate([outer.train, outer.val]))
        cohort = Cohort.of(table.iloc[rows], None if labels is None else labels[rows])
        inside = _k_folds(cohort, self.n_inner, self.val, [self.inner_seed], f"{outer.name}-", "split.inner")
        return [Fold(fold.name, rows[fold.train], rows[fold.val], rows[fold.test]) for fold in inside]


class Repeated:
    """k folds, several times with other draws.

    Args:
        repeats: number of times, at least 2.
        folds: number of folds, at least 2.
        val: share of the rows outside the test part to validate on.
        seed: of the draws.
    """

    def __init__(self, repeats: int = 5, folds: int = 5, val: float = 0.15, seed: int = 0) -> None:
        self.repeats, self.n_folds = count("repeats", repeats, 2), count("folds", folds, 2)
        self.val, self.seed = share("val", val), seed

    def folds(self, table: pd.DataFrame, labels: np.ndarray | None = None) -> list[Fold]:
        """Folds named "repeat0_fold0", "repeat0_fold1", ..., "repeat1_fold0", ..."""
        cohort = Cohort.of(table, labels)
        repeats = (_k_folds(cohort, self.n_folds, self.val, [self.seed, r], f"repeat{r}_") for r in range(self.repeats))
        return [fold for folds in repeats for fold in folds]


def _k_folds(cohort: Cohort, n_folds: int, val: float, seed: list[int], prefix: str, key: str = "split.folds") -> list[Fold]:
    if cohort.n_groups < n_folds:
        raise InputError(f"{key}={n_folds}: the data has {cohort.count}, fewer than folds; give at most {cohort.n_groups}.")
    part = deal(cohort, np.arange(len(cohort.groups)), [1 / n_folds] * n_folds, np.random.default_rng([*seed, 0]))
    return [fold_with(f"{prefix}fold{k}", cohort, part == k, val, np.random.default_rng([*seed, 1, k])) for k in range(n_folds)]
