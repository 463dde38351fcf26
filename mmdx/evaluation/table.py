"""The table at the end of a run: ``metrics.json`` as a person reads it, on a terminal or in a log of width 100."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

TITLES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "sensitivity_at_90_specificity": "Sens. at\n90 % spec.",
    "balanced_accuracy": "Balanced\naccuracy",
    "macc": "MAcc",
    "accuracy": "Accuracy",
    "brier": "Brier\nscore",
}
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
    names = _columns(next(iter(subsets.values())))
    oracle = any("oracle" in entries["auroc"] for entries in subsets.values())
    table = _table(title, "Modalities", names)
    if oracle:
        table.add_column("Oracle\nAUROC", justify="right", no_wrap=True)
    for subset, entries in subsets.items():
        cells = [subset.replace("+", " + "), *(_cell(entries[name]) for name in names), str(entries["auroc"]["n"])]
        table.add_row(*cells, *([_oracle(entries["auroc"])] if oracle else []))
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
    return f"{entry['value']:.3f}" + (f"\n{entry['low']:.3f}-{entry['high']:.3f}" if entry["low"] is not None else "\nno interval")


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
    for line in (_intervals, _threshold, _pooling, _sites, _complete, _reasons, _oracle_line, _differences):
        yield from line(metrics)


def _intervals(metrics: Metrics) -> Iterator[str]:
    entries = [e for name in ("test", "retrained") for subset in metrics.get(name, {}).values() for e in subset.values()]
    methods = {e["method"] for e in entries if e["method"]}
    how = {"bca": "BCa", "percentile": "percentile"}
    told = " (percentile where BCa degenerates)" if len(methods) == 2 else ""
    most = max((e["n_units"] for e in entries), default=0)
    unit = metrics["unit"]
    name = how["bca" if "bca" in methods else "percentile"]
    yield f"Intervals: {name} bootstrap{told}, {metrics['settings']['resamples']} resamples of {_count(most, unit)}; unit: {unit}."
    if unit.startswith("patient or "):
        yield "Some patients are not known: each of their samples counts as independent, so the intervals may be too narrow."
    elif unit != "patient":
        yield f"Patients are not known: each {unit} counts as independent, so the intervals may be too narrow."


def _threshold(metrics: Metrics) -> Iterator[str]:
    told = {
        "validation": "chosen on validation rows (largest Youden J)",
        "fixed 0.5": "fixed at 0.5, as there are no validation rows of both classes",
        "mixed": "chosen on validation rows (largest Youden J), fixed at 0.5 where there are none of both classes",
        "none": "none, the class with the highest probability is taken",
    }[metrics["threshold"]["source"]]
    values = [row["threshold"] for row in metrics["threshold"].get("offered", {}).get(metrics["full"], []) if row["source"] == "validation"]
    spread = f"; {metrics['full']}: " + "-".join(f"{v:.3f}" for v in sorted({min(values), max(values)})) if values else ""
    yield f"Decision threshold: {told}{spread}."


def _pooling(metrics: Metrics) -> Iterator[str]:
    entry = metrics["test"].get(metrics["full"], {}).get("auroc", {})
    if metrics["folds"] > 1:
        own = [fold[metrics["full"]]["auroc"]["value"] for fold in metrics.get("by_fold", {}).values() if metrics["full"] in fold]
        known = [v for v in own if v is not None]
        spread = f"; AUROC within folds {min(known):.3f} to {max(known):.3f}, mean {sum(known) / len(known):.3f}" if known else ""
        yield f"Test rows of {metrics['folds']} folds pooled, each fold with its own threshold{spread}."
    if "sd_over_seeds" in entry and entry["sd_over_seeds"] is not None:
        yield f"Values are means over {entry['seeds']} seeds; standard deviation of the AUROC over seeds {entry['sd_over_seeds']:.3f}."


def _sites(metrics: Metrics) -> Iterator[str]:
    full = metrics["full"]
    entry = metrics["test"].get(full, {}).get("auroc_within_site")
    if entry is None:
        return
    values = {site: subsets[full]["auroc"]["value"] for site, subsets in metrics.get("by_site", {}).items() if full in subsets}
    told = ", ".join(f"{site} {value:.3f}" if value is not None else f"{site} not defined" for site, value in values.items())
    yield f"Within sites, {full}: mean AUROC {_plain(entry)}" + (f" ({told})." if told else ".")


def _complete(metrics: Metrics) -> Iterator[str]:
    for name, what in (("test_complete", ""), ("retrained_complete", ", each trained alone")):
        if subsets := metrics.get(name):
            n = max(entries["auroc"]["n"] for entries in subsets.values())
            told = "; ".join(f"{subset} {_plain(entries['auroc'])}" for subset, entries in subsets.items())
            yield f"AUROC on the {n} rows that have every modality{what}: {told}."


def _reasons(metrics: Metrics) -> Iterator[str]:
    for section in ("test", "retrained"):
        for subset, entries in metrics.get(section, {}).items():
            if reason := entries["auroc"].get("reason"):
                yield f"{subset}: AUROC {'is not defined, ' if entries['auroc']['value'] is None else ''}{reason}."


def _oracle_line(metrics: Metrics) -> Iterator[str]:
    entry = metrics["test"].get(metrics["full"], {}).get("auroc", {})
    if "oracle" in entry:
        best = f"; the optimum of the population is {entry['optimum']:.3f}" if "optimum" in entry else ""
        share = ""
        if entry.get("share_low") is not None:
            share = f" ({entry['share_of_optimum']:.3f} [{entry['share_low']:.3f}, {entry['share_high']:.3f}] of {metrics['full']})"
        yield f"Oracle: AUROC of the true posterior on the same rows, below it the share (AUROC - 0.5) / (oracle - 0.5){share}{best}."


def _differences(metrics: Metrics) -> Iterator[str]:
    unit = metrics["unit"]
    for ablation, found in metrics["differences"].items():
        for modality, entry in found.items():
            rest = " + ".join(m for m in metrics["modalities"] if m != modality)
            line = f"adding {modality} to {rest}: AUROC {_signed(entry['auroc'])} ({ablation}), {_count(entry['auroc']['n_units'], unit)}"
            if complete := entry.get("complete"):
                line += f"; where every modality is there {_signed(complete['auroc'])}, {_count(complete['auroc']['n_units'], unit)}"
            yield line
    if metrics["differences"]:
        told = {"offered": "offered: the one trained model, not shown it", "retrained": "retrained: against a model trained without it"}
        yield "; ".join(told[ablation] for ablation in metrics["differences"]) + "; same rows, paired intervals."
