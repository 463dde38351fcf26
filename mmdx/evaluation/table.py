"""The table at the end of a run: ``metrics.json`` as a person reads it, on a terminal or in a log of width 100."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

TITLES = {
    "qwk": "Weighted\nkappa",
    "r2": "R2",
    "c_index": "C-index",
    "c_index_uno": "Uno's C",
    "auroc_td": "AUROC\nover time",
    "integrated_brier": "Integrated\nBrier",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "mae": "MAE",
    "rmse": "RMSE",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "ccc": "CCC",
    "rps": "Ranked\nprob. score",
    "sensitivity_at_90_specificity": "Sens. at\n90 % spec.",
    "balanced_accuracy": "Balanced\naccuracy",
    "macc": "MAcc",
    "accuracy": "Accuracy",
    "brier": "Brier\nscore",
}
NAMES = {"auroc": "AUROC", "qwk": "quadratic weighted kappa", "r2": "R2", "c_index": "C-index"}
"""How the metric that stands for a kind is called in sentences."""
METHODS = {
    "delong": "DeLong", "pairs": "DeLong", "hybrid": "hybrid", "wilson": "Wilson", "ratio": "ratio", "logit bootstrap": "logit bootstrap",
    "bca": "BCa bootstrap", "percentile": "percentile bootstrap",
}  # fmt: skip
CALIBRATION = {"slope": "slope", "intercept": "intercept", "ece_debiased": "debiased ECE"}
GAPS = {
    "tpr_gap": "sensitivity", "fpr_gap": "false positive rate", "ppv_gap": "predictive value", "auroc_gap": "AUROC",
    "calibration_gap": "calibration",
}  # fmt: skip
LOG_WIDTH = 100
Metrics = dict[str, Any]


def print_results(metrics: Metrics) -> None:
    """Print the results to standard output; in a log, which is no terminal, 100 characters wide and without colours."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else LOG_WIDTH
    Console(file=sys.stdout, width=width, highlight=False).print(results_table(metrics))


def results_table(metrics: Metrics) -> Group:
    """What ``print_results`` prints, as a rich renderable: tables, then sentences on how to read them.

    Args:
        metrics: as ``score`` returns it or ``metrics.json`` holds it.
    """
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    tables = []
    if metrics.get("test"):
        tables.append(_subset_table(metrics, metrics["test"], "Test rows: one trained model, offered each subset (95 % intervals below)"))
    if metrics.get("retrained"):
        tables.append(_subset_table(metrics, metrics["retrained"], "Test rows: a model trained on each subset (95 % intervals below)"))
    if metrics["kind"] == "multilabel" and metrics.get("test"):
        tables.append(_label_table(metrics))
    sentences = [Padding(Text(line), (0, 0, 0, 1)) for line in _sentences(metrics)]
    return Group(*tables, *sentences)


def primary_of(metrics: Metrics) -> str:
    """The metric that stands for the others in tables and sentences."""
    return str(metrics.get("primary", "auroc"))


def _columns(entries: Metrics) -> list[str]:
    absent = "balanced_accuracy" if "macc" in entries else "macc"
    return [name for name in TITLES if name in entries and name != absent]


def _table(title: str, first: str, names: list[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.add_column(first, overflow="fold", min_width=8)
    for name in names:
        table.add_column(TITLES[name], justify="right", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    return table


def _subset_table(metrics: Metrics, subsets: Metrics, title: str) -> Table:
    names, primary = _columns(next(iter(subsets.values()))), primary_of(metrics)
    oracle = any("oracle" in entries[primary] for entries in subsets.values())
    table = _table(title, "Modalities", names)
    if oracle:
        table.add_column(f"Oracle\n{TITLES[primary]}", justify="right", no_wrap=True)
    for subset, entries in subsets.items():
        cells = [subset.replace("+", " + "), *(_cell(entries[name]) for name in names), str(entries[primary]["n"])]
        table.add_row(*cells, *([_oracle(entries[primary])] if oracle else []))
    return table


def _label_table(metrics: Metrics) -> Table:
    entries = metrics["test"].get(metrics["full"]) or next(iter(metrics["test"].values()))
    names = _columns(entries)
    table = _table("Each label, all modalities", "Label", names)
    for label in metrics["outputs"]:
        table.add_row(label, *(_cell(entries[f"{name}_{label}"]) for name in names), str(entries[f"auroc_{label}"]["n"]))
    return table


def _cell(entry: Metrics) -> str:
    if entry["value"] is None:
        return "-"
    if entry["low"] is None:
        return f"{_short(entry['value'])}\nno interval"
    middle = " to " if entry["low"] < 0 else "-"
    return f"{_short(entry['value'])}\n{_short(entry['low'])}{middle}{_short(entry['high'])}"


def _short(value: float) -> str:
    """Three places behind the point, fewer where there are many in front."""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}" if abs(value) < 10_000 else f"{value:.3g}"


def _oracle(entry: Metrics) -> str:
    if "oracle" not in entry:
        return "-"
    share = entry.get("share_of_optimum")
    return f"{entry['oracle']:.3f}" + (f"\n{share:.0%}" if share is not None else "")


def _signed(entry: Metrics) -> str:
    if entry["value"] is None:
        return "not defined"
    bounds = f"[{entry['low']:+.3f}, {entry['high']:+.3f}]" if entry["low"] is not None else "(no interval)"
    return f"{entry['value']:+.3f} {bounds}"


def _plain(entry: Metrics) -> str:
    if entry["value"] is None:
        return f"not defined ({entry['reason']})" if "reason" in entry else "not defined"
    return f"{entry['value']:.3f}" + (f" [{entry['low']:.3f}, {entry['high']:.3f}]" if entry["low"] is not None else "")


def _count(number: int, unit: str) -> str:
    return f"{number} " + (unit if number == 1 else " or ".join(f"{word}s" for word in unit.split(" or ")))


def _sentences(metrics: Metrics) -> Iterator[str]:
    for line in (_intervals, _threshold, _censoring, _pooling, _sites, _complete, _reasons, _oracle_line, _differences, _calibration, _groups):
        yield from line(metrics)
    yield from _stale(metrics)


def _stale(metrics: Metrics) -> Iterator[str]:
    if metrics.get("stale"):
        yield f"Not used, as it is of other predictions: what mmdx stress left of {', '.join(metrics['stale'])}; run mmdx stress again."


def _intervals(metrics: Metrics) -> Iterator[str]:
    subsets = [subset for name in ("test", "retrained") for subset in metrics.get(name, {}).values()]
    by_method: dict[str, set[str]] = {}
    for name, entry in ((name, entry) for subset in subsets for name, entry in subset.items() if entry["method"]):
        by_method.setdefault(METHODS.get(entry["method"], entry["method"]), set()).add(name)
    columns = _columns(subsets[0]) if subsets else []
    shown = {told: [TITLES[n].replace("\n", " ") for n in columns if n in names] for told, names in by_method.items()}
    told = [f"{method} ({', '.join(names)})" for method, names in shown.items() if names]
    most = max((entry["n_units"] for subset in subsets for entry in subset.values()), default=0)
    unit = metrics["unit"]
    resamples = f"{metrics['settings']['resamples']} resamples of {_count(most, unit)}"
    yield f"Intervals: {'; '.join(told) or 'none'}; {resamples}; unit: {unit}."
    if unit.startswith("patient or "):
        yield "Some patients are not known: each of their samples counts as independent, so the intervals may be too narrow."
    elif unit != "patient":
        yield f"Patients are not known: each {unit} counts as independent, so the intervals may be too narrow."


def _threshold(metrics: Metrics) -> Iterator[str]:
    if "threshold" not in metrics:
        return
    told = {
        "validation": "chosen on validation rows (largest Youden J)",
        "fixed 0.5": "fixed at 0.5, as there are no validation rows of both classes",
        "mixed": "chosen on validation rows (largest Youden J), fixed at 0.5 where there are none of both classes",
        "none": "none, the class with the highest probability is taken",
    }[metrics["threshold"]["source"]]
    values = [row["threshold"] for row in metrics["threshold"].get("offered", {}).get(metrics["full"], []) if row["source"] == "validation"]
    spread = f"; {metrics['full']}: " + "-".join(f"{v:.3f}" for v in sorted({min(values), max(values)})) if values else ""
    yield f"Decision threshold: {told}{spread}."


def _censoring(metrics: Metrics) -> Iterator[str]:
    if "censoring" not in metrics:
        return
    found = metrics["censoring"]
    horizons = ", ".join(metrics["horizons"])
    yield f"Censoring distribution: from {found['n']} {found['source']}" + (f"; horizons {horizons}." if horizons else "; no horizons (survival_T).")


def _pooling(metrics: Metrics) -> Iterator[str]:
    primary = primary_of(metrics)
    name, entry = NAMES[primary], metrics["test"].get(metrics["full"], {}).get(primary, {})
    if metrics["folds"] > 1:
        own = [fold[metrics["full"]][primary]["value"] for fold in metrics.get("by_fold", {}).values() if metrics["full"] in fold]
        known = [v for v in own if v is not None]
        spread = f"; {name} within folds {min(known):.3f} to {max(known):.3f}, mean {sum(known) / len(known):.3f}" if known else ""
        rule = ", each fold with its own threshold" if metrics.get("threshold", {"source": "none"})["source"] != "none" else ""
        yield f"Test rows of {metrics['folds']} folds pooled{rule}{spread}."
    if "sd_over_seeds" in entry and entry["sd_over_seeds"] is not None:
        yield f"Values are means over {entry['seeds']} seeds; standard deviation of the {name} over seeds {entry['sd_over_seeds']:.3f}."


def _sites(metrics: Metrics) -> Iterator[str]:
    full, primary = metrics["full"], primary_of(metrics)
    entry = metrics["test"].get(full, {}).get(f"{primary}_within_site")
    if entry is None:
        return
    values = {site: subsets[full][primary]["value"] for site, subsets in metrics.get("by_site", {}).items() if full in subsets}
    told = ", ".join(f"{site} {value:.3f}" if value is not None else f"{site} not defined" for site, value in values.items())
    yield f"Within sites, {full}: mean {NAMES[primary]} {_plain(entry)}" + (f" ({told})." if told else ".")


def _complete(metrics: Metrics) -> Iterator[str]:
    primary = primary_of(metrics)
    for name, what in (("test_complete", ""), ("retrained_complete", ", each trained alone")):
        if subsets := metrics.get(name):
            n = max(entries[primary]["n"] for entries in subsets.values())
            told = "; ".join(f"{subset} {_plain(entries[primary])}" for subset, entries in subsets.items())
            yield f"{NAMES[primary]} on the {n} rows that have every modality{what}: {told}."


def _reasons(metrics: Metrics) -> Iterator[str]:
    primary = primary_of(metrics)
    for section in ("test", "retrained"):
        for subset, entries in metrics.get(section, {}).items():
            if reason := entries[primary].get("reason"):
                yield f"{subset}: {NAMES[primary]} {'is not defined, ' if entries[primary]['value'] is None else ''}{reason}."


def _oracle_line(metrics: Metrics) -> Iterator[str]:
    entry = metrics["test"].get(metrics["full"], {}).get("auroc", {})
    if "oracle" in entry:
        best = f"; the optimum of the population is {entry['optimum']:.3f}" if "optimum" in entry else ""
        share = ""
        if entry.get("share_low") is not None:
            share = f" ({entry['share_of_optimum']:.3f} [{entry['share_low']:.3f}, {entry['share_high']:.3f}] of {metrics['full']})"
        yield f"Oracle: AUROC of the true posterior on the same rows, below it the share (AUROC - 0.5) / (oracle - 0.5){share}{best}."


def _differences(metrics: Metrics) -> Iterator[str]:
    unit, primary = metrics["unit"], primary_of(metrics)
    for ablation, found in metrics["differences"].items():
        for modality, entry in found.items():
            rest = " + ".join(m for m in metrics["modalities"] if m != modality)
            own = entry[primary]
            line = f"adding {modality} to {rest}: {NAMES[primary]} {_signed(own)} ({ablation}), {_count(own['n_units'], unit)}"
            if own["low"] is not None and own["low"] == own["high"]:
                line += ", as all units agree the interval says nothing"
            if complete := entry.get("complete"):
                line += f"; where every modality is there {_signed(complete[primary])}, {_count(complete[primary]['n_units'], unit)}"
            yield line
    if metrics["differences"]:
        told = {"offered": "offered: the one trained model, not shown it", "retrained": "retrained: against a model trained without it"}
        yield "; ".join(told[ablation] for ablation in metrics["differences"]) + "; same rows, paired intervals."


def _calibration(metrics: Metrics) -> Iterator[str]:
    entries = metrics.get("calibration", {}).get("", {}).get("entries", {})
    told = [f"{words} {_plain(entries[name])}" for name, words in CALIBRATION.items() if name in entries and entries[name]["value"] is not None]
    if told:
        yield f"Calibration, {metrics['full']}: {', '.join(told)}."


def _groups(metrics: Metrics) -> Iterator[str]:
    columns = metrics.get("groups", {}).get("columns", {})
    gaps = [(gap, column, name) for column, found in columns.items() for name, gap in found["gaps"].items() if gap.get("p_adjusted") is not None]
    if not gaps:
        return
    gap, column, name = min(gaps, key=lambda found: (found[0]["p_adjusted"], found[0]["p"]))
    what = f"{GAPS.get(name, name)} by {column} ({' against '.join(gap['between'])})"
    sign = f"{what}: {_plain(gap)}, p {gap['p']:.3f}, {gap['p_adjusted']:.3f} after Holm"
    yield f"Groups: of {metrics['groups']['tests']} tests the strongest sign of a gap is {sign}."
