"""The section ``stress`` of ``metrics.json``: how the metrics fall as modalities go missing or become noisy, from the tables of ``mmdx stress``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmdx.errors import InputError
from mmdx.evaluation.metrics import BinaryMetrics, Statistic, weighted
from mmdx.evaluation.robustness import Curve, stressed, stressed_metrics
from mmdx.evaluation.scored import Scored
from mmdx.evaluation.scorer import Entry, by_seed

MISSINGNESS, NOISE = "missingness.parquet", "noise.parquet"
BASELINE = "baseline_"
AS_TRAINED = "as trained"
SAMPLE = ("sample_id", "fold", "seed")
WORK = 4_000_000
"""Rows times resamples up to which every resample is drawn; beyond there are fewer, but 200 at least."""
MANY = 20_000
"""Test rows beyond which the first draw alone is measured: so many rows leave hardly a difference between draws."""


@dataclass(frozen=True)
class Sweep:
    """One curve: of each level, rising, the probabilities [n, K] of each draw, in the order of the clean rows."""

    levels: list[float]
    draws: list[list[np.ndarray]]
    frames: list[pd.DataFrame]


def stress(scored: Scored, folder: Path | None) -> dict[str, Any] | None:
    """Metrics along each sweep and what they come to; None where the folder has no tables of ``mmdx stress``.

    Returns:
        ``missingness``: one entry a pattern, rate and training; ``noise``: one a modality and level; ``robustness``: of each pattern and of each
        modality that was disturbed the relative and, with a baseline, the effective robustness, of AUROC; ``resamples``. ``reason`` where a table
        is of other rows than the predictions.
    """
    if folder is None or not (folder / "stress").is_dir():
        return None
    clean = scored.rows().reset_index(drop=True)
    resamples = min(scored.scorer.resamples, max(200, WORK // max(1, len(clean))))
    scored = replace(scored, scorer=replace(scored.scorer, resamples=resamples))
    found: dict[str, Any] = {}
    robustness: dict[str, dict[str, Entry]] = {}
    for file, name, keys in ((MISSINGNESS, "missingness", ("trained", "pattern", "rate")), (NOISE, "noise", ("modality", "noise", "level"))):
        table = None if name in scored.stale else _read(folder / "stress" / file)
        if name in scored.stale:
            found["reason"] = f"stress/{file} is of other predictions; run mmdx stress again"
        if table is None:
            continue
        sweeps = _sweeps(table, clean, scored.scorer.outputs, keys)
        if sweeps is None:
            found["reason"] = f"stress/{file} is of other rows than the predictions; run mmdx stress again"
            continue
        other = _read(folder / "stress" / f"{BASELINE}{file}")
        baseline = (_sweeps(other, clean, scored.scorer.outputs, keys) if other is not None else None) or {}
        found[name] = []
        for key, sweep in sweeps.items():
            points, summary = _curve(scored, clean, sweep, baseline.get((AS_TRAINED, *key[1:]) if name == "missingness" else key))
            told = dict(zip(keys, key, strict=False))
            found[name] += [told | {keys[-1]: level} | point for level, point in zip(sweep.levels, points, strict=True)]
            robustness[_called(name, key)] = summary
    if not found:
        return None
    return found | {"robustness": robustness, "resamples": resamples}


def _called(table: str, key: tuple[str, ...]) -> str:
    if table == "noise":
        return key[0]
    trained, pattern = key
    return pattern if trained == AS_TRAINED else f"{pattern}, trained at {trained}"


def _read(file: Path) -> pd.DataFrame | None:
    if not file.exists():
        return None
    try:
        return pd.read_parquet(file)
    except Exception as fault:
        reason = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise InputError(f"{file}: cannot be read ({reason}); run mmdx stress again, or remove it.") from None


def _sweeps(table: pd.DataFrame, clean: pd.DataFrame, outputs: Sequence[str], keys: tuple[str, str, str]) -> dict[tuple[str, ...], Sweep] | None:
    """The curves of a table by all keys but the last, which is the level; None where its rows are not the clean ones."""
    columns = ["prob"] if "prob" in table else [f"prob_{name}" for name in outputs]
    if not {*columns, *keys, "sample_id"} <= set(table):
        return None
    table = table.assign(draw=table.get("draw", 0))
    if len(clean) > MANY:
        table = table[table["draw"] == 0]
    table = table.assign(_place=_places(table, clean))
    sweeps: dict[tuple[str, ...], Sweep] = {}
    for key, rows in table.groupby(list(keys[:-1]), sort=False):
        levels = sorted(float(level) for level in rows[keys[-1]].unique())
        by_level = [[part.sort_values("_place") for _, part in rows[rows[keys[-1]] == level].groupby("draw", sort=True)] for level in levels]
        if any(not np.array_equal(part["_place"], np.arange(len(clean))) for parts in by_level for part in parts):
            return None
        draws = [[part[columns].to_numpy(np.float64) for part in parts] for parts in by_level]
        sweeps[tuple(map(str, key))] = Sweep(levels, draws, [pd.concat(parts) for parts in by_level])
    return sweeps


def _places(table: pd.DataFrame, clean: pd.DataFrame) -> np.ndarray:
    """The place of each row's sample and model among the clean rows, -1 where it isn't there."""
    code, known = np.zeros(len(table), dtype=np.int64), np.zeros(len(clean), dtype=np.int64)
    absent = np.zeros(len(table), dtype=bool)
    for name in SAMPLE:
        values = pd.Index(clean[name].unique())
        given = table[name].astype(str).astype("category") if name in table else pd.Series("", index=table.index, dtype="category")
        place = values.get_indexer(pd.Index(given.cat.categories.astype(object)))[given.cat.codes]
        absent |= place < 0
        code = code * len(values) + place
        known = known * len(values) + values.get_indexer(pd.Index(clean[name]))
    found = pd.Index(known).get_indexer(pd.Index(code))
    return np.where(absent, -1, found)


def _curve(scored: Scored, clean: pd.DataFrame, sweep: Sweep, baseline: Sweep | None) -> tuple[list[dict[str, Any]], dict[str, Entry]]:
    """Entries of each level, and of the whole curve."""
    names = stressed_metrics(scored.scorer.kind)
    other = baseline.draws if baseline is not None and baseline.levels == sweep.levels else None

    def make(part: pd.DataFrame, unit: np.ndarray) -> Statistic:
        def measured(draws: list[list[np.ndarray]]) -> list[list[Statistic]]:
            return [[stressed(scored.scorer, part, prob[part.index], unit) for prob in level] for level in draws]

        return Curve(sweep.levels, measured(sweep.draws), names, None if other is None else measured(other))

    entries = scored.measure(clean, make)
    points = []
    for k, frame in enumerate(sweep.frames):
        point: dict[str, Any] = {**_absence(frame, clean), **{name: entries[f"{name}|{k}"] for name in names}}
        if (oracle := _oracle(frame)) is not None:
            point["auroc"]["oracle"] = oracle
        points.append(point)
    summary = {what: entries[f"auroc|{what}"] for what in ("relative", "effective") if f"auroc|{what}" in entries}
    return points, summary


def _absence(frame: pd.DataFrame, clean: pd.DataFrame) -> dict[str, float]:
    """How many draws there are, and the share of the modalities that the rows had which has been taken from them; of missingness alone."""
    if "rate" not in frame or "present" not in frame or "present" not in clean:
        return {}
    left, had = (rows["present"].str.count(r"\+").to_numpy() + 1 for rows in (frame, clean))
    draws = len(left) // len(had)
    return {"draws": draws, "absent": float(1 - left.sum() / (had.sum() * draws))}


def _oracle(frame: pd.DataFrame) -> float | None:
    """The mean AUROC of the true posterior given what is left, over draws and seeds; None where it isn't known."""
    if "oracle" not in frame or frame["oracle"].isna().any():
        return None
    seed = frame["seed"].astype(str) if "seed" in frame else pd.Series("", index=frame.index)
    values = []
    for _, draw in frame.assign(seed=seed).groupby("draw"):
        for rows, _ in by_seed(draw):
            target, oracle = (rows[c].to_numpy(np.float64) for c in ("target", "oracle"))
            statistic = BinaryMetrics(target, oracle, np.arange(len(rows)), names=("auroc",))
            values.append(weighted(statistic, np.ones(len(rows)))["auroc"])
    return None if np.isnan(values).any() else float(np.mean(values))
