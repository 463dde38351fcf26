"""Folds that the table names itself: by site, or by its own column."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mmdx.data.splits.fold import PARTS, Fold, check_classes, check_split, fold_with, share
from mmdx.data.stratify import Cohort
from mmdx.errors import InputError


class LeaveOneSiteOut:
    """Each site is the test part once, and the other sites train and validate. A site may have one class only; its metrics are then
    undefined.

    Args:
        val: share of the other sites' rows to validate on.
        seed: of the draw.
    """

    def __init__(self, val: float = 0.15, seed: int = 0) -> None:
        self.val, self.seed = share("val", val), seed

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
            fold = fold_with(str(name), cohort, site == name, self.val, np.random.default_rng([self.seed, i]), ("train", "val"))
            made.append(check_split(fold, table))
        return made


class Given:
    """The parts that the table's column ``split`` gives.

    Args:
        val: share of the training rows to validate on where the table names no validation rows.
        seed: of that draw.
    """

    def __init__(self, val: float = 0.15, seed: int = 0) -> None:
        self.val, self.seed = share("val", val), seed

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
            return [check_classes(Fold("given", **positions), cohort, PARTS)]
        return [fold_with("given", cohort, split == "test", self.val, np.random.default_rng(self.seed))]
