"""Predictions where modalities are missing: who loses what is drawn, the encoders run once, and the fusion is applied to what is left."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from mmdx.cells import Cell
from mmdx.stress.tables import as_table
from mmdx.study import Study
from mmdx.training.fit import TrainedModel
from mmdx.training.predict import subset_name
from mmdx.types import Batch

EVERY, ONLY, SICKER = "every", "only_", "sicker"
ODDS = 3.0
"""In the pattern ``sicker`` the odds that a sick row loses a modality, over those of a row that is not."""


@dataclass(frozen=True)
class Absence:
    """One draw of what is missing.

    Attributes:
        pattern, rate, draw: which one.
        stays: [n, M] bool, what each row is left with.
        rescued: [n] bool, rows that would have lost everything and kept one modality.
    """

    pattern: str
    rate: float
    draw: int
    stays: np.ndarray
    rescued: np.ndarray


def patterns(modalities: Sequence[str]) -> list[str]:
    """The patterns in which modalities go missing."""
    return [EVERY, *(f"{ONLY}{m}" for m in modalities), SICKER]


def uniforms(sample_ids: Iterable[str], modalities: Sequence[str], seed: int, draw: int) -> np.ndarray:
    """Numbers of 0 to below 1, [n, M], that follow from seed, draw, sample and modality alone, whatever else is drawn or in which order."""
    def number(sample: str, modality: str) -> float:
        digest = hashlib.blake2b(f"{seed}|{draw}|{modality}|{sample}".encode(), digest_size=8).digest()
        return (int.from_bytes(digest, "big") >> 11) * 2.0**-53

    return np.array([[number(str(sample), m) for m in modalities] for sample in sample_ids]).reshape(-1, len(modalities))


def informative_rates(rate: float, sick: float, odds: float = ODDS) -> tuple[float, float]:
    """The rates at which rows that are not sick, and rows that are, lose a modality: their odds differ by the factor ``odds``, and over both
    it is ``rate``.

    With x the rate of those not sick, ``sick * odds x / (1 + (odds - 1) x) + (1 - sick) x = rate``, a quadratic equation in x.

    Args:
        rate: over all.
        sick: share of what can be lost that belongs to sick rows.
        odds: the ratio of odds.
    """
    square, line = (1 - sick) * (odds - 1), sick * odds + 1 - sick - rate * (odds - 1)
    well = 2 * rate / (line + np.sqrt(line**2 + 4 * square * rate)) if rate else 0.0
    return float(well), float(odds * well / (1 + (odds - 1) * well))


def absence(
    pattern: str, rate: float, draw: int, has: np.ndarray, sick: np.ndarray, drawn: np.ndarray, modalities: Sequence[str]
) -> Absence:
    """What a pattern leaves of the modalities that rows have.

    A modality goes where its uniform number lies below its rate, so that what is missing at a rate is missing at each higher one too. A row
    that would lose everything keeps the modality that it would lose last, each of them as likely.

    Args:
        has: [n, M] bool, what each row has, at least one.
        sick: [n] bool, of the pattern ``sicker``.
        drawn: [n, M], of ``uniforms``.
    """
    rates = np.zeros(has.shape)
    if pattern == EVERY:
        rates[:] = rate
    elif pattern == SICKER:
        slots = has.sum(axis=1)
        well, ill = informative_rates(rate, float(slots[sick].sum() / slots.sum()))
        rates[:] = np.where(sick, ill, well)[:, None]
    else:
        rates[:, list(modalities).index(pattern.removeprefix(ONLY))] = rate
    stays = has & (drawn >= rates)
    rescued = np.logical_not(stays.any(axis=1))
    last = np.where(has, drawn, -1.0).argmax(axis=1)
    stays[rescued, last[rescued]] = True
    return Absence(pattern, rate, draw, stays, rescued)


def absences(
    has: np.ndarray, sick: np.ndarray, sample_ids: Sequence[str], modalities: Sequence[str], rates: Sequence[float], draws: int, seed: int
) -> list[Absence]:
    """Every pattern, rate and draw; at rate 0, where nothing is drawn, one alone."""
    drawn = [uniforms(sample_ids, modalities, seed, draw) for draw in range(draws)]
    return [
        absence(pattern, rate, draw, has, sick, drawn[draw], modalities)
        for pattern in patterns(modalities)
        for rate in rates
        for draw in range(draws if rate else 1)
    ]


def sick_rows(target: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Who is sick, [n] bool: class 1; of several labels whoever has any; of several classes whoever is not of the commonest in training.

    Args:
        target: encoded targets of every row, [n] or [n, L].
        train: rows that the model was trained on.
    """
    if target.ndim > 1:
        return np.asarray((target == 1).any(axis=1))
    classes, counts = np.unique(target[train], return_counts=True)
    return np.asarray(target == 1 if set(classes.tolist()) <= {0, 1} else target != classes[counts.argmax()])


@torch.no_grad()
def predict_left(trained: TrainedModel, batches: Iterable[Batch], rows: np.ndarray, drawn: Sequence[Absence]) -> pd.DataFrame:
    """One row a sample and absence: ``index``, ``present``, ``offered`` (all modalities but those taken away), the task's columns, ``pattern``,
    ``rate`` and ``draw``.

    Args:
        batches: of the rows.
        rows: rows of the data set in rising order, those that ``drawn`` is about.
        drawn: what is left of each.
    """
    model = trained.model.to(trained.device).eval()
    names = model.modalities
    index: list[np.ndarray] = []
    found: list[list[dict[str, np.ndarray]]] = [[] for _ in drawn]
    had: list[np.ndarray] = []
    for batch in batches:
        moved = batch.to(trained.device)
        features = model.encode(moved)
        index.append(np.asarray(batch.meta["index"]))
        had.append(torch.stack([batch.present[m] for m in names], dim=1).numpy())
        place = np.searchsorted(rows, index[-1])
        for one, parts in zip(drawn, found, strict=True):
            here = torch.from_numpy(one.stays[place]).to(trained.device)
            logits = model.fusion(features, {m: here[:, j] for j, m in enumerate(names)}).logits
            parts.append(trained.task.predict(logits.float()))
    every, there = np.concatenate(index), np.concatenate(had)
    place = np.searchsorted(rows, every)
    frames = []
    for one, parts in zip(drawn, found, strict=True):
        stays = one.stays[place]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        said = {"present": _names(stays, names), "offered": _names(stays | ~there, names)}
        frames.append(pd.DataFrame({"index": every, **said, **columns, "pattern": one.pattern, "rate": one.rate, "draw": one.draw}))
    return pd.concat(frames, ignore_index=True)


def _names(stays: np.ndarray, modalities: Sequence[str]) -> np.ndarray:
    """What is there in each row, by name."""
    codes = stays @ (1 << np.arange(len(modalities)))
    names = {int(code): subset_name(m for j, m in enumerate(modalities) if code >> j & 1) for code in np.unique(codes)}
    return np.array([names[int(code)] for code in codes], dtype=object)


def missingness(
    study: Study, cell: Cell, trained: TrainedModel, label: str, rates: Sequence[float], draws: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of ``missingness.parquet`` of one model, and of each draw how many rows would have lost everything and ``kept_one``.

    Args:
        study: prepared.
        cell: whose test rows are taken.
        trained: the model.
        label: how the model was trained, as the column ``trained`` says it.
        rates, draws, seed: of what goes missing.
    """
    names = trained.model.modalities
    has = np.stack([study.cohort.rows_with([m]) for m in names], axis=1)
    rows = np.sort(cell.fold.test[has[cell.fold.test].any(axis=1)])
    sick, ids = sick_rows(study.target, cell.fold.train)[rows], study.dataset.table["sample_id"].iloc[rows]
    drawn = absences(has[rows], sick, list(ids), names, rates, draws, seed)
    frame = predict_left(trained, trained.batches(study.cohort, study.target, rows, study.training), rows, drawn)
    table = as_table(study, cell, trained, frame.assign(split="test"), offered=frame["offered"])
    if "oracle" in table:  # who is sicker is not among what the true posterior knows
        table.loc[(frame["pattern"] == SICKER) & (frame["rate"] > 0), "oracle"] = np.nan
    table = table.assign(**{name: frame[name] for name in ("pattern", "rate", "draw")}, trained=label)
    kept = [{"pattern": one.pattern, "rate": one.rate, "draw": one.draw, "kept_one": int(one.rescued.sum())} for one in drawn]
    return table, pd.DataFrame(kept)
