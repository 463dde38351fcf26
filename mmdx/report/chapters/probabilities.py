"""Whether probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mmdx.report.chapters.discrimination import outcomes
from mmdx.report.parts import Block, Chapter, Drawing, Note, Table, Text
from mmdx.report.plots.lines import Curve, lines
from mmdx.report.plots.reliability import recalibrated, reliability
from mmdx.report.run_folder import RunFolder
from mmdx.report.wording import count, rests_on, title, upper_first

SHOWN = (
    "slope", "intercept", "ece", "ece_debiased", "log_loss", "brier", "brier_reliability", "brier_resolution", "brier_uncertainty",
)  # fmt: skip
MOST_OUTCOMES = 6


def chapter(run: RunFolder) -> Chapter | None:
    """For each outcome a reliability diagram, a table with what recalibration changes, and a decision curve; None where the kind has none."""
    section = run.section("calibration")
    if not section and not run.sectioned:
        return None
    blocks: list[Block] = []
    if not section:
        blocks.append(Note("No calibration of probabilities is in metrics.json.", f"mmdx score {run.name}"))
    frames = dict(outcomes(run)) if run.outputs else {}
    if run.kind != "binary" and "" in section:
        frames = {"": _called(run), **frames}
    for place, (name, found) in enumerate(section.items()):
        if isinstance(found, dict) and place < MOST_OUTCOMES:
            blocks += _outcome(run, name, found, frames.get(name))
    if len(section) > MOST_OUTCOMES:
        blocks.append(Text(f"Of {len(section)} outcomes the first {MOST_OUTCOMES} are drawn; metrics.json holds all."))
    return Chapter("probabilities", "Probabilities", blocks)


def _called(run: RunFolder) -> pd.DataFrame:
    """Rows with the probability of the class called, and whether it is right."""
    rows = run.rows()
    prob = rows[[f"prob_{name}" for name in run.outputs]].to_numpy(np.float64)
    right = prob.argmax(axis=1) == pd.Index(run.outputs).get_indexer(pd.Index(rows["target"].astype(str)))
    return rows.assign(prob=prob.max(axis=1), target=right.astype(np.float64))


def _outcome(run: RunFolder, name: str, found: dict[str, Any], rows: pd.DataFrame | None) -> Iterator[Block]:
    stem = f"_{run.outputs.index(name)}" if name in run.outputs and name else ""
    of = name or ("the target" if run.kind == "binary" else "the class called")
    if reason := found.get("reason"):
        yield Text(f"Calibration of {of}: {reason}.")
    entries = found.get("entries") or {}
    again = {method: own for method, own in (found.get("recalibrated") or {}).items() if isinstance(own, dict)}
    usable = {method: own for method, own in again.items() if own.get("entries")}
    if found.get("curve") and rows is not None and len(rows):
        sides = (f"not {name}", name) if name else ("negative", "positive") if run.kind == "binary" else ("wrong", "right")
        n = count(sum(int(b.get("n") or 0) for b in found["curve"]), "row")
        yield Drawing(
            f"reliability{stem}",
            f"Reliability of {of}",
            f"Above: observed share in bins of the predicted probability; the diagonal is perfect calibration. Vertical lines: 95 % intervals "
            f"of each bin; n = {n}. Below: how often each probability was given.",
            reliability(found["curve"], rows["prob"].to_numpy(np.float64), rows["target"].to_numpy(np.float64), sides),
        )
        curves = {method: own["curve"] for method, own in usable.items() if own.get("curve")}
        if curves:
            caption = (
                f"The same test rows after recalibration fitted on {count(found.get('n_validation') or 0, 'validation row')}; vertical lines: 95 % "
                f"intervals of each bin; n = {n}."
            )
            yield Drawing(f"recalibrated{stem}", f"After recalibration of {of}", caption, recalibrated(curves))
    if curve := found.get("decision_curve"):
        yield _decision(stem, of, curve, entries)
    if entries:
        yield _table(stem, of, found, entries, usable)
    left = {method: own.get("reason") for method, own in again.items() if method not in usable and own.get("reason")}
    if left:
        yield Text("Not recalibrated by " + "; ".join(f"{method}: {reason}" for method, reason in left.items()) + ".")


def _table(stem: str, of: str, found: dict[str, Any], entries: dict[str, Any], usable: dict[str, Any]) -> Table:
    columns = [m for m in SHOWN if m in entries]
    rows = [("As predicted", [entries.get(m) for m in columns])]
    rows += [(upper_first(method), [own["entries"].get(m) for m in columns]) for method, own in usable.items()]
    fitted = f" Recalibration is fitted on {count(found['n_validation'], 'validation row')}." if usable and found.get("n_validation") else ""
    caption = f"Calibration of {of}. Slope 1 and intercept 0 are perfect; a slope below 1 means probabilities that are too extreme.{fitted} "
    return Table(f"calibration{stem}", caption + f"{rests_on(entries.values())}.", "Probabilities", [title(m) for m in columns], rows)


def _decision(stem: str, of: str, curve: dict[str, Any], entries: dict[str, Any]) -> Drawing:
    x = curve["threshold"]
    curves = [Curve("treat nobody", x, [0.0] * len(x), series=-1)]
    if curve.get("treat_all"):
        curves.append(Curve("treat everybody", x, curve["treat_all"], series=5))
    again = curve.get("recalibrated") or {}
    for k, (method, own) in enumerate(again.items() if isinstance(again, dict) else (), 1):
        if isinstance(own, list) and len(own) == len(x):
            curves.append(Curve(method, x, own, series=k, width=0.9))
    curves.append(Curve("the model", x, curve["model"], curve.get("low") or (), curve.get("high") or (), series=0))
    model = [v for v in (*curve["model"], *(curve.get("high") or ())) if v is not None]
    top = max([*model, 0.01])
    drawn = lines(curves, "Threshold probability at which one would treat", "Net benefit", (0, max(x)), (-0.2 * top, 1.08 * top), "upper right")
    caption = (
        f"Decision curve of {of}: true positives minus false positives weighted by the odds of the threshold, a row (Vickers and Elkin 2006). "
        f"The band is a pointwise 95 % interval. {rests_on(entries.values())}."
    )
    return Drawing(f"decision_curve{stem}", f"Decision curve of {of}", caption, drawn)
