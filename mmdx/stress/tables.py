"""Rows of the tables that ``mmdx stress`` writes: as in ``predictions.parquet``, without metadata."""

from __future__ import annotations

import pandas as pd

from mmdx.cells import Cell
from mmdx.study import Study
from mmdx.training.fit import TrainedModel
from mmdx.training.predict import subset_name


def as_table(study: Study, cell: Cell, trained: TrainedModel, frame: pd.DataFrame, offered: pd.Series | None = None) -> pd.DataFrame:
    """Ids, targets and model in the place of row numbers.

    Args:
        frame: ``index``, ``split``, ``present`` and the task's columns; rows numbered from 0.
        offered: of each row the modalities that its true posterior is given, where one is known; without it there is none in the table.
    """
    full = subset_name(cell.modalities)
    predicted = [c for c in map(str, frame) if c.startswith("prob") or c in ("index", "split", "present", "vacuity")]
    table = study.told.of(frame[predicted].assign(modalities=full if offered is None else offered), "offered", trained.task)
    left_out = [c for c in map(str, table) if c.startswith("meta_") or (c == "oracle" and offered is None)]
    table = table.drop(columns=left_out).assign(modalities=full)
    if len(study.seeds) > 1:
        table["seed"] = cell.seed
    if cell.folds > 1:
        table["fold"] = cell.fold.name
    return table
