"""The section ``calibration`` of ``metrics.json``: how far the probabilities can be taken at their word, before and after recalibration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mmdx.errors import InputError
from mmdx.evaluation.calibration import LINE, CalibrationMetrics, TopLabelMetrics, ece_of_calibrated
from mmdx.evaluation.calibration_line import EPSILON
from mmdx.evaluation.decision_curve import THRESHOLDS, NetBenefit, net_benefit, threshold_names
from mmdx.evaluation.metrics import Statistic
from mmdx.evaluation.recalibration import BINARY_METHODS, CLASS_METHODS, fit
from mmdx.evaluation.reliability import reliability_curve
from mmdx.evaluation.scored import Scored
from mmdx.evaluation.scorer import Entry

MINIMUM, MINIMUM_CASES = 20, 10
MODEL = ["seed", "fold"]
OVERSTATED = ("ece", "brier_reliability", "brier_resolution")
NO_INTERVAL = "no interval: chance adds to it, and to every resample once more; ece_debiased has one"
AT_THE_ENDS = f"only {{inside}} of {{n}} probabilities lie between {EPSILON:g} and 1 - {EPSILON:g}, where their logit is known; {MINIMUM} are needed"
NO_LINE = "no best slope: the probabilities tell the classes apart without an overlap, or are all the same"


def section(scored: Scored) -> dict[str, Any] | None:
    """Calibration of the full set of modalities on the test rows: of each outcome, and under "" of the class called where there are several.

    Every map is fitted on the validation rows of the same seed and fold and applied to its test rows.
    """
    test, validation = scored.rows("test"), scored.rows("val")
    if not len(test):
        return None
    plain = replace(scored, scorer=replace(scored.scorer, kind="binary", outputs=[""]))  # each outcome is a yes-or-no one
    if scored.scorer.kind == "multiclass":
        return _classes(scored, plain, test, validation)
    fitting = dict(scored.outcomes(validation))
    found = {}
    for name, rows in scored.outcomes(test):
        own = fitting[name]
        maps = {method: _recalibrated(method, rows, own, ["prob"]) for method in BINARY_METHODS}
        found[name] = _outcome(plain, rows, _number(own), maps)
    return found


def _classes(scored: Scored, plain: Scored, test: pd.DataFrame, validation: pd.DataFrame) -> dict[str, Any]:
    outputs = scored.scorer.outputs
    columns = [f"prob_{name}" for name in outputs]
    index = pd.Index(outputs)
    number = _number(validation)
    coded, fitting = (rows.assign(target=index.get_indexer(pd.Index(rows["target"]))) for rows in (test, validation))
    maps = {method: _recalibrated(method, coded, fitting, columns) for method in CLASS_METHODS}
    found: dict[str, Any] = {"": {"n": _number(test), "n_validation": number}}
    if found[""]["n"] < MINIMUM:
        found[""]["reason"] = f"only {found['']['n']} test rows; at least {MINIMUM} are needed"
    else:
        found[""] |= _top_label(plain, coded, columns)
        found[""]["recalibrated"] = {
            method: known if rows is None else _top_label(plain, rows, columns) | known for method, (rows, known) in maps.items()
        }
    of_class: dict[str, dict[str, tuple[pd.DataFrame | None, Entry]]] = {name: {} for name in outputs}
    for method, (rows, known) in maps.items():
        outcomes = {} if rows is None else dict(scored.outcomes(rows.assign(target=test["target"])))
        for name in outputs:
            of_class[name][method] = (outcomes.get(name), known if rows is None else {})
    for name, rows in scored.outcomes(test):
        found[name] = _outcome(plain, rows, number, of_class[name])
    return found


def _recalibrated(method: str, test: pd.DataFrame, validation: pd.DataFrame, columns: list[str]) -> tuple[pd.DataFrame | None, Entry]:
    """Test rows with recalibrated probabilities and the maps of the models; None and a reason where some model has none."""
    prob = np.full((len(test), len(columns)), np.nan)
    fitted = []
    for model in sorted(test[MODEL].drop_duplicates().itertuples(index=False, name=None)):
        place = np.flatnonzero((test[MODEL] == model).all(axis=1))
        rows = validation[(validation[MODEL] == model).all(axis=1)]
        if not len(rows):
            return None, {"reason": f"no validation rows{_of(model)}"}
        given = [part[columns].to_numpy(np.float64) for part in (rows, test.iloc[place])]
        one, other = (part[:, 0] if len(columns) == 1 else part for part in given)
        try:
            found = fit(method, one, rows["target"].to_numpy(np.float64))
        except InputError as fault:
            return None, {"reason": f"{str(fault).removeprefix(f'{method}: ').removesuffix('.')}{_of(model)}"}
        prob[place] = found.apply(other).reshape(len(place), -1)
        fitted.append({k: v for k, v in zip(MODEL, model, strict=True) if v != ""} | {"n": len(rows), "state": found.state})
    return test.assign(**dict(zip(columns, prob.T, strict=True))), {"fitted": fitted}


def _of(model: tuple[str, ...]) -> str:
    named = [f"{name} {value}" for name, value in zip(MODEL, model, strict=True) if value != ""]
    return f" ({', '.join(named)})" if named else ""


def _outcome(scored: Scored, rows: pd.DataFrame, n_validation: int, maps: dict[str, tuple[pd.DataFrame | None, Entry]]) -> dict[str, Any]:
    """What is known of one yes-or-no outcome."""
    found: dict[str, Any] = {"n": _number(rows), "n_validation": n_validation}
    if found["n"] < MINIMUM:
        return found | {"reason": f"only {found['n']} test rows; at least {MINIMUM} are needed"}
    if rows["target"].nunique() < 2:
        return found | {"reason": f"only one class among the {found['n']} test rows"}
    fewest, of = min((own["unit"].nunique(), "positive" if target else "negative") for target, own in rows.groupby("target"))
    if fewest < MINIMUM_CASES:
        return found | {"reason": f"only {fewest} units ({scored.scorer.unit}) with {of} test rows; at least {MINIMUM_CASES} are needed"}
    found |= _measured(scored, rows)
    found["recalibrated"] = {method: known if own is None else _measured(scored, own) | known for method, (own, known) in maps.items()}
    found["decision_curve"] = _decision_curve(scored, rows) | {
        "recalibrated": {method: _net_benefit(own)[0] for method, (own, _) in maps.items() if own is not None}
    }
    return found


def _measured(scored: Scored, rows: pd.DataFrame) -> dict[str, Any]:
    """Entries and curve of one yes-or-no outcome."""

    def make(part: pd.DataFrame, unit: np.ndarray) -> Statistic:
        return CalibrationMetrics(*_columns(part), unit)

    entries = _honest(scored.measure(rows, make), rows)
    for name in ("slope", "intercept_joint"):
        entry = entries[name]
        if entry["value"] is None:
            entry["reason"] = NO_LINE
        elif entry["low"] is None and "dropped" in entry:
            entry["reason"] = f"no interval: undefined in {entry['dropped']} of {scored.scorer.resamples} resamples, which no line fits best"
    inside = rows[rows["prob"].between(EPSILON, 1 - EPSILON, inclusive="neither")]
    if _number(inside) < MINIMUM:
        known = {"value": None, "low": None, "high": None, "method": None}
        for name in LINE:
            entries[name].pop("dropped", None)
            entries[name] |= known | {"reason": AT_THE_ENDS.format(inside=_number(inside), n=_number(rows))}
    target, prob = _columns(rows)
    return {"entries": entries, "curve": reliability_curve(target, prob, rows["unit"].to_numpy())}


def _top_label(scored: Scored, rows: pd.DataFrame, columns: list[str]) -> dict[str, Any]:
    """Entries and curve of the class called."""

    def make(part: pd.DataFrame, unit: np.ndarray) -> Statistic:
        return TopLabelMetrics(part["target"].to_numpy(), part[columns].to_numpy(np.float64), unit)

    prob = rows[columns].to_numpy(np.float64)
    called = rows.assign(prob=prob.max(axis=1), target=prob.argmax(axis=1) == rows["target"])
    curve = reliability_curve(*_columns(called), rows["unit"].to_numpy())
    return {"entries": _honest(scored.measure(rows, make), called), "curve": curve}


def _honest(entries: dict[str, Entry], rows: pd.DataFrame) -> dict[str, Entry]:
    """Entries whose intervals would mislead stand without, and ECE beside what it comes to where every probability is right."""
    for name in set(OVERSTATED) & set(entries):
        entries[name].pop("dropped", None)
        entries[name] |= {"low": None, "high": None, "method": None, "reason": NO_INTERVAL}
    by_seed = [ece_of_calibrated(part["prob"].to_numpy(np.float64)) for _, part in rows.groupby("seed")]
    entries["ece"]["if_calibrated"] = float(np.mean(by_seed))
    return entries


def _decision_curve(scored: Scored, rows: pd.DataFrame) -> dict[str, Any]:
    def make(part: pd.DataFrame, unit: np.ndarray) -> Statistic:
        return NetBenefit(*_columns(part), unit)

    entries = scored.measure(rows, make)
    names = threshold_names(THRESHOLDS)
    return {
        "threshold": THRESHOLDS.tolist(),
        "model": [entries[name]["value"] for name in names],
        "low": [entries[name]["low"] for name in names],
        "high": [entries[name]["high"] for name in names],
        "treat_all": _net_benefit(rows)[1],
        "treat_none": [0.0] * len(names),
    }


def _net_benefit(rows: pd.DataFrame) -> list[list[float]]:
    """Net benefit of the model and of acting on everybody at each threshold, the mean over seeds."""
    return np.mean([net_benefit(*_columns(part)) for _, part in rows.groupby("seed")], axis=0).tolist()


def _columns(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return rows["target"].to_numpy(np.float64), rows["prob"].to_numpy(np.float64)


def _number(rows: pd.DataFrame) -> int:
    """How many rows one seed has."""
    return len(rows[["sample_id", "fold"]].drop_duplicates())
