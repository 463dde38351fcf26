"""Runs against each other, on the rows that all of them predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmdx.errors import InputError
from mmdx.evaluation.delong import auroc_test
from mmdx.evaluation.direction import direction
from mmdx.evaluation.interval_choice import bootstrap_test, linear_of, normal_bootstrap, rarer_units
from mmdx.evaluation.intervals import Interval, replicates
from mmdx.evaluation.metrics import weighted
from mmdx.evaluation.multiplicity import holm
from mmdx.evaluation.panels import Difference, Mean
from mmdx.evaluation.predictions import read_predictions
from mmdx.evaluation.ranks import friedman_nemenyi
from mmdx.evaluation.resampled import corrected_resampled_t
from mmdx.evaluation.score import earlier_settings, prepared
from mmdx.evaluation.scored import Scored
from mmdx.evaluation.scorer import by_seed

LEVEL = 0.05
FEWEST_RESAMPLES = 100
TESTS = ("delong", "bootstrap", "corrected_t")


@dataclass(frozen=True)
class Run:
    """One run's predictions on the common rows.

    Attributes:
        name: as it is called in the tables.
        folder: where it came from.
        scored: its whole table.
        rows: its test rows of the subset compared, then the common ones of them.
    """

    name: str
    folder: Path
    scored: Scored
    rows: pd.DataFrame


def compare(
    folders: Mapping[str, Path],
    *,
    metric: str | None = None,
    modalities: str | None = None,
    ablation: str = "offered",
    test: str | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Every run's metric, every pair's difference with its tests, and of three and more runs their ranks, on common rows.

    The test of a pair, unless one is asked for, is the corrected resampled t-test where both were trained on the same two or more splits, else
    DeLong's for the AUROC of a binary target, else the bootstrap's. Its p-values are corrected over all pairs (Holm).

    Args:
        folders: name to folder (or predictions file), at least two.
        metric: what is compared; the kind's primary metric where not given.
        modalities: the subset compared; each run's own full set where not given.
        ablation: "offered" or "retrained".
        test: "delong", "bootstrap" or "corrected_t".
        resamples, seed: of the bootstrap.

    Returns:
        what ``comparison.json`` holds, see docs/compare.md.

    Raises:
        InputError: where a run cannot be read or lacks the subset or metric, kinds or targets differ, or no row is common.
    """
    if resamples < FEWEST_RESAMPLES:
        raise InputError(f"--resamples {resamples}: must be at least {FEWEST_RESAMPLES}, as a p-value of fewer says little.")
    if len(folders) < 2:
        raise InputError(f"compare: {len(folders)} run given; name at least two.")
    runs, same_folds = _common([_read(name, Path(folder), modalities, ablation, resamples, seed) for name, folder in folders.items()])
    chosen = metric or runs[0].scored.scorer.primary
    better = direction(chosen)
    units = pd.factorize(runs[0].rows["unit"].groupby(runs[0].rows["sample_id"]).first())[0]
    blocks = [_blocks(run, chosen) for run in runs]
    same_splits = same_folds and len(blocks[0]) > 1 and all(b.keys() == blocks[0].keys() for b in blocks)
    measured = [_measured(run, chosen) for run in runs]
    pairs = [
        _pair((runs[i], runs[j]), (measured[i], measured[j]), chosen, test, (blocks[i], blocks[j]) if same_splits else ({}, {}))
        for i, j in combinations(range(len(runs)), 2)
    ]
    _correct(pairs)
    return {
        "metric": chosen,
        "higher_is_better": better > 0,
        "kind": runs[0].scored.scorer.kind,
        "ablation": ablation,
        "n": len(units),
        "n_units": len(set(units.tolist())),
        "unit": runs[0].scored.scorer.unit,
        "same_folds": same_splits,
        "runs": [_described(*given, chosen, same_splits) for given in zip(runs, measured, blocks, strict=True)],
        "pairs": pairs,
        **({"ranks": _ranks(runs, blocks, better)} if same_splits and len(runs) > 2 else {}),
    }


def named(given: Sequence[str]) -> dict[str, Path]:
    """Names of runs given as ``FOLDER`` or ``NAME=FOLDER``: their folders' own names, with as much of the path before them as tells them apart.

    Raises:
        InputError: where two have one name.
    """
    split = [part.partition("=") if "=" in part and not Path(part).exists() else ("", "", part) for part in given]
    paths = [Path(path).expanduser() for _, _, path in split]
    parts = [path.resolve().parts for path in paths]
    depth = 1
    while depth < max(map(len, parts)) and len({p[-depth:] for p in parts}) < len(set(parts)):
        depth += 1
    names = [name or "/".join(own[-depth:]) for (name, _, _), own in zip(split, parts, strict=True)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"compare: two runs are called {twice!r}; give each a name of its own, as in NAME=FOLDER.")
    return dict(zip(names, paths, strict=True))


def _read(name: str, folder: Path, modalities: str | None, ablation: str, resamples: int, seed: int) -> Run:
    settings = {k: v for k, v in earlier_settings(folder).items() if k in ("kind", "unit_name", "extra_metrics")}
    scored, _ = prepared(read_predictions(folder), resamples=resamples, seed=seed, source=str(folder), **settings)
    subset = "+".join(sorted(modalities.split("+"))) if modalities else scored.full
    rows = scored.rows("test", subset, ablation)
    if not len(rows):
        there = sorted(scored.table.loc[(scored.table["split"] == "test") & (scored.table["ablation"] == ablation), "modalities"].unique())
        raise InputError(f"{folder}: has no {ablation} test rows of {subset!r}; it has {there}.")
    return Run(name, folder, scored, rows)


def _common(runs: list[Run]) -> tuple[list[Run], bool]:
    """The runs on the samples that all of them have in every seed, in one order, and whether all test each of them in the same folds."""
    first = runs[0]
    for run in runs[1:]:
        if run.scored.scorer.kind != first.scored.scorer.kind or run.scored.scorer.outputs != first.scored.scorer.outputs:
            kinds = [f"{r.scored.scorer.kind} {r.scored.scorer.outputs if r.scored.scorer.outputs != [''] else ''}".strip() for r in (first, run)]
            raise InputError(f"compare: {first.folder} predicts {kinds[0]}, {run.folder} {kinds[1]}; only like can be compared with like.")
    kept = _in_all(runs, ["sample_id"])
    places = [set(run.rows.loc[run.rows["sample_id"].isin({s for s, in kept}), ["sample_id", "fold"]].itertuples(index=False)) for run in runs]
    same_folds = all(place == places[0] for place in places)
    key = ["sample_id", "fold"] if same_folds else ["sample_id"]
    for run in runs:
        if not same_folds and run.rows.duplicated(["sample_id", "seed"]).any():
            raise InputError(f"compare: {run.folder} tests a sample in several folds, and the runs' folds differ; compare runs of the same split.")
    kept = _in_all(runs, key)
    if not kept:
        raise InputError(f"compare: no test row is common to {', '.join(str(run.folder) for run in runs)}; compare runs on the same test samples.")
    common = [_restricted(run, kept, key) for run in runs]
    _check_targets(common)
    unit = common[0].rows.groupby("sample_id")["unit"].first()
    return [Run(run.name, run.folder, run.scored, run.rows.assign(unit=run.rows["sample_id"].map(unit))) for run in common], same_folds


def _in_all(runs: list[Run], key: list[str]) -> set[Any]:
    """Keys of the rows that every run has in every seed."""
    own = [set(rows[key].itertuples(index=False, name=None)) for run in runs for _, rows in run.rows.groupby("seed")]
    return set.intersection(*own)


def _restricted(run: Run, kept: set[Any], key: list[str]) -> Run:
    here = [values in kept for values in run.rows[key].itertuples(index=False, name=None)]
    return Run(run.name, run.folder, run.scored, run.rows[here].sort_values(["seed", "sample_id", "fold"], ignore_index=True))


def _check_targets(runs: list[Run]) -> None:
    columns = [c for c in map(str, runs[0].rows) if c.startswith("target") or c in ("time", "event")]
    first = runs[0].rows.groupby("sample_id")[columns].first()
    for run in runs[1:]:
        own = run.rows.groupby("sample_id")[columns].first()
        differs = ~((own == first) | (own.isna() & first.isna())).all(axis=1)
        if differs.any():
            where = f"in {run.folder} than in {runs[0].folder}"
            raise InputError(f"compare: sample {differs.idxmax()!r} has another target {where}; compare runs on the same data.")


@dataclass(frozen=True)
class Measured:
    """A run's metric with what it is in the resamples, which are the same of all runs."""

    statistic: Mean
    draws: np.ndarray


def _measured(run: Run, metric: str) -> Measured:
    statistic, scorer = _statistic(run, metric, run.rows), run.scored.scorer
    units = int(run.rows["unit"].max()) + 1
    return Measured(statistic, replicates(statistic, units, len(run.rows), scorer.resamples, scorer.seed)[0][metric])


def _statistic(run: Run, metric: str, rows: pd.DataFrame) -> Mean:
    """The metric of some rows, mean over seeds, on the units of all common rows."""
    scorer = run.scored.scorer
    parts = [scorer.statistic(part, rows["unit"].to_numpy()[place], metric == scorer.primary) for part, place in by_seed(rows)]
    statistic = Mean(parts)
    if metric not in weighted(statistic, np.ones(int(run.rows["unit"].max()) + 1)):
        names = sorted(weighted(statistic, np.ones(int(run.rows["unit"].max()) + 1)))
        raise InputError(f"--metric {metric}: {run.folder} has no such metric; it has {', '.join(names)}.")
    return statistic


def _blocks(run: Run, metric: str) -> dict[str, float]:
    """The metric within each fold, mean over seeds; folds in which it is undefined are left out."""
    found = {}
    for fold, rows in run.rows.groupby("fold", sort=True):
        value = weighted(_statistic(run, metric, rows), np.ones(int(run.rows["unit"].max()) + 1))[metric]
        if not np.isnan(value):
            found[str(fold)] = value
    return found


def _described(run: Run, measured: Measured, blocks: dict[str, float], metric: str, same_splits: bool) -> dict[str, Any]:
    statistic = measured.statistic
    entry = run.scored.scorer.entries(statistic, statistic.parts, run.rows, run.rows["unit"].to_numpy())[metric]
    every = run.scored.rows("test", run.rows["modalities"].iloc[0], run.rows["ablation"].iloc[0])
    out = {"name": run.name, "folder": str(run.folder), "modalities": run.rows["modalities"].iloc[0], metric: entry}
    out["left_out"] = every["sample_id"].nunique() - run.rows["sample_id"].nunique()
    if same_splits:
        mean = corrected_resampled_t(np.array(list(blocks.values())), tested_per_trained(run))
        out |= {"by_fold": blocks, "mean_over_folds": {"value": mean.value, "low": mean.low, "high": mean.high}}
    return out


def _pair(
    runs: tuple[Run, Run], measured: tuple[Measured, Measured], metric: str, test: str | None, blocks: tuple[dict[str, float], dict[str, float]]
) -> dict[str, Any]:
    """The difference of two runs, first minus second, with every test that applies and the one that counts."""
    (a, b), (blocks_a, blocks_b) = runs, blocks
    units = int(a.rows["unit"].max()) + 1
    statistic = Difference(measured[0].statistic, measured[1].statistic, (metric,))
    scorer = a.scored.scorer
    entry = scorer.entries(statistic, [statistic], a.rows, a.rows["unit"].to_numpy())[metric]
    value = weighted(statistic, np.ones(units))[metric]
    tests: dict[str, dict[str, Any]] = {}
    if units > 1:
        draws = measured[0].draws - measured[1].draws
        rarer = rarer_units(statistic, metric) or units
        found = normal_bootstrap(value, draws, rarer) or Interval(value)
        tests["bootstrap"] = {"p": bootstrap_test(value, draws, rarer), "low": _number(found.low), "high": _number(found.high)}
    if metric == "auroc" and scorer.kind == "binary":
        tests |= _delong(measured, units)
    if len(blocks_a) > 1:
        tests["corrected_t"] = _corrected_t(a, blocks_a, blocks_b)
    counts = test or ("corrected_t" if "corrected_t" in tests else "delong" if "delong" in tests else "bootstrap")
    if counts not in tests:
        why = {"delong": "it is for the AUROC of a binary target", "corrected_t": "it needs two or more folds, the same in both runs"}
        raise InputError(f"--test {counts}: does not apply to {a.name} and {b.name}; {why.get(counts, 'there is one unit only')}.")
    shown = tests[counts] if counts == "corrected_t" else entry
    shown = {key: shown[key] for key in ("value", "low", "high")}
    return {"a": a.name, "b": b.name, "difference": entry, "tests": tests, "test": counts, "shown": shown, "p": tests[counts]["p"]}


def _delong(measured: tuple[Measured, Measured], units: int) -> dict[str, dict[str, Any]]:
    """DeLong's test of the two AUROCs, means over seeds; nothing where a class is in one unit only."""
    first, second = (linear_of(own.statistic, "auroc", units) for own in measured)
    if first is None or second is None or first.inside.sum(axis=1).min() < 2:
        return {}
    found = auroc_test(first, second)
    keys = ("p", "low", "high", "z", "covariance")
    return {"delong": {key: _finite(float(getattr(found, key))) for key in keys} | {"variances": list(found.variances)}}


def _corrected_t(run: Run, blocks_a: dict[str, float], blocks_b: dict[str, float]) -> dict[str, Any]:
    differences = np.array([blocks_a[fold] - blocks_b[fold] for fold in blocks_a])
    found = corrected_resampled_t(differences, tested_per_trained(run))
    keys = ("p", "low", "high", "t", "df", "splits", "ratio")
    return {"value": found.value} | {key: _finite(getattr(found, key)) for key in keys}


def tested_per_trained(run: Run) -> float:
    """Test rows for each training row, mean over folds: from the run's ``folds.parquet``, else as if every other sample were trained on."""
    path = run.folder / "folds.parquet" if run.folder.is_dir() else run.folder.with_name("folds.parquet")
    if path.exists():
        sizes = pd.read_parquet(path, columns=["fold", "part"]).value_counts().unstack("part")
        return float((sizes["test"] / sizes["train"]).mean())
    everyone = run.scored.table["sample_id"].nunique()
    every = run.scored.rows("test", run.rows["modalities"].iloc[0], run.rows["ablation"].iloc[0])
    tested = every.groupby("fold")["sample_id"].nunique()
    rest = everyone - tested
    if (rest <= 0).any():
        raise InputError(f"{run.folder}: how many samples each fold was trained on is not known; the corrected t-test needs folds.parquet there.")
    return float((tested / rest).mean())


def _correct(pairs: list[dict[str, Any]]) -> None:
    known = [pair for pair in pairs if pair["p"] is not None]
    for pair, p in zip(known, holm([pair["p"] for pair in known]), strict=True):
        pair |= {"p_holm": float(p), "significant": bool(p < LEVEL)}
    for pair in pairs:
        pair.setdefault("p_holm", None)
        pair.setdefault("significant", False)


def _ranks(runs: list[Run], blocks: list[dict[str, float]], better: int) -> dict[str, Any]:
    """Friedman's test with the folds as blocks; they share training rows, so it is a description more than a test."""
    found = friedman_nemenyi(np.array([[own[fold] for own in blocks] for fold in blocks[0]]), higher_is_better=better > 0)
    return {
        "blocks": found.blocks,
        "mean_rank": {run.name: float(rank) for run, rank in zip(runs, found.ranks, strict=True)},
        "chi_squared": found.chi_squared,
        "p_chi_squared": found.p_chi_squared,
        "f": _finite(found.f),
        "p": found.p,
        "critical_difference": found.critical_difference(),
        "p_pairs": found.p_pairs.tolist(),
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _finite(value: float) -> float | int | None:
    return value if np.isfinite(value) else None
