"""Splits: which samples train, validate and test, with every patient on one side and labels and sites spread evenly.

All splits have ``folds(table, labels) -> list[Fold]``. What they do follows from the table's content and the seed, and not from the order
of its rows. Validation rows are a share ``val`` of those that are not in the test part, taken in the same way.
"""

from __future__ import annotations

from mmdx.data.splits.by_column import Given, LeaveOneSiteOut
from mmdx.data.splits.by_time import ByTime
from mmdx.data.splits.chosen import Chosen
from mmdx.data.splits.drawn import HoldOut, KFold, Nested, Repeated
from mmdx.data.splits.fold import PARTS, Fold, Split, check_split
from mmdx.data.splits.saved import Saved

__all__ = ["PARTS", "ByTime", "Chosen", "Fold", "Given", "HoldOut", "KFold", "LeaveOneSiteOut", "Nested", "Repeated", "Saved", "Split", "check_split"]
