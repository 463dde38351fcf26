"""How well the model tells the classes apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mmdx.report.operating_curves import Curves, operating_curves, units_of_rows
from mmdx.report.parts import Block, Chapter, Drawing, Note, Table, Text
from mmdx.report.plots.forest import Row, forest
from mmdx.report.plots.lines import Curve, lines
from mmdx.report.run_folder import RunFolder
from mmdx.report.wording import Entry, known, number, rests_on, subset, title, upper_first

SHOWN = (
    "qwk", "auroc", "auprc", "sensitivity_at_90_specificity", "balanced_accuracy", "macc", "sensitivity", "specificity", "accuracy", "brier",
    "mae", "rps",
)  # fmt: skip
"""The order of the columns; metrics that are not named follow as they are in ``metrics.json``."""
MOST_CURVES = 8


def chapter(run: RunFolder) -> Chapter:
    """Tables of every subset and, where there are classes, ROC and precision-recall curves."""
    blocks: list[Block] = [Text(_threshold(run))] if run.section("threshold").get("source") else []
    test = run.section("test")
    if run.kind in ("binary", "multiclass", "multilabel", "ordinal"):
        blocks += _curves(run)
    if test:
        blocks.append(subset_table(run, "discrimination", "One trained model, offered each subset of modalities at test time; 95 % intervals.", test))
    if retrained := run.section("retrained"):
        blocks.append(subset_table(run, "discrimination_retrained", "A model trained on each subset of modalities; 95 % intervals.", retrained))
    for name, of in (("test_complete", "offered each subset"), ("retrained_complete", "one trained on each subset")):
        if found := run.section(name):
            caption = f"The same on the samples that have every modality, {of}; 95 % intervals."
            blocks.append(subset_table(run, f"discrimination_{name}", caption, found, folded=True))
    if run.kind == "multilabel" and test.get(run.full):
        blocks.append(_label_table(run, test[run.full]))
    for name, what in (("by_site", "site"), ("by_fold", "fold")):
        if found := run.section(name):
            blocks.append(_part_table(run, name, what, found))
    if not test:
        blocks.append(Note("metrics.json has no scores of test rows.", f"mmdx score {run.name}"))
    if not run.sectioned:
        told = {"ordinal": "classes with an order", "regression": "a number", "survival": "a time to an event"}[run.kind]
        blocks.append(Text(f"Calibration, abstention, groups, Shapley values and stress are for classes without an order; the target is {told}."))
    return Chapter("discrimination", "Telling the classes apart" if run.outputs else "How well it predicts", blocks)


def subset_table(run: RunFolder, name: str, caption: str, subsets: dict[str, Any], folded: bool = False) -> Table:
    """A table of subsets of modalities."""
    entries = [e for of in subsets.values() for e in of.values()]
    columns = metrics_of(run, subsets)
    rows = [(upper_first(subset(s)), [of.get(m) for m in columns] + [_n(of)]) for s, of in subsets.items()]
    return Table(name, f"{caption} {rests_on(entries)}.", "Modalities", [title(m) for m in columns] + ["n"], rows, folded=folded)


def metrics_of(run: RunFolder, subsets: dict[str, Any]) -> list[str]:
    """Every metric that some subset has, but those of single labels, and MAcc in the place of the balanced accuracy, which it is."""
    found = list(dict.fromkeys(m for of in subsets.values() for m in of))
    if run.kind == "multilabel":
        labels = {f"{m}_{label}" for m in SHOWN for label in run.outputs}
        found = [m for m in found if m not in labels]
    found = [m for m in found if not (m == "balanced_accuracy" and "macc" in found)]
    return [m for m in SHOWN if m in found] + [m for m in found if m not in SHOWN]


def _n(of: dict[str, Entry]) -> int | None:
    return max((e["n"] for e in of.values() if isinstance(e, dict) and e.get("n")), default=None)


def _label_table(run: RunFolder, entries: dict[str, Entry]) -> Table:
    columns = [m for m in SHOWN if any(f"{m}_{label}" in entries for label in run.outputs)]
    rows = [(label, [entries.get(f"{m}_{label}") for m in columns]) for label in run.outputs]
    return Table("discrimination_labels", "Each label on its labelled rows, all modalities.", "Label", [title(m) for m in columns], rows)


def _part_table(run: RunFolder, name: str, what: str, found: dict[str, Any]) -> Table:
    parts = {part: subsets[run.full] for part, subsets in found.items() if run.full in subsets}
    columns = metrics_of(run, parts)
    rows = [(part, [of.get(m) for m in columns] + [_n(of)]) for part, of in parts.items()]
    return Table(f"discrimination_{name}", f"Each {what}, all modalities.", what.capitalize(), [title(m) for m in columns] + ["n"], rows, folded=True)


def _threshold(run: RunFolder) -> str:
    source = run.section("threshold")["source"]
    told = {
        "validation": "was chosen on validation rows (largest Youden J); test rows played no part in it",
        "fixed 0.5": "is fixed at 0.5, as there are no validation rows of both classes",
        "mixed": "was chosen on validation rows (largest Youden J), and is fixed at 0.5 where there are none of both classes",
    }
    if source not in told:
        return "No threshold decides: the class with the highest probability is taken."
    rows = run.section("threshold").get("offered", {}).get(run.full, [])
    values = sorted(row["threshold"] for row in rows if isinstance(row.get("threshold"), (int, float)))
    spread = f" ({' to '.join(number(v) for v in dict.fromkeys((values[0], values[-1])))})" if values else ""
    return f"The decision threshold{spread} {told[source]}."


def _curves(run: RunFolder) -> Iterator[Block]:
    if run.kind == "binary":
        tables = {s: run.rows(s) for s in run.section("test")}
        named, main = {s: rows for s, rows in tables.items() if len(rows) and rows["target"].nunique() == 2}, run.full
        chosen = sorted(named, key=lambda s: (s != main, s.count("+"), s))[:MOST_CURVES]  # singles before pairs: they have the plainest colours
        order = sorted(chosen, key=lambda s: (s == main, s.count("+"), -chosen.index(s)))
    else:
        named = {name: rows for name, rows in outcomes(run) if rows["target"].nunique() == 2}
        main = ""
        chosen = order = list(named)[:MOST_CURVES]
    if not named:
        return
    settings = run.section("settings")
    series = {s: k for k, s in enumerate(chosen)}
    resamples = int(settings.get("resamples", 1000))
    of = {s: operating_curves(named[s], units_of_rows(named[s]), resamples if s == main else 0, int(settings.get("seed", 0))) for s in order}
    most = max((named[s] for s in order), key=len) if main not in named else named[main]
    units = len(set(units_of_rows(most)))
    n = f"n = {most[['sample_id', 'fold']].drop_duplicates().shape[0]:,} rows, {units:,} units ({run.unit})"
    band = f" The band is a pointwise 95 % bootstrap interval over units ({of[main]['roc'].resamples} resamples)." if main in of else ""
    missing = f" Of {len(named)} curves the first {MOST_CURVES} are drawn." if len(named) > MOST_CURVES else ""
    roc = lines(
        [_line(run, s, series[s], of[s]["roc"], "auroc") for s in order],
        "False-positive rate (1 − specificity)", "Sensitivity", (-0.01, 1.01), (-0.01, 1.01), "lower right", diagonal=True, square=True,
        points=_point(run) if main in of else (),
    )  # fmt: skip
    numbers = " Numbers: {}." if run.kind in ("binary", "multilabel") else ""
    told = numbers.format("AUROC") + " The diagonal is chance." + (" The dot is the decision threshold." if main in of and _point(run) else "")
    yield Drawing("roc", "ROC curves", f"Test rows; {n}.{band}{missing}{told}", roc)
    pr = lines(
        [_line(run, s, series[s], of[s]["pr"], "auprc") for s in order],
        "Recall (sensitivity)", "Precision (PPV)", (-0.01, 1.01), (-0.01, 1.01), "lower left", square=True,
    )  # fmt: skip
    share = most["target"].mean()
    told = numbers.format("AUPRC") + (f" Chance is the share of positives, {number(share)}." if main in of else "")
    yield Drawing("precision_recall", "Precision-recall curves", f"Test rows; {n}.{band}{missing}{told}", pr)


def _line(run: RunFolder, name: str, series: int, curve: Curves, metric: str) -> Curve:
    test = run.section("test")
    entry = test.get(name, {}).get(metric) if run.kind == "binary" else test.get(run.full, {}).get(f"{metric}_{name}")
    rows = f" (n = {entry['n']:,})" if known(entry) and run.kind in ("binary", "multilabel") else ""
    label = (f"{number(entry['value'])} " if known(entry) else "") + (subset(name) if run.kind == "binary" else name) + rows
    low, high = (curve.low, curve.high) if curve.resamples else ((), ())
    return Curve(label, curve.x, curve.y, low, high, series=series, width=1.1 if "+" in name and run.kind == "binary" else 1.5)


def _point(run: RunFolder) -> list[tuple[float, float, str]]:
    entries = run.section("test").get(run.full, {})
    sensitivity, specificity = entries.get("sensitivity"), entries.get("specificity")
    if not known(sensitivity) or not known(specificity):
        return []
    return [(1 - specificity["value"], sensitivity["value"], "decision threshold")]


def outcomes(run: RunFolder, split: str = "test") -> Iterator[tuple[str, pd.DataFrame]]:
    """Each yes-or-no outcome of the full set of modalities with ``target`` and ``prob`` of its own."""
    rows = run.rows(split=split)
    for name in run.outputs:
        if run.kind == "binary":
            yield "", rows
        elif run.kind == "multilabel":
            own = rows[rows[f"target_{name}"].notna()]
            yield name, own.assign(target=own[f"target_{name}"], prob=own[f"prob_{name}"])
        else:
            yield name, rows.assign(target=(rows["target"].astype(str) == name).astype(np.float64), prob=rows[f"prob_{name}"])


def primary_forest(run: RunFolder, sections: dict[str, str]) -> Drawing | None:
    """Every subset's primary metric, of each section given, with the name it has in the legend."""
    metric = run.primary
    found = {name: run.section(name) for name in sections if run.section(name)}
    if not found:
        return None
    subsets = list(dict.fromkeys(s for of in found.values() for s in of))
    rows: list[Row] = []
    for s in subsets:
        for k, name in enumerate(found):
            entry = found[name].get(s, {}).get(metric)
            if entry is not None:
                label = f"{subset(s)} ({entry['n']:,})" if isinstance(entry.get("n"), int) else subset(s)
                rows.append(Row(label if not rows or rows[-1].label != label or len(found) == 1 else "", entry, k))
    entries = [row.entry for row in rows]
    legend = [sections[name] for name in found] if len(found) > 1 else []
    caption = f"Test rows, each subset of modalities on the rows that have any of it (their number in brackets); {rests_on(entries)}."
    if len({entry.get("n") for entry in entries if entry}) > 1:
        caption += " Subsets on different rows are not to be compared with each other; the differences are on common rows."
    if legend:
        caption += " Offered: the one trained model sees only the subset. Retrained: a model trained on the subset alone."
    return Drawing("subsets", f"{title(metric)} of every subset", caption, forest(rows, title(metric), legend=legend))
