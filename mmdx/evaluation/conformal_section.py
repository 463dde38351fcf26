"""The section "conformal" of ``metrics.json``: prediction sets, and how often they hold the truth; docs/abstention.md describes it."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
import pandas as pd

from mmdx.evaluation.abstention_section import applies, named, problems
from mmdx.evaluation.conformal import (
    ALPHA,
    Means,
    aps_scores,
    class_conditional_sets,
    enough,
    expected_coverage,
    group_conditional_sets,
    lac_scores,
    split_sets,
)
from mmdx.evaluation.scored import Scored
from mmdx.evaluation.scorer import Entry, units_of

NEEDED = next(n for n in count(1) if enough(n))
SMALLEST = 20  # rows of a class or group that a share is given of
MOST_GROUPS = 12
MODEL = ["seed", "fold"]
SIDES = ["0", "1"]
Limit = tuple[dict[str, Any], int, float]


def conformal(scored: Scored) -> dict[str, Any] | None:
    """Prediction sets calibrated on validation rows of the same model, and how often they hold the truth on test rows."""
    if not applies(scored):
        return None
    if not len(scored.rows("val")):
        return {"alpha": ALPHA, "n_calibration": 0, "methods": {}, "reason": "no validation rows to calibrate the sets on"}
    found = {name: _conformal(scored, classes, rows, old) for name, classes, rows, old in problems(scored) if len(rows)}
    return {"alpha": ALPHA} | named(found)


def _conformal(scored: Scored, classes: list[str], rows: pd.DataFrame, validation: pd.DataFrame) -> dict[str, Any]:
    cohort = _Cohort(classes, validation, rows)
    rng = np.random.default_rng([scored.scorer.seed, 2])
    draws = [rng.random(len(table)) for table in (validation, rows)]
    lac = [lac_scores(prob) for prob in cohort.prob]
    aps = [aps_scores(prob, draw) for prob, draw in zip(cohort.prob, draws, strict=True)]
    wanted = _Wanted(rows)
    methods = {
        "split": _method(cohort, lac, "", wanted),
        "adaptive": _method(cohort, aps, "", wanted),
        "class_conditional": _method(cohort, lac, "class", wanted),
        **{f"group_conditional:{column}": _method(cohort, lac, column, wanted) for column in cohort.groups},
    }
    wanted.fill(scored)
    return {"n_calibration": min(len(old) for _, old, _ in cohort.models), "methods": methods}


class _Cohort:
    """Calibration and test rows of one target, as arrays; pairs are (calibration, test).

    Attributes:
        classes: K names.
        prob: pair of [n, K].
        target: pair of [n], numbers of the true classes.
        models: what names a model (its seed and fold), its calibration rows and its test rows.
        groups: of each column of metadata a pair of [n], "" where the group is not known.
    """

    def __init__(self, classes: list[str], validation: pd.DataFrame, rows: pd.DataFrame) -> None:
        pair = (validation, rows)
        self.classes = classes or SIDES
        self.prob = [_probabilities(table, classes) for table in pair]
        self.target = [_class_numbers(table, classes) for table in pair]
        self.models = [_model(key, validation, own) for key, own in rows.groupby(MODEL).indices.items()]
        self.groups = {c: [_texts(table, c) for table in pair] for c in _group_columns(rows)}


def _model(key: Any, validation: pd.DataFrame, rows: Any) -> tuple[dict[str, str], np.ndarray, np.ndarray]:
    calibration = np.flatnonzero((validation["seed"] == key[0]) & (validation["fold"] == key[1]))
    return {name: value for name, value in zip(MODEL, key, strict=True) if value}, calibration, np.asarray(rows)


def _method(cohort: _Cohort, scores: list[np.ndarray], by: str, wanted: _Wanted) -> dict[str, Any]:
    """The sets of one method (``by`` nothing, "class", or a column of metadata), described; its entries are filled in later."""
    sets, known = np.ones(scores[1].shape, dtype=bool), np.ones(len(scores[1]), dtype=bool)
    calibration: list[dict[str, Any]] = []
    for model, old, new in cohort.models:
        sets[new], limits = _sets(cohort, scores, by, old, new)
        if by in cohort.groups:
            usable = [of["group"] for of, _, limit in limits if np.isfinite(limit)]
            known[new] = np.isin(cohort.groups[by][1][new], usable)
        calibration += [model | of | {"n": n, "quantile": limit if np.isfinite(limit) else None} for of, n, limit in limits]
    method: dict[str, Any] = {"entries": {}, "by_class": {}, "by_group": {}, "calibration": calibration}
    few = [row for row in calibration if row["quantile"] is None]
    if few:
        then = {"": "every class is in every set", "class": "such a class is in every set"}.get(by, "such groups are left out")
        method["reason"] = f"{len(few)} of {len(calibration)} quantiles would rest on fewer than {NEEDED} calibration rows; {then}"
    elif by == "" and len(cohort.models) == 1:
        method["expected_coverage"] = dict(zip(("value", "low", "high"), expected_coverage(calibration[0]["n"], len(sets)), strict=True))
    _describe(method, cohort, sets, known, by, wanted)
    return method


def _sets(cohort: _Cohort, scores: list[np.ndarray], by: str, old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, list[Limit]]:
    """Sets of one model's test rows, and of each quantile what it is of, its calibration rows and its value."""
    target = cohort.target[0][old]
    own = scores[0][old, target]
    if by == "":
        sets, limit = split_sets(own, scores[1][new])
        return sets, [({}, len(old), limit)]
    if by == "class":
        sets, each = class_conditional_sets(own, target, scores[1][new])
        sizes = np.bincount(target, minlength=len(each))
        return sets, [({"class": name}, int(n), float(x)) for name, n, x in zip(cohort.classes, sizes, each, strict=True)]
    then, now = cohort.groups[by][0][old], cohort.groups[by][1][new]
    sets, of_group = group_conditional_sets(own, then, scores[1][new], now)
    return sets, [({"group": str(group)}, int((then == group).sum()), x) for group, x in of_group.items() if group]


def _describe(method: dict[str, Any], cohort: _Cohort, sets: np.ndarray, known: np.ndarray, by: str, wanted: _Wanted) -> None:
    target = cohort.target[1]
    covered, size = sets[np.arange(len(sets)), target], sets.sum(axis=1)
    for name, column in {"coverage": covered, "mean_size": size, "singletons": size == 1, "empty": size == 0}.items():
        wanted.add(method["entries"], name, column, known)
    wanted.add(method["entries"], "singleton_accuracy", covered, known & (size == 1))
    for k, name in enumerate(cohort.classes):
        wanted.add(method["by_class"], name, covered, known & (target == k))
    for column in [by] if by in cohort.groups else cohort.groups:
        groups = cohort.groups[column][1]
        own = method["by_group"].setdefault(column, {})
        for group in sorted(set(groups.tolist()) - {""}):
            wanted.add(own, group, covered, known & (groups == group))


class _Wanted:
    """Shares that are wanted, so that one bootstrap gives them all."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows
        self.sample = pd.factorize(pd.MultiIndex.from_frame(rows[["sample_id", "fold"]]))[0]
        self.unit = units_of(rows["unit"])
        self.values: list[np.ndarray] = []
        self.where: list[np.ndarray] = []
        self.places: list[tuple[dict[str, Entry], str]] = []

    def add(self, into: dict[str, Entry], name: str, values: np.ndarray, where: np.ndarray) -> None:
        """Want the mean of a column over some rows as an entry; where they are too few it says so."""
        n = len(np.unique(self.sample[where]))
        if n < SMALLEST:
            into[name] = {"value": None, "low": None, "high": None, "n": n, "too_small": True, "reason": f"fewer than {SMALLEST} such rows"}
            return
        into[name] = {"n": n, "n_units": len(np.unique(self.unit[where]))}
        self.values.append(values)
        self.where.append(where)
        self.places.append((into, name))

    def fill(self, scored: Scored) -> None:
        """Measure what is wanted."""
        if not self.places:
            return

        def make(part: pd.DataFrame, unit: np.ndarray) -> Means:
            return Means([own[part.index] for own in self.values], [own[part.index] for own in self.where], unit)

        entries = scored.measure(self.rows, make)
        for (into, name), entry in zip(self.places, entries.values(), strict=True):
            into[name] = entry | into[name]


def _probabilities(rows: pd.DataFrame, classes: list[str]) -> np.ndarray:
    if classes:
        return rows[[f"prob_{name}" for name in classes]].to_numpy(np.float64)
    prob = rows["prob"].to_numpy(np.float64)
    return np.stack([1 - prob, prob], axis=1)


def _class_numbers(rows: pd.DataFrame, classes: list[str]) -> np.ndarray:
    return pd.Index(classes).get_indexer(pd.Index(rows["target"])) if classes else rows["target"].to_numpy(np.int64)


def _group_columns(rows: pd.DataFrame) -> list[str]:
    """Columns of metadata that divide the rows into a few groups."""
    return [c for c in map(str, rows) if c.startswith("meta_") and 2 <= rows[c].nunique() <= MOST_GROUPS]


def _texts(rows: pd.DataFrame, column: str) -> np.ndarray:
    """The group of each row, "" where it is not known."""
    given = rows[column].astype(object).where(rows[column].notna(), "")
    return given.map(lambda v: str(int(v)) if isinstance(v, float) and v.is_integer() else str(v)).to_numpy(dtype=object)
