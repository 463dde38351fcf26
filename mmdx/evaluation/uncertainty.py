"""What the disagreement of several predictions says about each row, and the uncertainties that were measured on the model itself."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import entr

from mmdx.errors import InputError
from mmdx.evaluation.predictions import DEFAULTS, KEY
from mmdx.evaluation.threshold import youden_threshold

STRESS = Path("stress", "uncertainty.parquet")
MEASURED = ("mc_entropy", "mc_mutual_information", "ood_score")
VACUITY = "vacuity"


class Decomposition(NamedTuple):
    """The uncertainty of the mean of several predictions, in nats, [n] each; ``entropy`` = ``expected_entropy`` + ``mutual_information``.

    Attributes:
        entropy: of the mean probabilities.
        expected_entropy: mean entropy of the members, what no further training would take away.
        mutual_information: between the class and the member, what the members don't agree on.
    """

    entropy: np.ndarray
    expected_entropy: np.ndarray
    mutual_information: np.ndarray


def decompose(members: np.ndarray) -> Decomposition:
    """Uncertainty of the mean prediction, split up (Depeweg et al. 2018, arXiv:1710.07283; Houlsby et al. 2011, arXiv:1112.5745).

    Args:
        members: probabilities [M, n, K] of M members, or [M, n, L, K] of L labels, whose entropies are then summed.
    """
    labels = tuple(range(1, members.ndim - 1))
    entropy = entr(members.mean(axis=0)).sum(axis=labels)
    expected = entr(members).sum(axis=tuple(axis + 1 for axis in labels)).mean(axis=0)
    return Decomposition(entropy, expected, np.maximum(entropy - expected, 0.0))


def disagreement(answers: np.ndarray) -> np.ndarray:
    """Share of the pairs of members that give different answers, [n], from answers [M, n]; 0 where all agree."""
    members = len(answers)
    different = np.sum([(answers != answer).sum(axis=0) for answer in answers], axis=0)
    return different / (members * (members - 1))


def ensemble(rows: pd.DataFrame, validation: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """The mean of the seeds' predictions (deep ensemble, Lakshminarayanan, Pritzel & Blundell 2017, arXiv:1612.01474).

    Args:
        rows: of several seeds, of one subset of modalities; with ``threshold`` where ``classes`` is empty.
        validation: the same of validation rows, from which the ensemble's own threshold is taken, each fold's own; 0.5 where they lack a class.
        classes: names of the classes; empty for a yes-or-no outcome.

    Returns:
        one row a sample and fold that every seed has, ``seed`` empty, probabilities averaged, with ``entropy``, ``mutual_information`` and
        ``disagreement``.
    """
    joined, members = _members(rows, classes)
    columns = [f"prob_{name}" for name in classes] or ["prob"]
    both = members if classes else np.concatenate([1 - members, members], axis=2)
    answers = members.argmax(axis=2) if classes else members[:, :, 0] >= _members(rows, [], "threshold")[1][:, :, 0]
    split = decompose(both)
    mean = members.mean(axis=0)
    found = joined.assign(
        **dict(zip(columns, mean.T, strict=True)),
        seed="",
        entropy=split.entropy,
        mutual_information=split.mutual_information,
        disagreement=disagreement(answers),
    )
    return found if classes else found.assign(threshold=_thresholds(found, validation))


def _members(rows: pd.DataFrame, classes: list[str], column: str = "prob") -> tuple[pd.DataFrame, np.ndarray]:
    """The rows of one seed that all seeds have, and every seed's values of them, [M, n, K]."""
    seeds = sorted(rows["seed"].unique())
    kept = rows[rows.groupby(["sample_id", "fold"])["seed"].transform("nunique") == len(seeds)]
    kept = kept.sort_values(["seed", "sample_id", "fold"], kind="stable")
    values = kept[[f"{column}_{name}" for name in classes] or [column]].to_numpy(np.float64)
    return kept[kept["seed"] == seeds[0]], values.reshape(len(seeds), -1, values.shape[1])


def _thresholds(found: pd.DataFrame, validation: pd.DataFrame) -> np.ndarray:
    threshold = np.full(len(found), 0.5)
    if len(validation):
        known, members = _members(validation, [])
        mean = members.mean(axis=0)[:, 0]
        for fold in found["fold"].unique():
            own = (known["fold"] == fold).to_numpy()
            value = youden_threshold(known["target"].to_numpy(np.float64)[own], mean[own])
            if value is not None:
                threshold[(found["fold"] == fold).to_numpy()] = value
    return threshold


def read_measured(folder: Path | None) -> pd.DataFrame | None:
    """What was measured on the model itself, from a run folder's ``stress/uncertainty.parquet``; None where there is no such file.

    Raises:
        InputError: where the file is no table, lacks a key, has a row twice, or a value that is no number.
    """
    if folder is None or not (file := Path(folder) / STRESS).is_file():
        return None
    try:
        table = pd.read_parquet(file)
    except Exception as fault:
        raise InputError(f"{file}: cannot be read as a table ({(str(fault).splitlines() or ['?'])[0]}); run `mmdx stress` again.") from None
    if "sample_id" not in table:
        raise InputError(f"{file}: has no column sample_id; run `mmdx stress` again.")
    keys = {name: table[name].map(_text, na_action="ignore").fillna(DEFAULTS[name]) if name in table else DEFAULTS[name] for name in DEFAULTS}
    table = table.assign(sample_id=table["sample_id"].map(_text), **keys)
    if (again := table.duplicated(KEY)).any():
        raise InputError(f"{file}, row {int(np.argmax(again)) + 1}: the same row a second time; run `mmdx stress` again.")
    for name in (c for c in map(str, table) if c in MEASURED or c.startswith("mc_prob")):
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        wrong = np.isinf(values) | (np.isnan(values) & table[name].notna().to_numpy())
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(f"{file}, row {row + 1}: {name}={table[name].iloc[row]}; expected a number or nothing; run `mmdx stress` again.")
        table[name] = values
    return table


def with_measured(rows: pd.DataFrame, measured: pd.DataFrame | None) -> pd.DataFrame:
    """Rows of predictions with the columns that were measured on the model; NaN where it was not measured on a row."""
    if measured is None:
        return rows
    columns = [c for c in map(str, measured) if (c in MEASURED or c.startswith("mc_prob")) and c not in rows]
    joined = rows[KEY].merge(measured[KEY + columns], on=KEY, how="left", validate="one_to_one")
    return rows.assign(**{name: joined[name].to_numpy() for name in columns})


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
