"""The table of predictions: read, checked, and put into one canonical form that everything else here relies on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmdx.errors import InputError

FILE = "predictions.parquet"
KINDS = ("binary", "multiclass", "multilabel", "ordinal", "regression", "survival")
SURVIVAL_AT = "survival_"
ABLATIONS = ("offered", "retrained")
SPLITS = ("train", "val", "test")
KEY = ["sample_id", "fold", "seed", "modalities", "ablation", "split"]
DEFAULTS = {"fold": "", "seed": "", "modalities": "all", "ablation": "offered", "split": "test"}


def read_predictions(path: str | Path) -> pd.DataFrame:
    """A predictions table as it stands in the file.

    Args:
        path: a folder that holds ``predictions.parquet``, or a Parquet or CSV file.

    Raises:
        InputError: where there is no such file, or it cannot be read.
    """
    file = predictions_file(path)
    try:
        if file.suffix == ".csv":
            return pd.read_csv(file, dtype={"sample_id": str, "patient_id": str, "fold": str, "seed": str})
        return pd.read_parquet(file)
    except Exception as fault:
        reason = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise InputError(f"{file}: cannot be read as a table of predictions ({reason}); write it again as Parquet or CSV.") from None


def predictions_file(path: str | Path) -> Path:
    """The file that a folder or file name stands for.

    Raises:
        InputError: where there is none.
    """
    given = Path(path).expanduser()
    file = given / FILE if given.is_dir() else given
    if not file.is_file():
        raise InputError(f"{file}: no such file; give a folder that holds {FILE}, or the file itself.")
    return file


def kind_of(frame: pd.DataFrame, source: str = "predictions", kind: str | None = None) -> str:
    """What was predicted, from the columns: "binary", "multiclass", "multilabel", "regression" or "survival".

    Args:
        frame: the table.
        source: how it is called in messages.
        kind: what it is said to be. Classes with an order, "ordinal", have the columns of "multiclass" and are known by this alone.

    Raises:
        InputError: where the columns are none of these, or not of the kind given.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"kind={kind}: must be one of {', '.join(KINDS)}.")
    found = _kind_of_columns([str(c) for c in frame.columns], source)
    if kind not in (None, found, "ordinal" if found == "multiclass" else found):
        raise InputError(f"{source}: kind={kind} was given, but the columns are those of kind {found}; docs/metrics.md has the columns of each.")
    return kind or found


def _kind_of_columns(names: list[str], source: str) -> str:
    if "target" in names and "prob" in names:
        if several := [n for n in names if n.startswith("prob_")]:
            raise InputError(f"{source}: has columns prob and {several[0]}, of a binary and of another target; keep those of one.")
        return "binary"
    if "target" in names and "prediction" in names:
        return "regression"
    if "target" in names and any(n.startswith("prob_") for n in names):
        return "multiclass"
    if any(n.startswith("target_") for n in names) and any(n.startswith("prob_") for n in names):
        return "multilabel"
    if {"time", "event", "risk"} <= set(names):
        return "survival"
    raise InputError(
        f"{source}: columns {names[:12]} lack a target with its prediction; expected target and prob (binary), target and prob_CLASS "
        "(multiclass, ordinal), target_LABEL and prob_LABEL (multilabel), target and prediction (regression), or time, event and risk (survival)."
    )


def outputs_of(frame: pd.DataFrame, kind: str) -> list[str]:
    """Names of the classes (ordinal: from the lowest to the highest) or labels in the order of their columns; for a binary target one empty
    name, none for a number or a time."""
    if kind == "binary":
        return [""]
    prefix = {"multiclass": "prob_", "ordinal": "prob_", "multilabel": "target_"}.get(kind)
    return [name.removeprefix(prefix) for name in _columns(frame, prefix)] if prefix else []


def horizons_of(frame: pd.DataFrame, source: str = "predictions") -> dict[str, float]:
    """Time of each column ``survival_T``, ascending, by its T.

    Raises:
        InputError: where a T is not a number above 0.
    """
    found = {}
    for name in _columns(frame, SURVIVAL_AT):
        text = name.removeprefix(SURVIVAL_AT)
        try:
            found[text] = float(text)
        except ValueError:
            found[text] = -1.0
        if not 0 < found[text] < np.inf:
            raise InputError(f"{source}: column {name}: what follows {SURVIVAL_AT} must be a time above 0, as in {SURVIVAL_AT}365.")
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def _columns(frame: pd.DataFrame, prefix: str) -> list[str]:
    return [str(c) for c in frame.columns if str(c).startswith(prefix)]


def subset_size(modalities: str) -> int:
    """How many modalities a subset's name holds."""
    return modalities.count("+") + 1


def full_set(frame: pd.DataFrame) -> str:
    """The name of the set of all modalities that occur."""
    return "+".join(sorted({m for name in frame["modalities"].unique() for m in name.split("+")}))


def checked(frame: pd.DataFrame, source: str = "predictions", kind: str | None = None) -> pd.DataFrame:
    """The table in canonical form: optional columns filled in, text keys, rows sorted by sample, fold, seed, subset.

    Args:
        frame: columns as in docs/metrics.md; rows in any order.
        source: how the table is called in messages, such as its file.
        kind: as of ``kind_of``.

    Raises:
        InputError: for missing columns, probabilities that are none, numbers that are not finite, targets outside the classes, duplicated
            rows, no test rows, or nothing to tell apart in them; the message names the row (counted from 1) and column.
    """
    kind = kind_of(frame, source, kind)
    if "sample_id" not in frame:
        raise InputError(f"{source}: has no column sample_id; every row needs the id of its sample.")
    frame = _with_keys(frame.reset_index(drop=True), source)
    if kind in ("regression", "survival"):
        frame = _with_numbers(frame, kind, source)
    else:
        _check_probabilities(frame, kind, source)
        frame = _with_targets(frame, kind, source)
    repeated = frame.duplicated(KEY)
    if repeated.any():
        row = int(np.argmax(repeated))
        where = ", ".join(f"{k}={frame[k].iloc[row]}" for k in KEY if frame[k].iloc[row] != "")
        raise InputError(f"{source}, row {row + 1}: the same prediction a second time ({where}); keep one row for each.")
    frame = frame.sort_values(KEY, ignore_index=True)
    _check_test_rows(frame, kind, source)
    return frame


def _with_keys(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    nameless = frame["sample_id"].isna()
    if nameless.any():
        raise InputError(f"{source}, row {int(np.argmax(nameless)) + 1}: sample_id is empty; every row needs the id of its sample.")
    columns: dict[str, Any] = {"sample_id": frame["sample_id"].astype(str)}
    for name in ("modalities", "split"):
        empty = frame[name].isna().to_numpy() if name in frame else np.zeros(len(frame), bool)
        if empty.any() and not empty.all():
            row = int(np.argmax(empty))
            raise InputError(f"{source}, row {row + 1}: {name} is empty, but other rows have one; fill it in, or leave out the column.")
    for name, default in DEFAULTS.items():
        given = frame[name].astype(object) if name in frame else pd.Series(default, index=frame.index)
        columns[name] = _mapped(given, _text).fillna(default).astype(str)
    for name in ("modalities", "present"):
        if name in columns or name in frame:
            given = columns[name] if name in columns else frame[name].astype(object).fillna("").astype(str)
            _check_names(given, source, empty=name == "present")
            columns[name] = _mapped(given, _sorted_names)
    if "meta_site" in frame:
        columns["meta_site"] = _mapped(frame["meta_site"].astype(object), _text)
    for name in (c for c in _columns(frame, "meta_") if frame[c].dtype == object):
        several = frame[name].map(pd.api.types.is_list_like).to_numpy(bool)
        if several.any():
            row = int(np.argmax(several))
            raise InputError(f"{source}, row {row + 1}: {name}={frame[name].iloc[row]}; expected one text or number, not several.")
    for name, allowed in (("ablation", ABLATIONS), ("split", SPLITS)):
        odd = ~columns[name].isin(allowed)
        if odd.any():
            row = int(np.argmax(odd))
            raise InputError(f"{source}, row {row + 1}: {name}={columns[name].iloc[row]}; must be one of {', '.join(allowed)}.")
    if "patient_id" in frame:
        known = frame["patient_id"].notna() & (frame["patient_id"].astype(str).str.strip() != "")
        columns["patient_id"] = _mapped(frame["patient_id"].astype(object), _text).where(known, None)
    return frame.assign(**columns)


def _mapped(column: pd.Series, change: Callable[[Any], str]) -> pd.Series:
    """A column with each value changed, once for each different value; empty ones stay empty."""
    return column.map({value: change(value) for value in column.dropna().unique()})


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _sorted_names(joined: str) -> str:
    return "+".join(sorted(part.strip() for part in joined.split("+")))


def _check_names(given: pd.Series, source: str, empty: bool) -> None:
    """Names of modalities joined by "+" must be names, each once; none at all where ``empty``."""
    names = {text: [part.strip() for part in text.split("+")] for text in given.unique()}
    wrong = given.map({text: not (empty and text == "") and ("" in own or len(set(own)) < len(own)) for text, own in names.items()}).to_numpy(bool)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{source}, row {row + 1}: {given.name}={given.iloc[row]!r}; expected names joined by +, each once, as in image+text.")


def _check_probabilities(frame: pd.DataFrame, kind: str, source: str) -> None:
    columns = ["prob"] if kind == "binary" else _columns(frame, "prob_")
    for column in columns + ["oracle"] * ("oracle" in frame):
        values = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        wrong = ~((values >= 0) & (values <= 1))
        if column == "oracle":
            wrong &= ~np.isnan(values)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(f"{source}, row {row + 1}: {column}={frame[column].iloc[row]}; a probability must lie in 0 to 1.")
    if kind in ("multiclass", "ordinal"):
        total = frame[columns].to_numpy(np.float64).sum(axis=1)
        wrong = np.abs(total - 1) > 1e-3
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(f"{source}, row {row + 1}: the probabilities of the classes sum to {total[row]:.4g}; they must sum to 1.")


def _with_targets(frame: pd.DataFrame, kind: str, source: str) -> pd.DataFrame:
    if kind in ("multiclass", "ordinal"):
        classes = outputs_of(frame, kind)
        target = _mapped(frame["target"].astype(object), _text)
        _refuse_targets(~target.isin(classes), frame["target"], source, f"one of the classes that have a prob_ column, {classes}")
        return frame.assign(target=target)
    names = ["target"] if kind == "binary" else _columns(frame, "target_")
    if kind == "multilabel":
        targets, probabilities = outputs_of(frame, kind), [name.removeprefix("prob_") for name in _columns(frame, "prob_")]
        unpaired = sorted(set(targets) ^ set(probabilities))
        if unpaired:
            lacks = "prob_" if unpaired[0] in targets else "target_"
            raise InputError(f"{source}: label {unpaired[0]!r} has no column {lacks}{unpaired[0]}; each label needs target_ and prob_.")
    columns: dict[str, Any] = {}
    for name in names:
        values = pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        unlabelled = frame[name].isna().to_numpy() if kind == "multilabel" else np.zeros(len(frame), bool)
        expected = "1 or 0" + (", or empty where unlabelled" if kind == "multilabel" else "")
        _refuse_targets(~np.isin(values, (0, 1)) & ~unlabelled, frame[name], source, expected)
        columns[name] = values
    return frame.assign(**columns)


NUMBERS = {"regression": ("target", "prediction"), "survival": ("time", "event", "risk")}
WITHIN = {
    "time": (0.0, np.inf, "a time of 0 or more"),
    "event": (0.0, 1.0, "1 where the event happened at that time, 0 where the sample was followed no longer"),
}


def _with_numbers(frame: pd.DataFrame, kind: str, source: str) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    horizons = [f"{SURVIVAL_AT}{name}" for name in horizons_of(frame, source)] if kind == "survival" else []
    for name in (*NUMBERS[kind], *horizons):
        low, high, expected = WITHIN.get(name, (0.0, 1.0, "a probability in 0 to 1") if name in horizons else (-np.inf, np.inf, "a finite number"))
        values = pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        wrong = ~(np.isfinite(values) & (values >= low) & (values <= high)) | ((values > 0) & (values < 1) if name == "event" else False)
        _refuse_targets(wrong, frame[name], source, expected)
        columns[name] = values
    for earlier, later in pairwise(horizons):
        rises = columns[later] > columns[earlier] + 1e-6
        if rises.any():
            row = int(np.argmax(rises))
            both = f"{earlier}={columns[earlier][row]:.4g} and {later}={columns[later][row]:.4g}"
            raise InputError(f"{source}, row {row + 1}: {both}; the probability of being without the event cannot rise with time.")
    return frame.assign(**columns)


def _refuse_targets(wrong: np.ndarray | pd.Series, given: pd.Series, source: str, expected: str) -> None:
    if np.any(wrong):
        row = int(np.argmax(wrong))
        raise InputError(f"{source}, row {row + 1}: {given.name}={given.iloc[row]}; expected {expected}.")


def _check_test_rows(frame: pd.DataFrame, kind: str, source: str) -> None:
    test = frame[frame["split"] == "test"]
    if not len(test):
        there = sorted(frame["split"].unique())
        raise InputError(f"{source}: has no test rows (split has {there}); metrics are made from the rows with split=test.")
    names = {"multilabel": _columns(frame, "target_"), "survival": ["time", "event"]}.get(kind, ["target"])
    for name in names + ["patient_id"] * ("patient_id" in test):
        values = frame.groupby(["sample_id", "split"], sort=False)[name].nunique(dropna=False)  # validation rows may be of another cohort
        if (values > 1).any():
            sample, split = values.index[int(np.argmax(values > 1))]
            raise InputError(f"{source}: sample {sample!r} has different values of {name} in its {split} rows; one sample has one.")
    _check_sides(frame, source)
    _check_worth_scoring(test, kind, names, source)


def _check_sides(frame: pd.DataFrame, source: str) -> None:
    """No patient of those that are known, and without patients no sample, may be tested by a model that was trained or chosen on it.

    A row whose patient is left empty may be of another cohort with the same names, as the validation rows are where a run is evaluated on other data.
    """
    column, what = ("patient_id", "patient") if "patient_id" in frame else ("sample_id", "sample")
    known = frame.loc[frame[column].notna(), [column, "fold", "seed", "split"]].drop_duplicates()
    tested = known[known["split"] == "test"]
    both = known[known["split"].isin(["train", "val"])].merge(tested, on=[column, "fold", "seed"])
    if len(both):
        first, number = both.iloc[0], both[column].nunique()
        where = "".join(f", {name} {first[name]}" for name in ("fold", "seed") if first[name] != "")
        raise InputError(
            f"{source}: {what} {first[column]!r} is on both sides, in {first['split_x']} and in test rows{where} "
            f"({number} {what}{'s are' if number > 1 else ' is'}); split by {what}, or leave such rows out."
        )


def _check_worth_scoring(test: pd.DataFrame, kind: str, names: list[str], source: str) -> None:
    if kind == "survival":
        if not test["event"].any():
            raise InputError(f"{source}: none of the {len(test)} test rows has event=1; metrics of survival need rows with the event.")
        return
    if any(test[name].nunique() > 1 for name in names):
        return
    only = _text(test[names[0]].dropna().iloc[0]) if test[names[0]].notna().any() else "none"
    if kind == "regression":
        raise InputError(f"{source}: all {len(test)} test rows have target {only}; metrics need rows of different targets.")
    what = f"class {only}" if kind != "multilabel" else "one class of each label"
    raise InputError(f"{source}: all {len(test)} test rows have {what}; metrics need rows of at least two classes.")
