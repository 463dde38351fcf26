"""Which samples become cases: all where they are few, else some of the most wrong, sure, unsure and disputed ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmdx.evaluation.predictions import full_set, kind_of, outputs_of

POOL = 2
"""Out of how many times as many of the foremost samples those of a reason are drawn."""


def choose(table: pd.DataFrame, cases: int, seed: int = 0) -> pd.DataFrame:
    """Cases of a table of predictions: ``sample_id``, ``fold``, ``reason``, in the table's order; a sample is chosen once.

    Where there are no more samples than ``cases``, all are chosen and the reason is empty. Else the reasons take turns, each drawing evenly from
    the foremost by its score that are left:

    - ``error``: cross-entropy of the prediction, of a number its distance from the target;
    - ``unsure``: how near the probabilities are to even odds (of classes: how small the highest one is);
    - ``disagreement``: the widest difference of a prediction between the single modalities, where the table has these;
    - ``confident``: the reverse of unsure, among those with a cross-entropy below the median.

    Reasons that the kind of target has no score for are left out; where there is none, cases are drawn evenly.

    Args:
        table: canonical predictions (``predictions.checked``) of one seed; rows of ``split`` test that were offered every modality are candidates.
        cases: how many.
        seed: of the draws.
    """
    rows = table[(table["split"] == "test") & (table["ablation"] == "offered")]
    full = rows[rows["modalities"] == full_set(table)].drop_duplicates("sample_id").reset_index(drop=True)
    reasons = pd.Series("", index=full.index)
    if len(full) > cases:
        reasons = reasons[_drawn(_scores(rows, full), cases, seed, reasons)]
    return full.loc[sorted(reasons.index), ["sample_id", "fold"]].assign(reason=reasons)


def _scores(rows: pd.DataFrame, full: pd.DataFrame) -> dict[str, np.ndarray]:
    """Of each reason a score of each sample, [n]."""
    columns = [str(c) for c in full if str(c) in ("prob", "prediction") or str(c).startswith("prob_")]
    scores = {"disagreement": _disagreement(rows, full, columns)} if columns else {}
    kind = kind_of(rows)
    if kind in ("binary", "multiclass", "multilabel"):
        outputs = outputs_of(rows, kind)
        probabilities = _probabilities(full, kind, outputs)
        loss, doubt = _loss(full, kind, outputs, probabilities), _doubt(probabilities, kind)
        scores = {"error": loss, "unsure": doubt, **scores, "confident": np.where(loss <= np.median(loss), -doubt, -np.inf)}
    elif "prediction" in columns:
        scores = {"error": (full["prediction"] - full["target"]).abs().to_numpy(float), **scores}
    return {name: score for name, score in scores.items() if np.isfinite(score).any()}


def _drawn(scores: dict[str, np.ndarray], cases: int, seed: int, reasons: pd.Series) -> list[int]:
    """Rows drawn for each reason; writes the reason of each into ``reasons``."""
    rng = np.random.default_rng(seed)
    taken: list[int] = []
    left = np.ones(len(reasons), dtype=bool)
    for turn, (name, score) in enumerate(scores.items()):
        quota = (cases - len(taken)) // (len(scores) - turn)
        order = np.argsort(-score, kind="stable")
        pool = order[left[order] & (score[order] > -np.inf)][: POOL * quota]
        own = rng.choice(pool, size=min(quota, len(pool)), replace=False).tolist()
        left[own] = False
        taken += own
        reasons.iloc[own] = name
    rest = rng.choice(np.flatnonzero(left), size=cases - len(taken), replace=False).tolist()
    return [*taken, *rest]


def _probabilities(rows: pd.DataFrame, kind: str, outputs: Sequence[str]) -> np.ndarray:
    """[n, K]; of a binary target both sides."""
    if kind == "binary":
        return np.stack([1 - rows["prob"].to_numpy(float), rows["prob"].to_numpy(float)], axis=1)
    return rows[[f"prob_{name}" for name in outputs]].to_numpy(float)


def _loss(rows: pd.DataFrame, kind: str, outputs: Sequence[str], probabilities: np.ndarray) -> np.ndarray:
    """Cross-entropy of each row, [n]; of labels the mean over those that are known, 0 where none is."""
    clipped = probabilities.clip(1e-9, 1 - 1e-9)
    if kind != "multilabel":
        place = rows["target"].astype(int) if kind == "binary" else rows["target"].map({name: i for i, name in enumerate(outputs)})
        return np.asarray(-np.log(clipped[np.arange(len(rows)), place.to_numpy(int)]))
    target = rows[[f"target_{name}" for name in outputs]].to_numpy(float)
    known = ~np.isnan(target)
    losses = -np.where(target > 0.5, np.log(clipped), np.log(1 - clipped))
    return np.where(known, losses, 0.0).sum(axis=1) / known.sum(axis=1).clip(min=1)


def _doubt(probabilities: np.ndarray, kind: str) -> np.ndarray:
    if kind == "multilabel":
        return np.asarray(-np.abs(2 * probabilities - 1).mean(axis=1))
    return -probabilities.max(axis=1)


def _disagreement(rows: pd.DataFrame, full: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Of each sample the widest difference between single modalities, minus infinity where fewer than two were offered."""
    single = rows[~rows["modalities"].str.contains("+", regex=False)]
    by_sample = single.groupby(["sample_id", "fold"])[columns]
    spread = (by_sample.max() - by_sample.min()).max(axis=1).where(by_sample.size() > 1)
    return spread.reindex(pd.MultiIndex.from_frame(full[["sample_id", "fold"]])).fillna(-np.inf).to_numpy(float)
