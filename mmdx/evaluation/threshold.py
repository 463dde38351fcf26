"""The decision threshold, from validation rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

CELL = ["ablation", "modalities", "seed", "fold"]
VALIDATION, FIXED = "validation", "fixed 0.5"
RULE = (
    "largest Youden J (sensitivity + specificity - 1) on the validation rows of the same model; the middle of the best interval, of "
    "several the widest, then the lowest; positive where prob >= threshold"
)


def youden_threshold(target: np.ndarray, prob: np.ndarray) -> float | None:
    """The threshold with the largest Youden J (Youden 1950), which is also the largest balanced accuracy; None with one class only.

    J is constant between neighbouring probabilities. The threshold is the middle of the best such interval within 0 to 1; of
    several equally good that do not touch, the widest, and of equally wide ones the lowest.

    Args:
        target: [n] of 0 and 1.
        prob: [n] in 0 to 1.
    """
    positive = np.asarray(target) == 1
    n_up, n_down = int(positive.sum()), int((~positive).sum())
    if not n_up or not n_down:
        return None
    scores, place = np.unique(np.asarray(prob, dtype=np.float64), return_inverse=True)
    up = np.bincount(place, weights=positive, minlength=len(scores))
    down = np.bincount(place, weights=~positive, minlength=len(scores))
    missed, rejected = np.append(0, up.cumsum()), np.append(0, down.cumsum())  # where the threshold lies above k of the scores
    gain = rejected * n_up - missed * n_down  # J times both numbers, in whole numbers
    edges = np.concatenate([[0.0], scores, [1.0]])
    best = gain == gain.max()
    starts = np.flatnonzero(best & ~np.append(False, best[:-1]))
    ends = np.flatnonzero(best & ~np.append(best[1:], False))
    widths = edges[ends + 1] - edges[starts]
    widest = int(np.argmax(widths))
    low, high = edges[starts[widest]], edges[ends[widest] + 1]
    middle = (low + high) / 2
    return float(middle if middle > low else high)


def thresholds(frame: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """The threshold of each model, subset and label that has test rows.

    Args:
        frame: predictions in canonical form.
        labels: names of the labels, or one empty name for a binary target.

    Returns:
        columns ``ablation``, ``modalities``, ``seed``, ``fold``, ``label``, ``threshold``, ``source`` ("validation" or "fixed 0.5"),
        ``n`` (validation rows used).
    """
    validation = dict(list(frame[frame["split"] == "val"].groupby(CELL, sort=False)))
    found: list[dict[str, Any]] = []
    for cell in frame.loc[frame["split"] == "test", CELL].drop_duplicates().itertuples(index=False, name=None):
        rows = validation.get(cell, frame.iloc[:0])
        for label in labels:
            target, prob = (rows[_column(c, label)].to_numpy(np.float64) for c in ("target", "prob"))
            known = ~np.isnan(target)
            value = youden_threshold(target[known], prob[known])
            source = FIXED if value is None else VALIDATION
            row = {"label": label, "threshold": 0.5 if value is None else value, "source": source, "n": int(known.sum())}
            found.append(dict(zip(CELL, cell, strict=True)) | row)
    return pd.DataFrame(found)


def row_thresholds(frame: pd.DataFrame, table: pd.DataFrame, labels: list[str]) -> np.ndarray:
    """The threshold of each row and label, [n, L], from what ``thresholds`` returned; NaN for rows of a model without test rows."""
    wide = table.pivot(index=CELL, columns="label", values="threshold")[labels]
    return wide.reindex(pd.MultiIndex.from_frame(frame[CELL])).to_numpy()


def described(table: pd.DataFrame) -> dict[str, Any]:
    """The thresholds as they stand in ``metrics.json``."""
    sources = sorted(table["source"].unique())
    out: dict[str, Any] = {"source": sources[0] if len(sources) == 1 else "mixed", "rule": RULE}
    for ablation, part in table.groupby("ablation", sort=True):
        out[str(ablation)] = {}
        for subset, rows in part.groupby("modalities", sort=False):
            columns = ["threshold", "source", "n", *(c for c in ("seed", "fold", "label") if (table[c] != "").any())]
            out[str(ablation)][str(subset)] = rows[columns].to_dict("records")
    return out


def _column(prefix: str, label: str) -> str:
    return f"{prefix}_{label}" if label else prefix
