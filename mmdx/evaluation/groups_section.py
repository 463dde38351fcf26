"""Section ``groups`` of ``metrics.json``: for whom the model does worse, by how much, and how sure that is. docs/groups.md describes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from mmdx.evaluation.group_audit import MINIMUM, MINIMUM_CASES, GroupAudit
from mmdx.evaluation.groups import groupings
from mmdx.evaluation.multiplicity import holm
from mmdx.evaluation.scored import Scored
from mmdx.evaluation.scorer import Entry

DERIVED = "equalized_odds"
"""The gap whose test is made from those of two others."""


def section(scored: Scored, minimum: int = MINIMUM, minimum_cases: int = MINIMUM_CASES) -> dict[str, Any] | None:
    """Metrics in groups of the test rows, gaps between them and tests, for the full set of modalities.

    Args:
        scored: the checked table.
        minimum: units (patients) that a group must have; of a smaller one nothing is told but its size.
        minimum_cases: units with rows of the class that a metric is about, such as positives for the sensitivity.

    Returns:
        None where there are neither ``meta_`` columns nor samples that lack a modality.
    """
    rows = scored.rows("test").reset_index(drop=True)
    found, skipped = groupings(rows, scored.full)
    if not found and not skipped:
        return None
    binary = scored.scorer.kind == "binary"
    outputs = {}
    for name, outcome in _outcomes(scored, rows):
        if not len(outcome):
            continue  # a label that no test row has
        audit = GroupAudit(scored, outcome, minimum, minimum_cases)
        outputs[name] = {grouping.name: audit.column(grouping) for grouping in found if binary or not grouping.crossed}
    every = [column for columns in outputs.values() for column in columns.values()]
    tests = [entry for column in every for entry in _tests(column)]
    for entry, adjusted in zip(tests, holm([entry["p"] for entry in tests]), strict=True):
        entry["p_adjusted"] = adjusted
    for gaps in (column["gaps"] for column in every if DERIVED in column["gaps"]):
        gaps[DERIVED]["p_adjusted"] = min(gaps[name]["p_adjusted"] for name in ("tpr_gap", "fpr_gap"))
    return {
        "minimum": minimum,
        "minimum_cases": minimum_cases,
        "tests": len(tests),
        "correction": "holm",
        "skipped": skipped,
        **({"columns": outputs[""]} if binary else {"outputs": {name: {"columns": columns} for name, columns in outputs.items()}}),
    }


def _outcomes(scored: Scored, rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each outcome, with a column ``called``: whether a row reaches its threshold, or, of several classes, this one is the most probable."""
    outputs = scored.scorer.outputs
    best = rows[[f"prob_{name}" for name in outputs]].to_numpy().argmax(axis=1) if scored.scorer.kind == "multiclass" else None
    for name, outcome in scored.outcomes(rows):
        called = best == outputs.index(name) if best is not None else (outcome["prob"] >= outcome["threshold"]).to_numpy()
        yield name, outcome.assign(called=called)


def _tests(column: dict[str, Any]) -> Iterator[Entry]:
    """The entries of a column that carry a p-value of their own."""
    gaps = [gap for name, gap in column["gaps"].items() if name != DERIVED]
    rest = [entry for group in column["groups"].values() for entry in group.get("against_rest", {}).values()]
    yield from (entry for entry in gaps + rest if entry.get("p") is not None)
