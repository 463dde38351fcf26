"""From ``predictions.parquet`` to ``metrics.json``; docs/metrics.md describes both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import pandas as pd

from mmdx.errors import InputError
from mmdx.evaluation.abstention_section import selective, uncertainty
from mmdx.evaluation.calibration_section import section as calibration
from mmdx.evaluation.censoring import with_censoring
from mmdx.evaluation.conformal_section import conformal
from mmdx.evaluation.fingerprint import fingerprint, stale
from mmdx.evaluation.group_audit import MINIMUM
from mmdx.evaluation.groups_section import section as groups
from mmdx.evaluation.kinds import KINDS, has_primary
from mmdx.evaluation.metrics import EXTRA
from mmdx.evaluation.modality_section import modality_value
from mmdx.evaluation.predictions import checked, full_set, horizons_of, kind_of, outputs_of, predictions_file, read_predictions, subset_size
from mmdx.evaluation.scored import Scored
from mmdx.evaluation.scorer import Scorer
from mmdx.evaluation.stress_section import stress
from mmdx.evaluation.threshold import described, row_thresholds, thresholds
from mmdx.files import write_json

METRICS = "metrics.json"
PAIR = ["sample_id", "fold", "seed"]
Optimum = Mapping[str, Mapping[str, float]]
SECTIONS: dict[str, Callable[[Scored, Path | None], dict[str, Any] | None]] = {
    "calibration": lambda scored, folder: calibration(scored),
    "conformal": lambda scored, folder: conformal(scored),
    "selective": selective,
    "uncertainty": uncertainty,
    "groups": lambda scored, folder: groups(scored),
    "modality_value": lambda scored, folder: modality_value(scored),
    "stress": stress,
}
"""Further sections of ``metrics.json``, from the scored table and what ``mmdx stress`` left in the folder; None where there is nothing to say."""
WITH_SECTIONS = ("binary", "multiclass", "multilabel")
"""The kinds of which a section can speak: those of probabilities."""


def score_folder(
    folder: str | Path,
    *,
    kind: str | None = None,
    extra_metrics: Iterable[str] | None = None,
    resamples: int | None = None,
    seed: int | None = None,
    unit_name: str | None = None,
    optimum: Optimum | None = None,
    brief: bool = False,
) -> dict[str, Any]:
    """Score a folder's ``predictions.parquet`` and write ``metrics.json`` beside it.

    What is not given is as in the folder's earlier ``metrics.json``, so that scoring again gives the same file, or else as in ``score``.

    Raises:
        InputError: as ``read_predictions`` and ``score``.
    """
    file = predictions_file(folder)
    given = {"kind": kind, "extra_metrics": extra_metrics, "resamples": resamples, "seed": seed, "unit_name": unit_name, "optimum": optimum}
    earlier, frame = earlier_settings(file), read_predictions(file)
    if kind is None and "kind" in earlier:
        try:
            kind_of(frame, str(file), earlier["kind"])
        except InputError as fault:
            raise InputError(f"{fault} The kind is from {file.with_name(METRICS)}; remove that file if it is of other predictions.") from None
    chosen = earlier | {k: v for k, v in given.items() if v is not None}
    metrics = score(frame, source=str(file), folder=file.parent, sha256=fingerprint(file), brief=brief, **chosen)
    write_json(file.with_name(METRICS), metrics)
    return metrics


def earlier_settings(path: str | Path) -> dict[str, Any]:
    """The settings that a folder's predictions were scored with before, {} where they were not.

    Raises:
        InputError: where a setting is not of its type, or the kind is not one of these predictions'.
    """
    file = predictions_file(path).with_name(METRICS)
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))["settings"]
        found = {name: settings[name] for name in SETTINGS if name in settings}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    for name, value in found.items():
        if not SETTINGS[name](value):
            raise InputError(f"{file}: settings.{name}={value!r} is not what mmdx score writes; remove the file and score again.")
    return found


def _is_optimum(value: object) -> bool:
    numbers = [v for own in value.values() for v in own.values()] if _is_nested(value) else [None]
    return all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers)


def _is_nested(value: object) -> TypeGuard[dict[str, dict[str, object]]]:
    return isinstance(value, dict) and all(isinstance(own, dict) for own in value.values())


SETTINGS: dict[str, Callable[[Any], bool]] = {
    "kind": lambda value: value in KINDS,
    "extra_metrics": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "resamples": lambda value: type(value) is int and value >= 1,
    "seed": lambda value: type(value) is int and value >= 0,
    "unit_name": lambda value: isinstance(value, str),
    "optimum": _is_optimum,
}
"""What can be kept from one scoring to the next, and whether a value is one."""


def score(
    frame: pd.DataFrame,
    *,
    kind: str | None = None,
    extra_metrics: Iterable[str] = (),
    resamples: int = 1000,
    seed: int = 0,
    unit_name: str | None = None,
    optimum: Optimum | None = None,
    source: str = "predictions",
    folder: Path | None = None,
    sha256: str | None = None,
    brief: bool = False,
) -> dict[str, Any]:
    """Metrics with 95 % intervals, as they stand in ``metrics.json``.

    Args:
        frame: predictions, columns as in docs/metrics.md, rows in any order.
        kind: what was predicted; known from the columns, but for classes with an order, which need kind="ordinal".
        extra_metrics: further metrics, of which there is one: ``macc``.
        resamples: number of bootstrap resamples, at least 1.
        seed: of the bootstrap.
        unit_name: what a sample is called where patients are not known, such as "recording"; "sample" where not given.
        optimum: of a subset the best value of each metric in the population, where it is known.
        source: how the table is called in messages.
        folder: where ``mmdx stress`` may have left its tables.
        sha256: fingerprint of the predictions' file, where they are from one.
        brief: leave out the sections on calibration, abstention, groups, modalities and stress.

    Raises:
        InputError: where the table is not one of predictions, or an argument is out of range.
    """
    given, extra = kind, tuple(extra_metrics)
    scored, decision = prepared(
        frame, kind=kind, extra_metrics=extra, resamples=resamples, seed=seed, unit_name=unit_name, optimum=optimum, source=source
    )
    scored = replace(scored, stale=tuple(stale(folder, sha256)))
    table, scorer, full = scored.table, scored.scorer, scored.full
    test = table[table["split"] == "test"]
    test = test[_needed(test)]
    settings = {"kind": given, "extra_metrics": list(extra), "resamples": resamples, "seed": seed, "unit_name": unit_name, "optimum": optimum}
    return {
        "kind": scorer.kind,
        "primary": scorer.primary,
        **({"outputs": scorer.outputs} if scorer.kind != "binary" and scorer.outputs else {}),
        **({"horizons": horizons_of(table)} if scorer.kind == "survival" else {}),
        "modalities": full.split("+"),
        "full": full,
        "unit": scorer.unit,
        "folds": test["fold"].nunique(),
        "seeds": test["seed"].nunique(),
        "settings": {name: value for name, value in settings.items() if value is not None},
        **({"predictions": {"rows": len(frame), "sha256": sha256}} if sha256 else {}),
        **({"stale": list(scored.stale)} if scored.stale else {}),
        **_sections(scorer, test, full),
        **decision,
        "differences": _differences(scorer, test, full),
        **({} if brief else _further(scored, folder)),
    }


def _further(scored: Scored, folder: Path | None) -> dict[str, Any]:
    if scored.scorer.kind not in WITH_SECTIONS:
        return {}
    return {name: found for name, section in SECTIONS.items() if (found := section(scored, folder))}


def prepared(
    frame: pd.DataFrame,
    *,
    kind: str | None = None,
    extra_metrics: Iterable[str] = (),
    resamples: int = 1000,
    seed: int = 0,
    unit_name: str | None = None,
    optimum: Optimum | None = None,
    source: str = "predictions",
) -> tuple[Scored, dict[str, Any]]:
    """A table of predictions checked and ready to be measured, and what its decisions rest on; arguments and errors as for ``score``."""
    extra = tuple(extra_metrics)
    kind = kind_of(frame, source, kind)
    table = checked(frame, source, kind)
    unknown = [name for name in extra if name not in EXTRA]
    if unknown or (extra and not KINDS[kind].thresholds):
        raise InputError(f"extra_metrics={list(extra)}: must be of {', '.join(EXTRA)}, for a binary or multilabel target.")
    table = _with_full_set_as_retrained(table)
    outputs = outputs_of(table, kind)
    table, decision = _with_decision(table, kind, outputs)
    test = table["split"] == "test"
    scorer = Scorer(kind, outputs, _units(table[test], unit_name)[0], extra, resamples, seed, optimum or {})
    return Scored(table.assign(unit=_units(table, unit_name)[1]), scorer, full_set(table[test])), decision


def _units(test: pd.DataFrame, unit_name: str | None) -> tuple[str, np.ndarray]:
    """What is drawn in resampling, and its number for each row: the patient, or the sample where its patient is not known."""
    known = test["patient_id"].notna() if "patient_id" in test else pd.Series(False, index=test.index)
    owner = [f"patient {p}" if k else f"sample {s}" for p, k, s in zip(test.get("patient_id", known), known, test["sample_id"], strict=True)]
    sample = unit_name if unit_name and unit_name != "patient" else "sample"
    name = "patient" if known.all() else f"patient or {sample}" if known.any() else sample
    return name, pd.factorize(pd.Series(owner, dtype=object))[0]


def _needed(test: pd.DataFrame) -> list[str]:
    """The columns that scores rest on; the others would only be copied about."""
    named = ("sample_id", "fold", "seed", "modalities", "ablation", "present", "oracle", "meta_site", "unit")
    own = ("prediction", "time", "event", "risk")
    return [c for c in map(str, test.columns) if c in named + own or c.startswith(("target", "prob", "threshold", "survival_", "censoring"))]


def _with_full_set_as_retrained(table: pd.DataFrame) -> pd.DataFrame:
    """The model that was trained on everything is also the largest of the retrained ones, where the table doesn't say so itself."""
    full = full_set(table)
    retrained = table["ablation"] == "retrained"
    if not retrained.any() or (retrained & (table["modalities"] == full)).any():
        return table
    same = table[~retrained & (table["modalities"] == full)].assign(ablation="retrained")
    return pd.concat([table, same], ignore_index=True)


def _with_decision(table: pd.DataFrame, kind: str, outputs: list[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """What else the metrics rest on, as columns and as it stands in ``metrics.json``: decision thresholds, or the censoring distribution."""
    if kind == "survival":
        table, censoring = with_censoring(table)
        return table, {"censoring": censoring}
    if not KINDS[kind].thresholds:
        return table, {} if kind == "regression" else {"threshold": {"source": "none", "rule": "the class with the highest probability"}}
    found = thresholds(table, outputs)
    values = row_thresholds(table, found, outputs)
    names = ["threshold"] if kind == "binary" else [f"threshold_{label}" for label in outputs]
    return table.assign(**dict(zip(names, values.T, strict=True))), {"threshold": described(found)}


def primary_value(frame: pd.DataFrame, kind: str | None = None) -> float | None:
    """The primary metric over all rows of a table, mean over seeds, whatever their split; None where it is not defined."""
    kind = kind_of(frame, kind=kind)
    outputs = outputs_of(frame, kind)
    if not len(frame) or not has_primary(kind, outputs, frame):
        return None
    table = _with_decision(checked(frame.assign(split="test"), kind=kind), kind, outputs)[0]
    return Scorer(kind, outputs, "sample").value(table)


def _sections(scorer: Scorer, test: pd.DataFrame, full: str) -> dict[str, Any]:
    complete = _complete(test, full)
    sections: dict[str, Any] = {}
    for name, ablation in (("test", "offered"), ("retrained", "retrained")):
        rows = test[test["ablation"] == ablation]
        if not len(rows) and name == "retrained":
            continue
        sections[name] = _subsets(scorer, rows, whole=True)
        if complete is not None:
            sections[f"{name}_complete"] = _subsets(scorer, rows[rows["sample_id"].isin(complete)])
    offered = test[test["ablation"] == "offered"]
    for name, column in (("by_site", "meta_site"), ("by_fold", "fold")):
        if column in offered and offered[column].nunique() > 1:
            groups = offered[offered[column].notna()].groupby(column, sort=True)
            found = {str(group): _subsets(scorer, rows) for group, rows in groups}
            sections[name] = {group: _without_small(subsets) for group, subsets in found.items()} if name == "by_site" else found
    return sections


def _without_small(subsets: dict[str, Any]) -> dict[str, Any]:
    """A site's entries, without the numbers where it has too few units to be judged."""
    nothing = {"value": None, "low": None, "high": None, "method": None, "too_small": True}
    return {
        subset: {
            name: entry
            if entry["n_units"] >= MINIMUM
            else {k: entry[k] for k in ("n", "unit", "n_units")} | nothing | {"reason": f"fewer than {MINIMUM} units ({entry['unit']})"}
            for name, entry in entries.items()
        }
        for subset, entries in subsets.items()
    }


def _subsets(scorer: Scorer, rows: pd.DataFrame, whole: bool = False) -> dict[str, Any]:
    """Entries of each subset of modalities, the largest first; of the whole test part also those within sites, and the population's optimum, which
    is no other part's."""
    found = {}
    for subset in sorted(rows["modalities"].unique(), key=lambda name: (-subset_size(name), name)):
        own = rows[rows["modalities"] == subset]
        found[str(subset)] = scorer.score(own, with_optimum=whole)
        if whole and "meta_site" in own and own["meta_site"].nunique() > 1:
            found[str(subset)][f"{scorer.primary}_within_site"] = scorer.within_site(own)
    return found


def _complete(test: pd.DataFrame, full: str) -> set[str] | None:
    """Samples that have every modality; None where that is all or not known, so that there is nothing to tell apart."""
    rows = test[test["modalities"] == full]
    if "present" not in test or not len(rows):
        return None
    complete = rows["present"] == full
    return None if complete.all() or not complete.any() else set(rows.loc[complete, "sample_id"])


def _differences(scorer: Scorer, test: pd.DataFrame, full: str) -> dict[str, Any]:
    """What each modality adds: the full set minus the full set without it, on the rows that both have."""
    complete = _complete(test, full)
    found: dict[str, Any] = {}
    for ablation in ("offered", "retrained"):
        rows = test[test["ablation"] == ablation]
        for modality in full.split("+"):
            rest = "+".join(m for m in full.split("+") if m != modality)
            pair = _paired(rows[rows["modalities"] == full], rows[rows["modalities"] == rest])
            if not len(pair[0]):
                continue
            entry = scorer.difference(*pair) | {"rows": "all"}
            if complete is not None:
                both = [table[table["sample_id"].isin(complete)] for table in pair]
                if len(both[0]):
                    entry["complete"] = scorer.difference(*both) | {"rows": "complete"}
            found.setdefault(ablation, {})[modality] = entry
    return found


def _paired(full: pd.DataFrame, rest: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of both tables that share sample, fold and seed, in the same order."""
    keys = [pd.MultiIndex.from_frame(table[PAIR]) for table in (full, rest)]
    return full[keys[0].isin(keys[1])], rest[keys[1].isin(keys[0])]
