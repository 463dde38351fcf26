"""Some of the folds that a split makes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmdx.data.splits.fold import Fold, Split
from mmdx.errors import InputError


class Chosen:
    """Some of the folds that a split makes, drawn as where all are wanted.

    Args:
        split: makes all.
        numbers: which, from 0; one, or several different ones.
    """

    def __init__(self, split: Split, numbers: int | Sequence[int]) -> None:
        self.split = split
        self.numbers = [numbers] if isinstance(numbers, int) else list(numbers)

    def folds(self, table: pd.DataFrame, labels: np.ndarray | None = None) -> list[Fold]:
        """Those folds, with their names.

        Raises:
            InputError: where there is no such fold, or as of the split.
        """
        made = self.split.folds(table, labels)
        for number in self.numbers:
            if number >= len(made):
                raise InputError(f"split.fold={number}: the split has {len(made)} fold{'s' * (len(made) > 1)}, which are numbered from 0.")
        return [made[number] for number in self.numbers]
