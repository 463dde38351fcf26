"""Knowing when not to answer: risk and coverage, prediction sets, uncertainty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmdx.report.parts import Block, Chapter, Drawing, Note, Table, Text
from mmdx.report.plots.forest import Row, forest
from mmdx.report.plots.lines import Curve, lines
from mmdx.report.run_folder import RunFolder
from mmdx.report.wording import known, percent, rests_on, title, upper_first

SET_COLUMNS = ("coverage", "mean_size", "singletons", "singleton_accuracy", "empty")
METHODS = {
    "split": "Split conformal",
    "adaptive": "Adaptive",
    "class_conditional": "In each class",
    "mc_dropout": "MC dropout",
    "ood": "Distance from the training data",
}
SCORES = {
    "mc_entropy": "entropy, MC dropout",
    "mc_mutual_information": "mutual information, MC dropout",
    "ood_score": "distance from training",
    "vacuity": "evidential vacuity",
    "ensemble_entropy": "entropy, ensemble",
    "ensemble_mutual_information": "mutual information, ensemble",
    "ensemble_disagreement": "disagreement, ensemble",
}
MOST_ROWS = 16
MOST_SCORES = 6
EARLY = 0.1
"""Coverage below which the risk of a few rows doesn't set how high the axis goes."""


def chapter(run: RunFolder) -> Chapter | None:
    """Risk-coverage curve, conformal sets, uncertainty; None where the kind has none."""
    if not run.sectioned and not any(run.section(name) for name in ("selective", "conformal", "uncertainty")):
        return None
    blocks: list[Block] = []
    for name, label, found in _each(run.section("selective")):
        blocks += _selective(name, label, found)
    if not run.section("selective"):
        blocks.append(Note("No risk-coverage curve is in metrics.json.", f"mmdx score {run.name}"))
    for name, label, found in _each(run.section("conformal")):
        blocks += _conformal(name, label, found)
    if not run.section("conformal"):
        blocks.append(Note("No conformal sets are in metrics.json; they need validation rows.", f"mmdx score {run.name}"))
    if run.section("uncertainty"):
        blocks.append(_uncertainty(run.section("uncertainty")))
    if not {"mc_dropout", "ood"} & set(run.section("uncertainty")):
        told = "Uncertainty by MC dropout and distance from the training data were not measured on the model."
        blocks.append(Note(told, run.stress))
    return Chapter("abstention", "Knowing when not to answer", blocks)


def _each(section: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The section of the target, or of each label: end of file names, label, section."""
    labels = section.get("labels")
    if isinstance(labels, dict):
        for k, (label, own) in enumerate(labels.items()):
            yield f"_{k}", label, {**section, **own}
    elif section:
        yield "", "", section


def _selective(stem: str, label: str, found: dict[str, Any]) -> Iterator[Block]:
    scores = [(s, own) for s, own in (found.get("by_score") or {}).items() if isinstance(own, dict)]
    curves = []
    for k, (score, own) in enumerate(scores[:MOST_SCORES], 1):
        if points := own.get("risk_coverage"):
            curves.append(_risk(_score(score), points, k, band=False))
    if points := found.get("risk_coverage"):
        curves.append(_risk("probability", points, 0, band=True))
    entries = found.get("entries") or {}
    of = f" of {label}" if label else ""
    if curves:
        x, y = "Coverage: share of rows that are answered", "Risk: share of wrong answers"
        drawn = lines(curves, x, y, (0, 1), (0, _ceiling(curves)), "lower right")
        caption = (
            f"Error among the rows that are answered when only the surest are{of}; sureness is the {found.get('confidence', 'highest probability')}. "
            f"The band is a pointwise 95 % interval. {rests_on(entries.values())}."
        )
        yield Drawing(f"risk_coverage{stem}", f"Risk and coverage{of}", caption, drawn)
    rows = [("Probability", entries)] + [(upper_first(_score(s)), own.get("entries") or {}) for s, own in scores]
    columns = [m for m in dict.fromkeys(m for _, own in rows for m in own) if any(known(own.get(m)) for _, own in rows)]
    if columns:
        cells = [(s, [own.get(m) for m in columns]) for s, own in rows if own]
        caption = f"What is gained by answering only the surest rows{of}. {rests_on(entries.values())}."
        yield Table(f"selective{stem}", caption, "Sure by", [title(m) for m in columns], cells)


def _ceiling(curves: list[Curve]) -> float:
    """Where the axis of the risk ends: above all that isn't the risk of a few rows."""
    found = [v for c in curves for ys in (c.y, c.high) for x, v in zip(c.x, ys, strict=False) if v and x and x > EARLY]
    return min(1.0, max(0.02, 1.25 * max(found, default=0.0)))


def _risk(name: str, points: list[dict[str, Any]], series: int, band: bool) -> Curve:
    low, high = ([p.get(end) for p in points] if band else () for end in ("low", "high"))
    return Curve(name, [p["coverage"] for p in points], [p["risk"] for p in points], low, high, series)


def _conformal(stem: str, label: str, found: dict[str, Any]) -> Iterator[Block]:
    of = f" of {label}" if label else ""
    if found.get("reason"):
        yield Text(f"Prediction sets{of}: {found['reason']}.")
    methods = {name: own for name, own in (found.get("methods") or {}).items() if isinstance(own, dict)}
    if not methods:
        return
    wanted = 1 - float(found.get("alpha", 0.1))
    rows: list[Row] = []
    for name, own in methods.items():
        if known(own.get("entries", {}).get("coverage")):
            rows.append(Row(_method(name), own["entries"]["coverage"], 0))
    split = methods.get("split", {})
    inner = [(f"class {c}", e) for c, e in (split.get("by_class") or {}).items()]
    for column, groups in (split.get("by_group") or {}).items():
        inner += [(f"{column.removeprefix('meta_')}: {g}", e) for g, e in groups.items()] if "value" not in groups else [(column, groups)]
    if inner:
        rows.append(Row("Split conformal, within"))
        rows += [Row(name, e if known(e) else None, 1, "" if known(e) else f"too small (n = {e.get('n', '?')})") for name, e in inner[:MOST_ROWS]]
    more = f" Of {len(inner)} classes and groups the first {MOST_ROWS} are drawn." if len(inner) > MOST_ROWS else ""
    caption = (
        f"How often the set of classes{of} that is given holds the true one; the line is the {100 * wanted:.0f} % that was asked for. Calibrated on "
        f"{found.get('n_calibration', '?')} validation rows.{more} {rests_on(row.entry for row in rows if row.series == 0)}."
    )
    yield Drawing(f"conformal{stem}", f"Coverage of prediction sets{of}", caption, forest(rows, "Coverage", reference=wanted))
    columns = [m for m in SET_COLUMNS if any(m in (own.get("entries") or {}) for own in methods.values())]
    cells = [(_method(name), [(own.get("entries") or {}).get(m) for m in columns]) for name, own in methods.items()]
    entries = [e for own in methods.values() for e in (own.get("entries") or {}).values()]
    caption = f"Prediction sets{of} meant to hold the truth in {100 * wanted:.0f} %. {rests_on(entries)}."
    yield Table(f"conformal{stem}", caption, "Calibrated", [title(m) for m in columns], cells)
    for name, own in methods.items():
        if own.get("reason"):
            yield Text(f"{_method(name)}: {own['reason']}.")


def _method(name: str) -> str:
    return METHODS.get(name) or (f"In each {name.split(':')[1].removeprefix('meta_')}" if ":" in name else title(name))


def _uncertainty(section: dict[str, Any]) -> Table:
    rows: list[tuple[str, list[Any]]] = []
    for method, own in section.items():
        if not isinstance(own, dict):
            continue
        label = METHODS.get(method) or title(method)
        rows += [(label, [title(m), e]) for m, e in (own.get("entries") or own).items() if known(e)]
        rows += [(label, [f"AUROC of errors, by {_score(m).split(',')[0]}", e]) for m, e in (own.get("error_auroc") or {}).items() if known(e)]
    caption = f"Uncertainty of the predictions; AUROC of errors: how well it tells wrong answers from right ones. {rests_on(c[1] for _, c in rows)}."
    return Table("uncertainty", caption, "Method", ["What", "Value"], rows)


def _score(name: str) -> str:
    return SCORES.get(name) or name.replace("_", " ")


def headline(run: RunFolder) -> str:
    """The error that is left when the surest four fifths are answered, for the summary; "" where it isn't known."""
    section = run.section("selective")
    at_80 = (section.get("entries") or {}).get("risk_at_80_coverage")
    points = section.get("risk_coverage") or []
    if not known(at_80) or not points:
        return ""
    everything = points[-1]["risk"]
    return f"Of the surest 80 % of rows {percent(at_80)} are answered wrongly, of all rows {100 * everything:.0f} %."
