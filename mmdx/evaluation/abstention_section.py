"""The sections "selective" and "uncertainty" of ``metrics.json``; docs/abstention.md describes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmdx.evaluation.scored import Scored
from mmdx.evaluation.scorer import Entry
from mmdx.evaluation.selective import POINTS, SelectiveMetrics, answers
from mmdx.evaluation.uncertainty import MEASURED, VACUITY, ensemble, read_measured, with_measured

MEMBERS = ("entropy", "mutual_information", "disagreement")
METHODS = {"mc": "mc_dropout", "ood": "ood", VACUITY: "evidential", "ensemble": "ensemble"}
"""Of each uncertainty's first word the method that it comes from."""


def applies(scored: Scored) -> bool:
    """Whether there are test rows of the full set of modalities with probabilities of classes or labels."""
    names = {f"prob_{name}" if name else "prob" for name in scored.scorer.outputs}
    return bool(names) and names <= set(scored.table.columns) and len(scored.rows()) > 0


def problems(scored: Scored) -> Iterator[tuple[str, list[str], pd.DataFrame, pd.DataFrame]]:
    """The target, under the name "", or each label: name, classes (none where it is yes or no), test rows and validation rows."""
    test, validation = (scored.rows(split).reset_index(drop=True) for split in ("test", "val"))
    if scored.scorer.kind != "multilabel":
        yield "", _classes(scored), test, validation
        return
    for label in scored.scorer.outputs:
        one, two = (_of_label(rows, label) for rows in (test, validation))
        yield label, [], one, two


def _classes(scored: Scored) -> list[str]:
    return [] if scored.scorer.kind == "binary" else scored.scorer.outputs


def _of_label(rows: pd.DataFrame, label: str) -> pd.DataFrame:
    own = {name: rows[f"{name}_{label}"] for name in ("target", "prob", "threshold")}
    return rows.assign(**own)[own["target"].notna()].reset_index(drop=True)


def named(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What was found of the target, or of the labels, as it stands in a section."""
    return found[""] if list(found) == [""] else {"labels": found}


def selective(scored: Scored, folder: Path | None = None) -> dict[str, Any] | None:
    """Section "selective": what is gained by answering only the surest rows, by the model's own probabilities and by each other uncertainty.

    Args:
        scored: the predictions.
        folder: the run folder, whose ``stress/uncertainty.parquet`` is read where there is one.
    """
    if not applies(scored):
        return None
    found = {}
    for name, classes, rows, _ in problems(scored):
        if len(rows):
            error, unsure = answers(rows, classes)
            found[name] = {"confidence": _confidence(rows, classes)} | _risk_coverage(scored, rows.assign(error=error, by=unsure))
    section = named(found)
    if scored.scorer.kind != "multilabel":
        section["by_score"] = {name: _risk_coverage(scored, rows) for name, rows in _scores(scored, folder).items()}
    return section


def _confidence(rows: pd.DataFrame, classes: list[str]) -> str:
    plain = classes or (rows["threshold"] == 0.5).all()
    return "max probability" if plain else "max probability, after the log odds are shifted so that the decision threshold lies at 0.5"


def _risk_coverage(scored: Scored, rows: pd.DataFrame) -> dict[str, Any]:
    """Entries and curve of rows with columns ``error`` and ``by``."""
    points = min(int(rows.groupby("seed").size().min()), POINTS)
    coverages = np.arange(1, points + 1) / points
    entries = _measured(scored, rows, coverages)
    given = np.mean([_metrics(part, np.zeros(len(part), dtype=int), coverages).given() for _, part in rows.groupby("seed")], axis=0)
    curve: list[dict[str, Any]] = []
    for k, accepted in enumerate(given):
        entry = entries.pop(f"risk@{k}")
        if not k or accepted > given[k - 1]:
            point = {"coverage": float(accepted / given[-1]), "risk": entry["value"], "low": entry["low"], "high": entry["high"]}
            curve.append(point | {"n": round(float(accepted))})
    return {"entries": entries, "risk_coverage": curve}


def _measured(scored: Scored, rows: pd.DataFrame, coverages: np.ndarray) -> dict[str, Entry]:
    entries = scored.measure(rows, lambda part, unit: _metrics(part, unit, coverages))
    if entries["error_auroc"]["value"] is None:
        entries["error_auroc"]["reason"] = "no answer is wrong" if entries["risk"]["value"] == 0 else "every answer is wrong"
    return entries


def _metrics(part: pd.DataFrame, unit: np.ndarray, coverages: np.ndarray) -> SelectiveMetrics:
    return SelectiveMetrics(part["error"].to_numpy(), part["by"].to_numpy(np.float64), unit, coverages)


def _scores(scored: Scored, folder: Path | None) -> dict[str, pd.DataFrame]:
    """Of each uncertainty beside the probabilities the rows that have it, with ``error`` and the uncertainty as ``by``."""
    classes = _classes(scored)
    rows = with_measured(scored.rows(), _read_measured(scored, folder))
    rows = rows.assign(error=answers(rows, classes)[0])
    scores = {name: rows[rows[name].notna()].assign(by=rows[name]) for name in (*MEASURED, VACUITY) if name in rows}
    joined = _ensemble(scored)
    if joined is not None:
        joined = joined.assign(error=answers(joined, classes)[0])
        scores |= {f"ensemble_{name}": joined.assign(by=joined[name]) for name in MEMBERS}
    return {name: own for name, own in scores.items() if len(own)}


def _ensemble(scored: Scored) -> pd.DataFrame | None:
    rows = scored.rows()
    if rows["seed"].nunique() < 2:
        return None
    joined = ensemble(rows, scored.rows("val"), _classes(scored))
    return joined if len(joined) else None


def uncertainty(scored: Scored, folder: Path | None = None) -> dict[str, Any] | None:
    """Section "uncertainty": how good the mean of several predictions is, and how well each uncertainty tells wrong answers from right ones.

    Args:
        scored: the predictions.
        folder: the run folder, whose ``stress/uncertainty.parquet`` is read where there is one.
    """
    if not applies(scored) or scored.scorer.kind == "multilabel":
        return None
    section: dict[str, dict[str, Any]] = {}
    joined, passes = _ensemble(scored), _mean_of_passes(scored, folder)
    if joined is not None:
        section["ensemble"] = {"members": scored.rows()["seed"].nunique(), "entries": scored.scorer.score(joined)}
    if passes is not None:
        entries = scored.scorer.score(passes)
        section["mc_dropout"] = {"entries": {name: entries[name] for name in ("auroc", "auprc", "brier")}}  # no threshold was chosen for them
    for name, rows in _scores(scored, folder).items():
        entry = _measured(scored, rows, np.array([]))["error_auroc"]
        section.setdefault(METHODS[name.split("_")[0]], {}).setdefault("error_auroc", {})[name.removeprefix("ensemble_")] = entry
    return section or None


def _read_measured(scored: Scored, folder: Path | None) -> pd.DataFrame | None:
    return None if "uncertainty" in scored.stale else read_measured(folder)


def _mean_of_passes(scored: Scored, folder: Path | None) -> pd.DataFrame | None:
    """Rows whose probabilities are the means over the passes of MC dropout; None where there are none."""
    rows = with_measured(scored.rows(), _read_measured(scored, folder))
    ends = [f"_{name}" for name in _classes(scored)] or [""]
    if not {f"mc_prob{end}" for end in ends} <= set(rows.columns):
        return None
    known = rows[rows[[f"mc_prob{end}" for end in ends]].notna().all(axis=1)]
    return known.assign(**{f"prob{end}": known[f"mc_prob{end}"] for end in ends}) if len(known) else None
