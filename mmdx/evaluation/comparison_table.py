"""A comparison as a table for a page (Markdown) or a paper (LaTeX)."""

from __future__ import annotations

from typing import Any

TITLES = {"auroc": "AUROC", "auprc": "AUPRC", "brier": "Brier score", "c_index": "C-index", "r2": "R2", "qwk": "Weighted kappa"}
TESTS = {"delong": "DeLong", "bootstrap": "paired bootstrap", "corrected_t": "corrected resampled t"}
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}  # fmt: skip
Comparison = dict[str, Any]


def markdown(comparison: Comparison) -> str:
    """The runs, every pair, and what the figures rest on."""
    title = _title(comparison)
    lines = [f"| run | modalities | {title} (95 % interval) | better than |", "|---|---|---|---|"]
    for run in comparison["runs"]:
        cells = [_cell(run["name"]), _cell(run["modalities"]), _value(own_entry(comparison, run)), _cell(beaten(comparison, run))]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"| pair | difference of {title} (95 % interval) | test | p | p (Holm) |", "|---|---|---|---|---|"]
    for pair in comparison["pairs"]:
        star = " *" if pair["significant"] else ""
        names = _cell(f"{pair['a']} - {pair['b']}")
        lines.append(f"| {names} | {_value(pair['shown'], signed=True)} | {TESTS[pair['test']]} | {_p(pair['p'])} | {_p(pair['p_holm'])}{star} |")
    return "\n".join([*lines, "", *notes(comparison)]) + "\n"


def latex(comparison: Comparison) -> str:
    """The same as a ``booktabs`` table, with the pairs' differences from the first run beside it."""
    title, first = _title(comparison), comparison["runs"][0]["name"]
    lines = [
        r"\begin{tabular}{lllll}", r"\toprule",
        f"Run & {_latex(title)} (95\\,\\% interval) & Difference from {_latex(first)} & $p$ (Holm) & Better than \\\\", r"\midrule",
    ]  # fmt: skip
    for run in comparison["runs"]:
        pair = next((p for p in comparison["pairs"] if (p["a"], p["b"]) == (first, run["name"])), None)
        difference, p = "", ""
        if pair is not None:
            difference = _latex(_value(_negated(pair["shown"]), signed=True)).replace("-", "$-$")
            p = _latex(_p(pair["p_holm"])).replace("<", "$<$") + (r"$^{*}$" if pair["significant"] else "")
        cells = [_latex(run["name"]), _latex(_value(own_entry(comparison, run))), difference, p, _latex(beaten(comparison, run))]
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines + [f"% {' '.join(note.split())}" for note in notes(comparison)]) + "\n"


def notes(comparison: Comparison) -> list[str]:
    """What the figures rest on, in sentences."""
    said = [
        f"{comparison['n']} test samples that all runs predicted, of {comparison['n_units']} units ({comparison['unit']}); "
        f"* is p < 0.05 after Holm's correction over {len(comparison['pairs'])} {'pair' if len(comparison['pairs']) == 1 else 'pairs'}."
    ]
    left_out = {run["name"]: run["left_out"] for run in comparison["runs"] if run["left_out"]}
    if left_out:
        said.append("Left out, as not every run predicted them: " + ", ".join(f"{n} samples of {name}" for name, n in left_out.items()) + ".")
    tests = {pair["test"] for pair in comparison["pairs"]}
    if "corrected_t" in tests:
        said.append("Means, intervals and the corrected resampled t-test are over the folds: they speak of the methods, trained anew.")
    else:
        said.append("The tests speak of these trained models on other patients of the kind, not of the methods trained anew; several folds would.")
    if ranks := comparison.get("ranks"):
        order = sorted(ranks["mean_rank"].items(), key=lambda item: item[1])
        said.append(
            f"Mean ranks over {ranks['blocks']} folds: " + ", ".join(f"{name} {rank:.2f}" for name, rank in order)
            + f"; Friedman (Iman-Davenport) p {_p(ranks['p'])}, critical difference (Nemenyi) {ranks['critical_difference']:.2f}. "
            "Folds share training rows, so this test is too bold; it is meant for data sets."
        )  # fmt: skip
    return said


def _title(comparison: Comparison) -> str:
    title = TITLES.get(comparison["metric"], str(comparison["metric"]))
    return f"{title}, mean over folds" if of_folds(comparison) else title


def own_entry(comparison: Comparison, run: dict[str, Any]) -> dict[str, Any]:
    """The run's value of the kind that the pairs' differences are of: the mean over folds where the test of folds counts."""
    return run["mean_over_folds"] if of_folds(comparison) else run[comparison["metric"]]


def of_folds(comparison: Comparison) -> bool:
    """Whether the test of folds counts, so that means over folds are compared."""
    return any(pair["test"] == "corrected_t" for pair in comparison["pairs"])


def _negated(entry: dict[str, Any]) -> dict[str, Any]:
    value, low, high = (None if entry[key] is None else -entry[key] for key in ("value", "low", "high"))
    return {"value": value, "low": high, "high": low}


def beaten(comparison: Comparison, run: dict[str, Any]) -> str:
    """The runs that a run is better than, by the corrected p-values; "-" where there is none."""
    sign = 1 if comparison["higher_is_better"] else -1
    found = []
    for pair in comparison["pairs"]:
        if pair["significant"] and run["name"] in (pair["a"], pair["b"]):
            other, own = (pair["b"], 1) if pair["a"] == run["name"] else (pair["a"], -1)
            if sign * own * pair["shown"]["value"] > 0:
                found.append(other)
    return ", ".join(found) or "-"


def _value(entry: dict[str, Any], signed: bool = False) -> str:
    if entry["value"] is None:
        return "not defined"
    form = "+.3f" if signed else ".3f"
    value, low, high = (None if entry[key] is None else round(entry[key], 3) + 0.0 for key in ("value", "low", "high"))  # no -0.000
    return f"{value:{form}} ({'no interval' if low is None else f'{low:{form}} to {high:{form}}'})"


def _p(p: float | None) -> str:
    return "-" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _latex(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in " ".join(text.split()))
