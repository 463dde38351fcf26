"""Does a data set keep its contract?"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mmdx.data.tables import target_columns
from mmdx.types import Sample


def check_dataset(dataset: Any, samples: int = 8) -> None:
    """Check the table (unique string ids, targets, known splits, null or string patients and sites), and for the first samples that each
    is a ``Sample`` with known modalities, the same each time it is read, and readable by another process.
    """
    table = dataset.table
    assert isinstance(table, pd.DataFrame) and len(table) == len(dataset) > 0, "table must have one row a sample, and at least one"
    assert len(set(dataset.modalities)) == len(dataset.modalities) > 0, f"modalities {dataset.modalities}: need one or more different names"
    assert "sample_id" in table and table["sample_id"].is_unique, "sample_id must be there and unique"
    assert table["sample_id"].map(lambda v: isinstance(v, str)).all(), "sample_id must be strings"
    for column in ("patient_id", "site"):
        if column in table:
            assert table[column].dropna().map(lambda v: isinstance(v, str)).all(), f"{column} must be strings or null"
    assert target_columns(table), "the table needs target, or target_LABEL columns, or time and event"
    if "target" in table:
        assert table["target"].notna().all(), "target has empty values; leave such rows out as faults"
    if "split" in table:
        assert table["split"].isin(["train", "val", "test"]).all(), "split must be train, val or test"
    copy = pickle.loads(pickle.dumps(dataset))
    for index in range(min(samples, len(dataset))):
        sample, again = dataset[index], copy[index]
        assert isinstance(sample, Sample), f"dataset[{index}] is {type(sample).__name__}, expected Sample"
        assert sample.inputs and set(sample.inputs) <= set(dataset.modalities), f"dataset[{index}].inputs has {sorted(sample.inputs)}"
        assert all(value is not None for value in sample.inputs.values()), f"dataset[{index}]: a missing modality must be a missing key"
        same = all(_raw_equal(value, again.inputs.get(m)) for m, value in sample.inputs.items())
        assert same, f"dataset[{index}] differs when it is read again by another process"


def _raw_equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_raw_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(_raw_equal(a[k], b[k]) for k in a)
    return bool(a == b) or (a != a and b != b)
