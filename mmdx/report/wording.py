"""Numbers and names in words, the same in sentences, tables and figures."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any, TypeGuard

Entry = dict[str, Any]
FOLDERS = re.compile(r"(?<![^\s'\"`(=])(?:[A-Za-z]:[\\/]|~?/)(?:[^\s/\\:'\"`]+[\\/])+")
"""The folders of an absolute path, as in ``/home/name/data/a.png`` or ``C:\\data\\a.png``."""

TITLES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "sensitivity_at_90_specificity": "Sensitivity at 90 % specificity",
    "balanced_accuracy": "Balanced accuracy",
    "macc": "MAcc",
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
    "c_index_uno": "C-index (Uno)",
    "auroc_td": "Time-dependent AUROC",
    "integrated_brier": "Integrated Brier score",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "ccc": "Concordance correlation",
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

LOWER_IS_BETTER = ("brier", "integrated_brier", "mae", "rmse", "rps", "log_loss")


def title(name: str) -> str:
    """What a metric is called in the report."""
    if name in TITLES:
        return TITLES[name]
    if name.endswith("_within_site"):
        return f"{title(name.removesuffix('_within_site'))} within sites"
    of, _, end = name.rpartition("_")
    if of in TITLES and end.replace(".", "", 1).isdigit():
        return f"{TITLES[of]} at {end}"
    return upper_first(name.replace("_", " "))


def less_is_better(name: str) -> bool:
    """Whether less of a metric is better, also of one horizon, as in ``brier_365``, or within sites."""
    return any(name == metric or name.startswith(f"{metric}_") for metric in LOWER_IS_BETTER)


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


def joined(words: Iterable[str], last: str = "and") -> str:
    """Words as a list in a sentence."""
    words = list(words)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" {last} {words[-1]}" if words else ""


def count(number: int, unit: str) -> str:
    """A number of units: "398 patients", "1 patient or sample"."""
    return f"{number:,} " + (unit if number == 1 else " or ".join(f"{word}s" for word in unit.split(" or ")))


def known(entry: Any) -> TypeGuard[Entry]:
    """Whether an entry has a value."""
    return isinstance(entry, dict) and isinstance(entry.get("value"), (int, float))


def bounded(entry: Any) -> TypeGuard[Entry]:
    """Whether an entry has a value and an interval; one without width is none, as it says nothing."""
    ends = [entry.get(end) for end in ("low", "high")] if known(entry) else []
    return bool(ends) and all(isinstance(end, (int, float)) for end in ends) and ends[0] != ends[1]


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
    """How many digits it takes, from ``digits`` to 4, so that the interval keeps its width, no rounded end of it that excludes a reference looks as
    if it touched it, and, where there is no reference, a value that isn't 0 doesn't look like 0."""
    if not known(entry):
        return digits
    ends = [entry["low"], entry["high"]] if bounded(entry) else []
    while digits < 4 and ends and abs(ends[1] - ends[0]) < 2 * 10**-digits:
        digits += 1
    if reference is None:
        ends, reference = [entry["value"]], 0.0
    for end in ends:
        while digits < 4 and end != reference and round(end, digits) == reference:
            digits += 1
    return digits


def bounds(entry: Any, digits: int = 2, signed: bool = False) -> str:
    """The interval alone, "0.82 to 0.91", or "" where there is none."""
    return f"{number(entry['low'], digits, signed)} to {number(entry['high'], digits, signed)}" if bounded(entry) else ""


def interval(entry: Any, digits: int = 2, signed: bool = False) -> str:
    """The interval in words, with what limits it, or why there is none: "95 % interval 0.82 to 0.91", "no interval: all resamples agree"."""
    reason = str(entry.get("reason") or "").removeprefix("no interval: ")
    if bounded(entry):
        return f"95 % interval {bounds(entry, digits, signed)}" + (f", though {reason}" if reason else "")
    if isinstance(entry.get("low"), (int, float)):
        return "no interval: all resamples agree"
    return reason if reason.startswith("no interval") else f"no interval: {reason}" if reason else "no interval"


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
    told = [interval(entry, digits, signed)]
    if rests_on and entry.get("n_units"):
        told.append(count(entry["n_units"], entry.get("unit") or "sample"))
    return f"{number(entry['value'], digits, signed)} ({'; '.join(told)})"


def percent(entry: Any) -> str:
    """A share with its interval: "81 % (95 % interval 74 to 87)"."""
    if not known(entry):
        return value(entry)
    whole = entry | {key: 100 * entry[key] for key in ("value", "low", "high") if isinstance(entry.get(key), (int, float))}
    digits = digits_of(whole, None, 0)
    return f"{number(whole['value'], digits)} % ({interval(whole, digits)})"


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


def without_folders(text: object) -> str:
    """Words with every absolute path cut down to the file's name: a page is given to others, whom the writer's folders don't concern."""
    return FOLDERS.sub("", str(text))


def plain(text: object, most: int = 44) -> str:
    """A name as a label of a figure: without control and direction characters, which would reach beyond it, and not too long."""
    kept = "".join(c if c not in "\n\r\t" else " " for c in str(text))
    kept = "".join(c for c in kept if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn")).strip() or "(no name)"
    return kept if len(kept) <= most else kept[: most - 1] + "…"


def _joined_on(text: str, at: int) -> bool:
    """Whether the character is one with that before it, as an accent is."""
    return unicodedata.category(text[at])[0] == "M" or "\u200d" in text[max(0, at - 1) : at + 1]


def broken(parts: Iterable[str], most: int = 200) -> list[list[str]]:
    """Texts that stand one after the other, each cut where a line may be broken inside a word of more than ``most`` characters.

    A browser takes many seconds to lay out a word of a hundred thousand. Cuts are before no combining character, and count over the ends of the
    texts, as a word may be marked in pieces.
    """
    out: list[list[str]] = []
    length = 0
    for text in parts:
        cuts, start = [], 0
        for word in re.finditer(r"[ \t\n\r\f]|[^ \t\n\r\f]+", text):  # other spaces need not break a line
            if word[0] in " \t\n\r\f":
                length = 0
                continue
            at = word.start()
            while word.end() - at > most - length:
                step = max(0, most - length)
                at, length = at + step, length + step
                while at < word.end() and length < 2 * most and _joined_on(text, at):
                    at, length = at + 1, length + 1
                if at == word.end():
                    break
                cuts.append(text[start:at])
                start, length = at, 0
            length += word.end() - at
        out.append([*cuts, text[start:]])
    return out
