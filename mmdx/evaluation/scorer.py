"""From rows of the predictions table to scored entries, the leaves of ``metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mmdx.evaluation.interval_choice import intervals_of
from mmdx.evaluation.intervals import Interval, bootstrap
from mmdx.evaluation.kinds import KINDS, has_primary, statistic_of
from mmdx.evaluation.metrics import RANKING, BinaryMetrics, Statistic, weighted
from mmdx.evaluation.panels import Difference, Mean, MulticlassMetrics, MultilabelMetrics, Share

Entry = dict[str, Any]
WITH_ORACLE = (*RANKING, "brier")
WITH_CHANCE = ("auroc", "auprc", "brier")


@dataclass(frozen=True)
class Scorer:
    """Scores rows of one predictions table in canonical form, whose column ``unit`` numbers the units that are drawn.

    Attributes:
        kind: one of ``kinds.KINDS``.
        outputs: names of the classes or labels, in the order of the columns; none for a number or a time.
        unit: what is drawn in resampling, as it is called in the results.
        extra: further metrics, such as ``macc``.
        resamples, seed: of the bootstrap.
        optimum: of a subset the best value of each metric in the population, where it is known.
    """

    kind: str
    outputs: list[str]
    unit: str
    extra: tuple[str, ...] = ()
    resamples: int = 1000
    seed: int = 0
    optimum: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, without the labels' own."""
        return (*KINDS[self.kind].metrics, *self.extra)

    @property
    def primary(self) -> str:
        """The metric that stands for the kind."""
        return KINDS[self.kind].primary

    def score(self, rows: pd.DataFrame, with_optimum: bool = True) -> dict[str, Entry]:
        """Every metric of the rows of one subset, with its interval.

        Args:
            rows: with column ``threshold`` where the target is binary, ``threshold_LABEL`` where there are labels.
            with_optimum: whether the rows are of the population that ``optimum`` is of.
        """
        parts = by_seed(rows)
        units = units_of(rows["unit"])
        statistics = [self.statistic(part, units[place]) for part, place in parts]
        entries = self.entries(Mean(statistics), statistics, rows, units)
        self._add_oracle(entries, rows)
        if with_optimum:
            for name, value in self.optimum.get(rows["modalities"].iloc[0], {}).items():
                if name in entries:
                    entries[name]["optimum"] = float(value)
        return entries

    def value(self, rows: pd.DataFrame) -> float | None:
        """The primary metric of some rows, mean over seeds, without an interval; None where it is not defined."""
        parts = [(part, np.arange(len(part))) for part, _ in by_seed(rows)]
        found = [weighted(self.statistic(part, unit, only_primary=True), np.ones(len(part)))[self.primary] for part, unit in parts]
        return _number(float(np.mean(found)))

    def within_site(self, rows: pd.DataFrame) -> Entry:
        """Mean over the sites of the primary metric within the site, of those where it is defined."""
        by_site = rows[rows["meta_site"].notna()].groupby("meta_site", sort=True)
        usable = [part for _, part in by_site if has_primary(self.kind, self.outputs, part)]
        if not usable:
            nothing = {"value": None, "low": None, "high": None} | self._counts(rows, self.outputs)
            return nothing | {"method": None, "reason": "no site has rows to tell apart"}
        kept = pd.concat(usable).sort_index()
        units = units_of(kept["unit"])
        statistics: list[Statistic] = []
        for part, place in by_seed(kept):
            places = [np.flatnonzero(part["meta_site"] == site) for site in part["meta_site"].unique()]
            own = [self.statistic(part.iloc[p], units[place][p], only_primary=True) for p in places]
            statistics.append(Mean(own))
        entry = self.entries(Mean(statistics), statistics, kept, units)[self.primary]
        return entry | {"sites": len(usable)}

    def difference(self, full: pd.DataFrame, rest: pd.DataFrame) -> dict[str, Entry]:
        """Metrics of ``full`` minus those of ``rest``, two tables of the same samples, folds and seeds in the same order."""
        units, names = units_of(full["unit"]), KINDS[self.kind].differences
        pairs = []
        for (one, place), (two, _) in zip(by_seed(full), by_seed(rest), strict=True):
            pairs.append(Difference(self.statistic(one, units[place]), self.statistic(two, units[place]), names))
        entries = self.entries(Mean(pairs), list(pairs), full, units)
        oracles = [self._oracle(table) for table in (full, rest)]
        for name in set(names) & set(oracles[0]) & set(oracles[1]):
            entries[name]["oracle"] = oracles[0][name] - oracles[1][name]
        return entries

    def statistic(self, rows: pd.DataFrame, unit: np.ndarray, only_primary: bool = False) -> Statistic:
        """The metrics of the rows of one seed, whose units are numbered by ``unit`` [n]."""
        names = (self.primary,) if only_primary else self.metrics
        if self.kind in ("ordinal", "regression", "survival"):
            return statistic_of(self.kind, self.outputs, rows, unit)
        if self.kind == "binary":
            target, prob, threshold = (rows[c].to_numpy(np.float64) for c in ("target", "prob", "threshold"))
            return BinaryMetrics(target, prob, unit, threshold, names)
        return self._several(rows, unit, names)

    def _several(self, rows: pd.DataFrame, unit: np.ndarray, names: tuple[str, ...]) -> Statistic:
        prob = rows[[f"prob_{name}" for name in self.outputs]].to_numpy(np.float64)
        if self.kind == "multiclass":
            return MulticlassMetrics(pd.Index(self.outputs).get_indexer(pd.Index(rows["target"])), prob, unit)
        target = rows[[f"target_{name}" for name in self.outputs]].to_numpy(np.float64)
        threshold = rows[[f"threshold_{name}" for name in self.outputs]].to_numpy(np.float64)
        return MultilabelMetrics(target, prob, unit, threshold, self.outputs, names)

    def entries(self, statistic: Statistic, parts: list[Statistic], rows: pd.DataFrame, units: np.ndarray) -> dict[str, Entry]:
        """Entries of a statistic's metrics.

        Args:
            statistic: of all rows.
            parts: the same of each seed's rows.
            rows: what the statistic was made from.
            units: number of each row's unit.
        """
        count = int(units.max()) + 1
        found = intervals_of(statistic, count, len(rows), self.resamples, self.seed)
        seeds = [weighted(s, np.ones(count)) for s in parts]
        counts: dict[str, Entry] = {}
        entries = {}
        for name, result in found.items():
            label = self._label(name)
            if label not in counts:
                counts[label] = self._counts(rows, [label] if label else self.outputs)
            entry = self._entry(result, counts[label])
            if len(seeds) > 1:
                values = [s[name] for s in seeds]
                entry |= {"seeds": len(seeds), "sd_over_seeds": _number(float(np.std(values, ddof=1)))}
            entries[name] = entry
        return entries

    def _label(self, name: str) -> str:
        """The label that a metric belongs to, "" where it is none's own."""
        own = [label for label in self.outputs if any(name == f"{metric}_{label}" for metric in self.metrics)]
        return own[0] if self.kind == "multilabel" and own else ""

    def _counts(self, rows: pd.DataFrame, labels: list[str]) -> Entry:
        """How many rows and units a metric rests on: for labels those that are labelled."""
        if self.kind == "multilabel" and "target" not in rows:
            rows = rows[rows[[f"target_{label}" for label in labels]].notna().any(axis=1)]
        n = len(rows[["sample_id", "fold"]].drop_duplicates()) if rows["seed"].nunique() > 1 else len(rows)
        return {"n": n, "unit": self.unit, "n_units": int(rows["unit"].nunique())}

    def _entry(self, found: Interval, counts: Entry) -> Entry:
        bounds: Entry = {"value": _number(found.value), "low": _number(found.low), "high": _number(found.high)}
        entry = bounds | counts | {"method": found.method or None}
        if found.dropped:
            entry["dropped"] = found.dropped
        if entry["value"] is None:
            entry["reason"] = KINDS[self.kind].lacking.format(n=entry["n"]) if entry["n"] else "no labelled row"
        elif entry["n_units"] < 2:
            entry["reason"] = f"no interval from one {self.unit}"
        elif entry["low"] is None:
            entry["reason"] = f"no interval: undefined in {found.dropped} of {found.draws} resamples"
        elif entry["low"] == entry["high"]:
            entry["reason"] = "all units or resamples gave the same value, so the interval says nothing"
        elif found.method == "pairs":
            entry["reason"] = "nothing varies at this value; the limit is that of pairs of a positive and a negative row that share no unit"
        return entry

    def _has_oracle(self, rows: pd.DataFrame) -> bool:
        """Whether the true posterior is known for all of the rows."""
        return self.kind == "binary" and "oracle" in rows and not rows["oracle"].isna().any()

    def _oracle_statistic(self, rows: pd.DataFrame, unit: np.ndarray) -> BinaryMetrics:
        return BinaryMetrics(rows["target"].to_numpy(np.float64), rows["oracle"].to_numpy(np.float64), unit, names=WITH_ORACLE)

    def _oracle(self, rows: pd.DataFrame) -> dict[str, float]:
        """Score of the true posterior on the same rows, {} where it isn't known for all of them."""
        if not self._has_oracle(rows):
            return {}
        found = [weighted(self._oracle_statistic(part, np.arange(len(part))), np.ones(len(part))) for part, _ in by_seed(rows)]
        values = {name: float(np.mean([f[name] for f in found])) for name in WITH_ORACLE}
        return {name: value for name, value in values.items() if not np.isnan(value)}

    def _add_oracle(self, entries: dict[str, Entry], rows: pd.DataFrame) -> None:
        for name, value in self._oracle(rows).items():
            entries[name]["oracle"] = value
        for name, found in self._shares(rows).items():
            if not np.isnan(found.value):
                entries[name] |= {"share_of_optimum": found.value, "share_low": _number(found.low), "share_high": _number(found.high)}

    def _shares(self, rows: pd.DataFrame) -> dict[str, Interval]:
        """What the model found of what there was, with paired intervals."""
        if not self._has_oracle(rows):
            return {}
        units = units_of(rows["unit"])
        shares = []
        for part, place in by_seed(rows):
            unit, target = units[place], part["target"].to_numpy(np.float64)
            model = BinaryMetrics(target, part["prob"].to_numpy(np.float64), unit, names=WITH_CHANCE)
            shares.append(Share(model, self._oracle_statistic(part, unit), target, unit, WITH_CHANCE))
        return bootstrap(Mean(list(shares)), int(units.max()) + 1, len(rows), self.resamples, self.seed)


def by_seed(rows: pd.DataFrame) -> list[tuple[pd.DataFrame, np.ndarray]]:
    """The rows of each seed, with their places among all of them."""
    seeds = rows["seed"].to_numpy()
    places = [np.flatnonzero(seeds == seed) for seed in sorted(set(seeds))]
    return [(rows.iloc[place], place) for place in places]


def units_of(column: pd.Series) -> np.ndarray:
    """Units numbered in the order in which the rows, sorted by sample, first name them: their own names play no part."""
    return pd.factorize(column)[0]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
