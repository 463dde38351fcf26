"""Numbers and names in words, the same in sentences, tables and figures."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any, TypeGuard

Entry = dict[str, Any]

TITLES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "sensitivity_at_90_specificity": "Sensitivity at 90 % specificity",
    "balanced_accuracy": "Balanced accuracy",
    "macc": "MAcc",
    "auroc_within_site": "AUROC within sites",
    "brier": "Brier score",
    "brier_reliability": "Brier: reliability",
    "brier_resolution": "Brier: resolution",
    "brier_uncertainty": "Brier: uncertainty",
    "ece": "ECE",
    "ece_debiased": "ECE, debiased",
    "log_loss": "Log loss",
    "slope": "Calibration slope",
    "intercept": "Calibration intercept",
    "intercept_joint": "Intercept beside the slope",
    "ppv": "PPV",
    "mae": "Mean absolute error",
    "rmse": "Root mean squared error",
    "r2": "R²",
    "qwk": "Quadratic weighted kappa",
    "rps": "Ranked probability score",
    "c_index": "C-index",
    "aurc": "Area under risk-coverage",
    "excess_aurc": "Excess over the best order",
    "augrc": "Generalised risk (AUGRC)",
    "error_auroc": "AUROC of errors",
    "risk": "Risk, all answered",
    "risk_at_80_coverage": "Risk at 80 % coverage",
    "mean_size": "Mean set size",
    "tpr_gap": "Sensitivity gap",
    "fpr_gap": "False-positive gap",
    "ppv_gap": "PPV gap",
    "auroc_gap": "AUROC gap",
    "ece_gap": "ECE gap",
    "equalized_odds": "Equalised odds difference",
}

LOWER_IS_BETTER = ("brier", "mae", "rmse", "rps", "log_loss")


def title(name: str) -> str:
    """What a metric is called in the report."""
    return TITLES.get(name) or upper_first(name.replace("_", " "))


def in_sentence(name: str) -> str:
    """The same inside a sentence: abbreviations and Brier's name keep their capital."""
    words = title(name)
    return words[0].lower() + words[1:] if words[1:2].islower() and not words.startswith("Brier") else words


def with_article(name: str) -> str:
    """The same with "a" or "an" before it."""
    words = in_sentence(name)
    vowels = "aeio" if words[0].islower() else "AEFHILMNORSX"  # as an abbreviation's first letter is said
    return f"{'an' if words[0] in vowels else 'a'} {words}"


def upper_first(words: str) -> str:
    """Words with a capital at their beginning, the others as they are."""
    return words[:1].upper() + words[1:]


def subset(name: str) -> str:
    """A subset of modalities, ``image+text``, in words."""
    return joined(name.split("+"))


def joined(words: Iterable[str]) -> str:
    """Words as a list in a sentence."""
    words = list(words)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" and {words[-1]}" if words else ""


def count(number: int, unit: str) -> str:
    """A number of units: "398 patients", "1 patient or sample"."""
    return f"{number:,} " + (unit if number == 1 else " or ".join(f"{word}s" for word in unit.split(" or ")))


def known(entry: Any) -> TypeGuard[Entry]:
    """Whether an entry has a value."""
    return isinstance(entry, dict) and isinstance(entry.get("value"), (int, float))


def bounded(entry: Any) -> TypeGuard[Entry]:
    """Whether an entry has a value and an interval."""
    return known(entry) and isinstance(entry.get("low"), (int, float)) and isinstance(entry.get("high"), (int, float))


def beyond(entry: Any, reference: float = 0.0) -> int:
    """On which side of a reference the interval lies: 1 above, -1 below, 0 where it includes it or there is none."""
    if not bounded(entry):
        return 0
    return 1 if entry["low"] > reference else -1 if entry["high"] < reference else 0


def number(value: float, digits: int = 2, signed: bool = False) -> str:
    """A number with a true minus sign; never a minus before zero."""
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if not float(text):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def digits_of(entry: Any, reference: float | None, digits: int = 2) -> int:
    """How many digits it takes, from ``digits`` to 4, so that no rounded end of an interval that excludes a reference looks as if it touched it."""
    if reference is not None and bounded(entry):
        for end in (entry["low"], entry["high"]):
            while digits < 4 and end != reference and round(end, digits) == reference:
                digits += 1
    return digits


def bounds(entry: Any, digits: int = 2, signed: bool = False) -> str:
    """The interval alone, "0.82 to 0.91", or "" where there is none."""
    return f"{number(entry['low'], digits, signed)} to {number(entry['high'], digits, signed)}" if bounded(entry) else ""


def value(entry: Any, reference: float | None = None, signed: bool = False, rests_on: bool = False, digits: int = 2) -> str:
    """A value with its interval: "0.87 (95 % interval 0.82 to 0.91; 398 patients)".

    Args:
        entry: as in ``metrics.json``.
        reference: what the interval is held against, such as 0 for a difference; decides how many digits are needed.
        signed: whether a plus is written.
        rests_on: whether the units behind it are named.
        digits: after the point, at least.
    """
    if not known(entry):
        return f"not defined ({entry['reason']})" if isinstance(entry, dict) and entry.get("reason") else "not defined"
    digits = digits_of(entry, reference, digits)
    told = [f"95 % interval {bounds(entry, digits, signed)}" if bounded(entry) else "no interval"]
    if rests_on and entry.get("n_units"):
        told.append(count(entry["n_units"], entry.get("unit") or "sample"))
    return f"{number(entry['value'], digits, signed)} ({'; '.join(told)})"


def percent(entry: Any) -> str:
    """A share with its interval: "81 % (95 % interval 74 to 87)"."""
    if not known(entry):
        return value(entry)
    ends = f"95 % interval {100 * entry['low']:.0f} to {100 * entry['high']:.0f}" if bounded(entry) else "no interval"
    return f"{100 * entry['value']:.0f} % ({ends})"


def rests_on(entries: Iterable[Any]) -> str:
    """What figures rest on, for a caption: "n = 412 samples of 398 patients; 95 % BCa bootstrap intervals over patients"."""
    own = [e for e in entries if known(e)]
    if not own:
        return ""
    most = max(own, key=lambda e: e.get("n_units") or 0)
    unit = most.get("unit") or "sample"
    told = count(most["n"], "row") if most.get("n") else ""
    if most.get("n_units") and (unit != "sample" or most["n_units"] != most.get("n")):
        told += f" of {count(most['n_units'], unit)}"
    methods = sorted({METHODS.get(str(e["method"]), str(e["method"])) for e in own if e.get("method")})
    intervals = f"; 95 % intervals ({', '.join(methods)}), unit: {unit}" if methods else "; no intervals"
    return f"n = {told}{intervals}"


def intervals_of(entries: Iterable[Any]) -> str:
    """How the intervals of entries that rest on different rows were made, for a caption."""
    own = [e for e in entries if bounded(e)]
    methods = sorted({METHODS.get(str(e["method"]), str(e["method"])) for e in own if e.get("method")})
    units = sorted({str(e["unit"]) for e in own if e.get("unit")})
    over = f", unit: {', '.join(units)}" if units else ""
    return f"95 % intervals ({', '.join(methods) or 'method not recorded'}){over}" if own else "No intervals"


METHODS = {
    "bca": "BCa bootstrap", "percentile": "percentile bootstrap", "wilson": "Wilson", "delong": "DeLong", "pairs": "DeLong", "newcombe": "Newcombe",
}  # fmt: skip


def p_value(p: float) -> str:
    """A p-value: "p = 0.03", "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def plain(text: object, most: int = 44) -> str:
    """A name as a label of a figure: without control and direction characters, which would reach beyond it, and not too long."""
    kept = "".join(c if c not in "\n\r\t" else " " for c in str(text))
    kept = "".join(c for c in kept if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn")).strip() or "(no name)"
    return kept if len(kept) <= most else kept[: most - 1] + "…"
