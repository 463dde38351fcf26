"""The section ``modality_value`` of ``metrics.json``: what each modality is worth, where joining them hurts, and how far they agree."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mmdx.evaluation.agreement import Agreement, Shares, decisions, truth
from mmdx.evaluation.metrics import BinaryMetrics, Statistic, weighted
from mmdx.evaluation.panels import Mean
from mmdx.evaluation.predictions import subset_size
from mmdx.evaluation.scored import Scored
from mmdx.evaluation.scorer import Entry
from mmdx.evaluation.shapley import WORTH, ShapleyMetrics

MODEL = ["seed", "fold"]
SAMPLE = ["sample_id", *MODEL]
FEWEST = 20
"""Rows of a presence pattern below which its agreement is not reported."""


def modality_value(scored: Scored) -> dict[str, Any] | None:
    """What each modality gives, from the predictions for subsets of modalities; None where there is but one modality or one subset.

    Returns:
        ``shapley`` and, where models were trained on each subset, ``shapley_retrained``: of each modality the entries of AUROC and average
        precision, over the samples that have every modality; under ``""`` what they sum to. ``harm`` and ``harm_retrained``: how often the best
        single modality is right where all together are wrong, and the converse. ``agreement``: of each pair of modalities, in all and in each
        presence pattern. ``reason`` says why any of them is missing.
    """
    modalities = scored.full.split("+")
    if len(modalities) < 2 or scored.table["modalities"].nunique() < 2:
        return None
    found: dict[str, Any] = {}
    reasons = []
    for suffix, ablation in (("", "offered"), ("_retrained", "retrained")):
        if ablation == "retrained" and not len(scored.rows(ablation=ablation)):
            continue
        for name, section in (("shapley", _shapley), ("harm", _harm)):
            found[name + suffix], reason = section(scored, modalities, ablation)
            reasons += [f"{name + suffix}: {reason}"] * bool(reason)
    found["agreement"] = _agreement(scored, modalities)
    return found | ({"reason": "; ".join(reasons)} if reasons else {})


def _shapley(scored: Scored, modalities: list[str], ablation: str) -> tuple[dict[str, Any] | None, str]:
    subsets = ["+".join(s) for size in range(1, len(modalities) + 1) for s in combinations(modalities, size)]
    tables = {name: scored.rows(modalities=name, ablation=ablation) for name in subsets}
    without = [name for name, rows in tables.items() if not len(rows)]
    if without:
        return None, f"no predictions for {len(without)} of the {len(subsets)} subsets, such as {without[0]}"
    keys = {name: pd.MultiIndex.from_frame(rows[SAMPLE]) for name, rows in tables.items()}
    common = keys[scored.full]
    for key in keys.values():
        common = common[common.isin(key)]
    if not len(common):
        return None, "no sample has a prediction for every subset"
    tables = {name: rows[keys[name].isin(common)] for name, rows in tables.items()}  # in one order, as the table is sorted by sample
    full = tables[scored.full].reset_index(drop=True)

    def make(part: pd.DataFrame, unit: np.ndarray) -> Statistic:
        own = {name: rows.iloc[part.index] for name, rows in tables.items()}
        games: list[Statistic] = []
        outcomes = {name: dict(scored.outcomes(rows.reset_index(drop=True))) for name, rows in own.items()}
        for outcome, rows in outcomes[scored.full].items():
            target, place = rows["target"].to_numpy(np.float64), unit[rows.index]
            if len(np.unique(target)) < 2 and len(outcomes[scored.full]) > 1:
                continue
            payoffs: dict[frozenset[str], Statistic] = {
                frozenset(name.split("+")): BinaryMetrics(target, outcomes[name][outcome]["prob"].to_numpy(np.float64), place, names=WORTH)
                for name in tables
            }
            games.append(ShapleyMetrics(payoffs, target, place))
        return Mean(games) if games else _undefined(modalities)

    entries = scored.measure(full, make)
    return {m: {name: entries[f"{m}|{name}"] for name in WORTH} for m in (*modalities, "")}, ""


def _undefined(modalities: list[str]) -> Statistic:
    return lambda counts: {f"{m}|{name}": np.full(counts.shape[1], np.nan) for m in (*modalities, "") for name in WORTH}


def _harm(scored: Scored, modalities: list[str], ablation: str) -> tuple[dict[str, Any] | None, str]:
    best = _best_single(scored, modalities, ablation)
    if not best:
        return None, "no validation rows of two classes to choose the best single modality by"
    fused = scored.rows(ablation=ablation).set_index(SAMPLE)
    parts = [rows[[best.get(k, ("",))[0] == m for k in _models(rows)]] for m in modalities for rows in [scored.rows(modalities=m, ablation=ablation)]]
    single = pd.concat(parts).set_index(SAMPLE).sort_index()
    single = single[single.index.isin(fused.index)]
    if not len(single):
        return None, "no test row has a prediction from the best single modality"
    fused = fused.loc[single.index].reset_index()
    single = single.reset_index()
    actual = truth(scored.scorer, fused)
    together, alone = ((decisions(scored.scorer, rows) == actual).astype(float) for rows in (fused, single))
    columns = {
        "harmed": alone * (1 - together), "helped": together * (1 - alone), "net": together - alone,
        "both_right": alone * together, "both_wrong": (1 - alone) * (1 - together),
    }  # fmt: skip
    columns = {name: np.where(np.isnan(actual), np.nan, values) for name, values in columns.items()}
    entries = scored.measure(fused, lambda part, unit: Shares({name: values[part.index] for name, values in columns.items()}, unit))
    chosen = [{"modality": m, "validation_auroc": value, **_named(model)} for model, (m, value) in best.items()]
    return {"n": next(iter(entries.values()))["n"], "best": chosen, "entries": entries}, ""


def _models(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(zip(*(rows[name] for name in MODEL), strict=True))


def _named(model: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in zip(MODEL, model, strict=True) if value != ""}


def _best_single(scored: Scored, modalities: list[str], ablation: str) -> dict[tuple[str, ...], tuple[str, float]]:
    """Of each model, by seed and fold, the modality whose AUROC is the highest on its validation rows, and that AUROC."""
    best: dict[tuple[str, ...], tuple[str, float]] = {}
    for modality in modalities:
        for model, rows in scored.rows("val", modality, ablation).groupby(MODEL, sort=True):
            values = [_auroc(own) for _, own in scored.outcomes(rows)]
            known = [value for value in values if not np.isnan(value)]
            key = tuple(map(str, model))
            if known and (key not in best or np.mean(known) > best[key][1]):
                best[key] = (modality, float(np.mean(known)))
    return dict(sorted(best.items()))


def _auroc(rows: pd.DataFrame) -> float:
    statistic = BinaryMetrics(rows["target"].to_numpy(np.float64), rows["prob"].to_numpy(np.float64), np.arange(len(rows)), names=("auroc",))
    return weighted(statistic, np.ones(len(rows)))["auroc"] if len(rows) else np.nan


def _agreement(scored: Scored, modalities: list[str]) -> list[dict[str, Any]]:
    singles = {m: scored.rows(modalities=m) for m in modalities}
    keys = {m: pd.MultiIndex.from_frame(rows[SAMPLE]) for m, rows in singles.items()}
    full = scored.rows()
    present = dict(zip(_keys(full), full["present"], strict=True)) if "present" in full else {}
    found = []
    for one, two in combinations(modalities, 2):
        first, second = singles[one][keys[one].isin(keys[two])], singles[two][keys[two].isin(keys[one])]
        if not len(first):
            continue
        first, second = first.reset_index(drop=True), second.reset_index(drop=True)
        pair: dict[str, Any] = {"between": [one, two]}
        found.append(pair | {"present": "any", "entries": _agreed(scored, first, second)})
        patterns = pd.Series([present.get(key, "") for key in _keys(first)])
        for pattern in sorted(set(patterns) - {""}, key=lambda name: (-subset_size(name), name)) if patterns.nunique() > 1 else ():
            here = np.flatnonzero(patterns == pattern)
            if first["sample_id"].iloc[here].nunique() < FEWEST:
                found.append(pair | {"present": pattern, "n": len(here), "too_small": True})
            else:
                own = [rows.iloc[here].reset_index(drop=True) for rows in (first, second)]
                found.append(pair | {"present": pattern, "entries": _agreed(scored, *own)})
    return found


def _keys(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(zip(*(rows[name] for name in SAMPLE), strict=True))


def _agreed(scored: Scored, first: pd.DataFrame, second: pd.DataFrame) -> dict[str, Entry]:
    one, two = (decisions(scored.scorer, rows) for rows in (first, second))
    entries = scored.measure(first, lambda part, unit: Agreement(one[part.index], two[part.index], unit))
    if entries["kappa"]["value"] is None:
        entries["kappa"]["reason"] = "both decide the same of every row, so kappa is undefined"
    return entries
