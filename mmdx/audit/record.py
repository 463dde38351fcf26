"""The columns of a data set that are asked: those of its source, and what its modalities and table hold beyond them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmdx.audit.describe import Description
from mmdx.types import Dataset


def record_of(dataset: Dataset, described: list[dict[str, Description]], modalities: Sequence[str]) -> tuple[pd.DataFrame, dict[str, str]]:
    """The columns [n rows], and of each modality of texts the name of the column that it is.

    A modality or subgroup with the cells of a column of the source is that column, and is not asked twice.
    """
    record = getattr(dataset, "record", pd.DataFrame(index=dataset.table.index)).reset_index(drop=True).rename(columns=str)
    read = np.array([bool(d) for d in described])  # of a sample that cannot be read nothing is known
    known = {_cells(record[name], read): str(name) for name in record}
    texts: dict[str, str] = {}
    new: dict[str, list[Any]] = {}
    for m in modalities:
        contents = [d[m].content if m in d else None for d in described]
        if any(isinstance(c, str) for c in contents):
            texts[m] = known.get(_cells(contents, read), m)
            new[m] = contents
        for key in sorted({k for c in contents if isinstance(c, dict) for k in c}):
            new[key] = [c.get(key) if isinstance(c, dict) else None for c in contents]
    new |= {str(c).removeprefix("meta_"): dataset.table[c].tolist() for c in dataset.table if str(c).startswith("meta_")}
    new = {name: cells for name, cells in new.items() if name not in record and _cells(cells, read) not in known}
    added = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in new.items()}, index=record.index)
    return pd.concat([record, added], axis=1), texts


def _cells(values: Any, read: np.ndarray) -> tuple[str, ...]:
    return tuple("" if v is None or v != v else str(v) for v, here in zip(values, read, strict=True) if here)
