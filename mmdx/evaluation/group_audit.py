"""One yes-or-no outcome in the groups of one column: metrics of each group, the gaps between groups, each group against the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mmdx.evaluation.fairness import LEVEL, CalibrationErrors, Estimates, aurocs, calibration_excess, means, rates, totals
from mmdx.evaluation.groups import Grouping
from mmdx.evaluation.metrics import BinaryMetrics, Statistic
from mmdx.evaluation.scored import Scored
from mmdx.evaluation.scorer import Entry, by_seed, units_of

MINIMUM, MINIMUM_CASES = 20, 10
LARGE = 5000
"""Units from which on intervals come from the units' influence, which is as good there as the bootstrap and a hundred times as fast."""
RATES = {
    "sensitivity": ("hit", "positive"),
    "false_positive_rate": ("alarm", "negative"),
    "ppv": ("hit", "called"),
    "selection_rate": ("called", "row"),
}
"""The rates at the decision threshold: which rows are counted, of which rows."""
CALIBRATION = "calibration_in_the_large"
ESTIMATED = (*RATES, "auroc", CALIBRATION)
ALL = (*ESTIMATED, "ece", "brier")
NEEDS = {"sensitivity": ("positive",), "false_positive_rate": ("negative",), "ppv": ("called",), "auroc": ("positive", "negative")}
"""Rows that a metric needs enough units of."""
KINDS = {"positive": "positive", "negative": "negative", "called": "positively called"}
GAPS = {
    "tpr_gap": "sensitivity",
    "fpr_gap": "false_positive_rate",
    "ppv_gap": "ppv",
    "auroc_gap": "auroc",
    "calibration_gap": CALIBRATION,
}
"""The gaps that are tested, and the metric of each."""
HIGHER_IS_WORSE = ("false_positive_rate",)
BIASED = "no interval and no test: the ECE of few rows is biased upwards, so that of groups differs by their size; calibration_gap is tested"
PERFECT = "no interval: the AUROC is 0 or 1 in a group"


@dataclass(frozen=True)
class Groups:
    """The groups of one column: who is in them, and what each metric is there.

    Attributes:
        labels: names of the G groups.
        code: number of each row's group, [n]; -1 where it is not known.
        rows, units: how many rows (of one seed) and units each has, [G].
        of: how many units have rows of each kind, [G] by kind; of several seeds the fewest.
        eligible: for each metric the groups that are large enough for it.
    """

    labels: tuple[str, ...]
    code: np.ndarray
    rows: np.ndarray
    units: np.ndarray
    of: dict[str, np.ndarray]
    eligible: dict[str, list[int]]

    def coded(self, name: str) -> np.ndarray:
        """As ``code``, the groups eligible for a metric numbered from 0, and -1 for the others."""
        again = np.full(len(self.labels) + 1, -1)
        again[self.eligible[name]] = np.arange(len(self.eligible[name]))
        return again[self.code]


@dataclass(frozen=True)
class GroupAudit:
    """An outcome, ready to be looked at in groups.

    Attributes:
        scored: the table that it is from.
        rows: with columns ``target``, ``prob`` and ``called``; their index is the place in the code of a grouping.
        minimum, minimum_cases: as of ``groups_section.section``.
    """

    scored: Scored
    rows: pd.DataFrame
    minimum: int = MINIMUM
    minimum_cases: int = MINIMUM_CASES

    def column(self, grouping: Grouping) -> dict[str, Any]:
        """``groups``, ``gaps``, ``worst``, ``left_out`` (groups that are too small) and, where there are any, the number of rows ``unknown`` and
        the ``reason`` why nothing is compared."""
        groups = self._groups(grouping)
        estimates = {name: self._estimates(name, groups.coded(name), len(own)) for name, own in groups.eligible.items() if own and name in ESTIMATED}
        described = {label: self._described(g, groups, estimates) for g, label in enumerate(groups.labels)}
        small = [label for label, group in described.items() if "too_small" in group]
        column: dict[str, Any] = {"groups": described, "gaps": {}, "worst": None, "left_out": small}
        if unknown := int((groups.code < 0).sum()) // len(self._parts):
            column["unknown"] = unknown
        if len(groups.labels) - len(small) < 2:
            return column | {"reason": self._nothing_to_compare(groups, small)}
        column["gaps"] = self._gaps(groups, estimates) | {"ece_gap": self._ece_gap(described, groups)}
        if not grouping.crossed:
            self._add_rest(described, groups, estimates)
        return column | {"worst": _worst(described)}

    def _nothing_to_compare(self, groups: Groups, small: list[str]) -> str:
        if len(groups.labels) == 1:
            return f"all rows are in one group ({groups.labels[0]}), so there is nothing to compare"
        fewer = f"{len(small)} of {len(groups.labels)} groups have fewer than {self.minimum} units ({self.scored.scorer.unit})"
        return f"{fewer}, so there is nothing to compare"

    @cached_property
    def _unit(self) -> np.ndarray:
        return units_of(self.rows["unit"])

    @cached_property
    def _parts(self) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Of each seed the places of its rows, and their columns."""
        found = []
        for part, place in by_seed(self.rows):
            positive, called = part["target"].to_numpy() == 1, part["called"].to_numpy(bool)
            kinds = {"row": np.ones(len(part), bool), "positive": positive, "negative": ~positive, "called": called}
            hits = {"hit": positive & called, "alarm": ~positive & called}
            found.append((place, kinds | hits | {"prob": part["prob"].to_numpy(np.float64)}))
        return found

    def _totals(self, column: str, code: np.ndarray, groups: int) -> list[np.ndarray]:
        """Sums by unit and group, of each seed."""
        units = int(self._unit.max()) + 1
        return [totals(part[column], code[place], self._unit[place], groups, units) for place, part in self._parts]

    def _groups(self, grouping: Grouping) -> Groups:
        code, labels = grouping.code[self.rows.index], grouping.labels
        found = {kind: self._totals(kind, code, len(labels)) for kind in ("row", "positive", "negative", "called")}
        of = {kind: np.min([(own > 0).sum(axis=0) for own in seeds], axis=0) for kind, seeds in found.items()}
        rows = np.mean([own.sum(axis=0) for own in found["row"]], axis=0).round().astype(int)
        enough = {name: (of["row"] >= self.minimum) & np.all([of[k] >= self.minimum_cases for k in NEEDS.get(name, ())], axis=0) for name in ALL}
        return Groups(labels, code, rows, of["row"], of, {name: np.flatnonzero(here).tolist() for name, here in enough.items()})

    def _estimates(self, name: str, code: np.ndarray, groups: int) -> Estimates:
        if name == "auroc":
            parts = [(part["positive"], part["prob"], code[place], self._unit[place]) for place, part in self._parts]
            return aurocs(parts, groups, int(self._unit.max()) + 1)
        if name in RATES:
            return rates(list(zip(*(self._totals(column, code, groups) for column in RATES[name]), strict=True)))
        prob, positive, row = (self._totals(column, code, groups) for column in ("prob", "positive", "row"))
        return means([(p - y, n) for p, y, n in zip(prob, positive, row, strict=True)])

    def _errors(self, code: np.ndarray) -> dict[str, Estimates]:
        """ECE and Brier score of the rows with code 0."""
        found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"ece": [], "brier": []}
        for (place, part), rows in zip(self._parts, self._totals("row", code, 1), strict=True):
            own, unit = code[place] == 0, self._unit[place]
            target, prob = part["positive"][own].astype(float), part["prob"][own]
            for name, errors in (("ece", calibration_excess(target, prob)), ("brier", (prob - target) ** 2)):
                found[name].append((totals(errors, np.zeros(len(errors), int), unit[own], 1, len(rows)), rows))
        return {name: means(parts) for name, parts in found.items()}

    def _entry(self, value: float, low: float, high: float, groups: Groups, own: list[int], method: str) -> Entry:
        """An entry that rests on some of the groups."""
        inside = np.isin(groups.code, own)
        known = bool(np.isfinite([low, high]).all())
        bounds = {"value": float(value), "low": float(low) if known else None, "high": float(high) if known else None}
        counts = {"n": int(groups.rows[own].sum()), "unit": self.scored.scorer.unit, "n_units": int((np.bincount(self._unit[inside]) > 0).sum())}
        return bounds | counts | {"method": method if known else None} | ({} if known else {"reason": PERFECT})

    def _nothing(self, groups: Groups, own: list[int], reason: str) -> Entry:
        return self._entry(0.0, 0.0, 0.0, groups, own, "") | {"value": None, "low": None, "high": None, "method": None, "reason": reason}

    def _described(self, g: int, groups: Groups, estimates: dict[str, Estimates]) -> dict[str, Any]:
        """Size and entries of a group."""
        size: dict[str, Any] = {"n": int(groups.rows[g]), "n_units": int(groups.units[g])}
        if groups.units[g] < self.minimum:
            return size | {"too_small": True}
        rows = self.rows[groups.code == g]
        large = groups.units[g] >= LARGE
        plain = replace(self.scored, scorer=replace(self.scored.scorer, kind="binary", outputs=[""]))
        found = {} if large else plain.measure(rows, _ranking) | plain.measure(rows, _calibration)
        estimates = estimates | self._errors(np.where(groups.code == g, 0, -1)) if large else estimates
        entries: dict[str, Entry] = {}
        for name in ALL:
            if g not in groups.eligible[name]:
                entries[name] = self._nothing(groups, [g], self._too_few(name, g, groups))
            elif name in RATES or large:
                own = estimates[name]
                place = groups.eligible[name].index(g) if name in ESTIMATED else 0
                low, high = own.limits()
                entries[name] = self._entry(own.value[place], low[place], high[place], groups, [g], "wilson" if name in RATES else own.method)
            else:
                entries[name] = found[name]
        entries["ece"] = {k: v for k, v in entries["ece"].items() if k != "dropped"} | {"low": None, "high": None, "method": None, "reason": BIASED}
        return size | {"positives": int((rows["target"] == 1).sum()) // len(self._parts), "entries": entries}

    def _too_few(self, name: str, g: int, groups: Groups) -> str:
        kind = next(kind for kind in NEEDS[name] if groups.of[kind][g] < self.minimum_cases)
        return f"{groups.of[kind][g]} units ({self.scored.scorer.unit}) with {KINDS[kind]} rows; at least {self.minimum_cases} are asked for"

    def _gaps(self, groups: Groups, estimates: dict[str, Estimates]) -> dict[str, Entry]:
        gaps = {gap: self._gap(name, groups, estimates) for gap, name in GAPS.items()}
        if all(gaps[name]["value"] is not None for name in ("tpr_gap", "fpr_gap")):
            gaps["equalized_odds"] = self._equalized_odds(gaps, estimates)
        return gaps

    def _gap(self, name: str, groups: Groups, estimates: dict[str, Estimates]) -> Entry:
        """Largest minus smallest value of a metric, with a test of "all are equal"."""
        own = groups.eligible[name]
        if len(own) < 2:
            kinds = " and ".join(KINDS[kind] for kind in NEEDS.get(name, ()))
            return self._nothing(groups, own, f"fewer than two groups have {self.minimum_cases} units with {kinds} rows") | {"p": None}
        found = estimates[name]
        p = found.p_value()
        order = np.argsort(-found.value if name in HIGHER_IS_WORSE else found.value, kind="stable")
        left_out = [label for g, label in enumerate(groups.labels) if g not in own and groups.units[g] >= self.minimum]
        entry = self._entry(*found.gap(), groups, own, found.method if len(own) == 2 else f"{found.method}, simultaneous")
        entry |= {"p": None if np.isnan(p) else p, "between": [groups.labels[own[order[0]]], groups.labels[own[order[-1]]]]}
        return entry | ({"left_out": left_out} if left_out else {})

    def _equalized_odds(self, gaps: dict[str, Entry], estimates: dict[str, Estimates]) -> Entry:
        """The larger of the gaps in sensitivity and false positive rate (Hardt et al. 2016); interval and test are from those of both, each at half
        the level (Bonferroni)."""
        wide = [estimates[name].gap((1 - LEVEL) / 2) for name in ("sensitivity", "false_positive_rate")]
        both = [gaps[name] for name in ("tpr_gap", "fpr_gap")]
        ends = {"low": max(0.0, *(low for _, low, _ in wide)), "high": max(high for _, _, high in wide)}
        return max(both, key=lambda gap: gap["value"]) | ends | {"method": "newcombe, simultaneous", "p": min(1.0, 2 * min(gap["p"] for gap in both))}

    def _ece_gap(self, described: dict[str, Any], groups: Groups) -> Entry:
        own = groups.eligible["ece"]
        values = [described[groups.labels[g]]["entries"]["ece"]["value"] for g in own]
        between = [groups.labels[own[int(place(values))]] for place in (np.argmax, np.argmin)]
        return self._nothing(groups, own, BIASED) | {"value": max(values) - min(values), "p": None, "between": between}

    def _add_rest(self, described: dict[str, Any], groups: Groups, estimates: dict[str, Estimates]) -> None:
        """Each group minus all other rows whose group is known; of two groups the gap says it already."""
        for name in GAPS.values():
            for g in groups.eligible[name] if len(groups.eligible[name]) > 2 else []:
                code = np.where(groups.code < 0, -1, groups.code != g)
                found = self._estimates(name, code, 2)
                p = found.p_value()
                entry = self._entry(*found.difference(0, 1), groups, list(range(len(groups.labels))), found.method)
                described[groups.labels[g]].setdefault("against_rest", {})[name] = entry | {"p": None if np.isnan(p) else p}


def _ranking(rows: pd.DataFrame, unit: np.ndarray) -> Statistic:
    target, prob = (rows[column].to_numpy(np.float64) for column in ("target", "prob"))
    return BinaryMetrics(target, prob, unit, names=("auroc", "brier"))


def _calibration(rows: pd.DataFrame, unit: np.ndarray) -> Statistic:
    target, prob = (rows[column].to_numpy(np.float64) for column in ("target", "prob"))
    return CalibrationErrors(target, prob, unit)


def _worst(described: dict[str, Any]) -> dict[str, Any] | None:
    """The group with the lowest AUROC, or where that is not known the lowest sensitivity; and the worst group of every metric that is compared."""
    by_metric: dict[str, str] = {}
    for name in ("auroc", "sensitivity", "false_positive_rate", "ppv", CALIBRATION):
        known = {label: group["entries"][name]["value"] for label, group in described.items() if "entries" in group}
        known = {label: value for label, value in known.items() if value is not None}
        if len(known) > 1:
            badness = [value if name in HIGHER_IS_WORSE else abs(value) if name == CALIBRATION else -value for value in known.values()]
            by_metric[name] = list(known)[int(np.argmax(badness))]
    if not by_metric:
        return None
    metric = next(iter(by_metric))
    return {"metric": metric, "group": by_metric[metric], "entry": described[by_metric[metric]]["entries"][metric], "by_metric": by_metric}
