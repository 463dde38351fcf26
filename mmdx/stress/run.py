"""A finished run under stress, from top to bottom: open it, disturb what its models see, write the tables, score the folder again."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmdx.cells import Cell
from mmdx.errors import InputError
from mmdx.evaluate import FinishedRun, open_run, run_in
from mmdx.evaluation.fingerprint import KEY, fingerprint
from mmdx.evaluation.predictions import FILE
from mmdx.files import write_atomically, write_json
from mmdx.stress.missingness import missingness
from mmdx.stress.noise import noise
from mmdx.stress.settings import Settings
from mmdx.stress.tables import as_table
from mmdx.stress.training import train_again
from mmdx.study import Study, say
from mmdx.training.fit import TrainedModel
from mmdx.training.predict import subset_name

STRESS = "stress"
AS_TRAINED = "as trained"
BASELINE = "baseline_"
SWEEPS = ("missingness", "noise")


def stress(given: str, settings: Settings) -> dict[str, Any]:
    """Put a run under stress; what is not in ``settings.only`` stays as an earlier call left it.

    Args:
        given: the run's folder.
        settings: what is done.

    Returns:
        what ``metrics.json`` then holds.

    Raises:
        InputError: where the run, its data or the baseline are not what is needed.
    """
    run = open_run(given, f"RUN {given}")
    folder = run.folder / STRESS
    compared = _baseline(run, settings)
    told, of = _earlier(folder / "stress.json"), fingerprint(run.folder / FILE)
    from mmdx.evaluation.score import score_folder

    try:
        for part in settings.only:
            started = time.monotonic()
            if (found := PARTS[part](run, settings)) is not None:
                told[part] = found | {"seconds": round(time.monotonic() - started, 1), KEY: of}
            if part in SWEEPS:
                told[part] = told.get(part, {}) | _keep_baseline(folder / f"{BASELINE}{part}.parquet", compared.get(part), settings)
            write_json(folder / "stress.json", {"schema": 1, **told})
    except InputError:  # as where a later part needs a package that is not there: what was done counts
        score_folder(run.folder)
        raise
    return score_folder(run.folder)


def _keep_baseline(path: Path, table: pd.DataFrame | None, settings: Settings) -> dict[str, str | None]:
    """Copy the baseline's table into the folder, or take away an earlier one."""
    if table is None:
        path.unlink(missing_ok=True)
        return {"baseline": None}
    _write(path, table)
    return {"baseline": str(settings.baseline)}


def _missingness(run: FinishedRun, settings: Settings) -> dict[str, Any] | None:
    if len(run.study.model.encoders) < 2:
        say("missingness: the run has one modality, and a row keeps one at least; nothing to take away.")
        return None
    tables, kept = [], []
    models = run.folder / STRESS / "models"
    if models.exists():
        shutil.rmtree(models)
    for cell, trained in run.models():
        for label, model in _models(run.study, cell, trained, settings, models):
            table, one = missingness(run.study, cell, model, label, settings.sweep_rates, settings.draws, settings.seed)
            tables.append(table)
            kept += [one] * (label == AS_TRAINED)  # the same rows lose the same, however a model was trained
    _write(run.folder / STRESS / "missingness.parquet", pd.concat(tables, ignore_index=True))
    asked = {"rates": settings.sweep_rates, "draws": settings.draws, "train_rates": sorted(settings.train_rates), "seed": settings.seed}
    per_draw = pd.concat(kept).groupby(["pattern", "rate", "draw"], as_index=False, sort=False)["kept_one"].sum()
    counted = per_draw.groupby(["pattern", "rate"], as_index=False, sort=False)["kept_one"].mean()
    return asked | {"rows_that_kept_one": counted[counted["kept_one"] > 0].to_dict("records")}


def _models(study: Study, cell: Cell, trained: TrainedModel, settings: Settings, folder: Path) -> list[tuple[str, TrainedModel]]:
    """The model itself, and those trained where modalities are absent."""
    rates = sorted(set(settings.train_rates))
    return [(AS_TRAINED, trained)] + [
        (f"{rate:g}", train_again(study, cell, rate, settings.seed, folder / f"{rate:g}" / cell.name)) for rate in rates
    ]


def _noise(run: FinishedRun, settings: Settings) -> dict[str, Any] | None:
    tables: list[pd.DataFrame] = []
    kinds: dict[str, str] = {}
    for cell, trained in run.models():
        table, kinds = noise(run.study, cell, trained, settings.sweep_levels, settings.seed)
        if table is not None:
            tables.append(table)
    for modality, kind in kinds.items():
        if not kind:
            say(f"noise: the inputs of {modality} are masks only; nothing to disturb.")
    if tables:
        _write(run.folder / STRESS / "noise.parquet", pd.concat(tables, ignore_index=True))
    return {"levels": settings.sweep_levels, "kinds": kinds, "seed": settings.seed, "on_features": run.study.encode_once}


def _uncertainty(run: FinishedRun, settings: Settings) -> dict[str, Any]:
    from mmdx.stress import dropout, out_of_distribution

    study, tables = run.study, []
    for cell, trained in run.models():
        has = study.cohort.rows_with(cell.modalities)

        def batches(rows: np.ndarray, trained: TrainedModel = trained, has: np.ndarray = has) -> Any:
            return trained.batches(study.cohort, study.target, rows[has[rows]], study.training)

        detector = out_of_distribution.fit(trained.model, batches(cell.fold.train), trained.device)
        for split in ("val", "test"):
            rows = getattr(cell.fold, split)
            if not has[rows].any():
                continue
            measured = dropout.mc_dropout(trained.model, trained.task, batches(rows), trained.device, settings.passes, settings.seed)
            scores = detector.score(trained.model, batches(rows), trained.device)
            frame = measured.merge(scores, on="index", validate="one_to_one").assign(split=split)
            tables.append(_keyed(study, cell, trained, frame))
    _write(run.folder / STRESS / "uncertainty.parquet", pd.concat(tables, ignore_index=True))
    return {"passes": settings.passes, "seed": settings.seed}


def _keyed(study: Study, cell: Cell, trained: TrainedModel, frame: pd.DataFrame) -> pd.DataFrame:
    """Measures of rows with ids, targets and model in the place of row numbers."""
    there = {m: study.cohort.rows_with([m]) for m in cell.modalities}
    present = [subset_name(m for m in cell.modalities if there[m][row]) for row in frame["index"]]
    table = as_table(study, cell, trained, frame.assign(present=present))
    return table.assign(**{c: frame[c] for c in map(str, frame) if c not in ("index", "split")})


def _cases(run: FinishedRun, settings: Settings) -> dict[str, Any]:
    from mmdx.explain.cases import write_cases

    write_cases(run.folder, run.models(), run.study, settings.cases, settings.notes)
    return {"cases": settings.cases, "notes": settings.notes}


PARTS: dict[str, Callable[[FinishedRun, Settings], dict[str, Any] | None]] = {
    "missingness": _missingness,
    "noise": _noise,
    "uncertainty": _uncertainty,
    "cases": _cases,
}


def _baseline(run: FinishedRun, settings: Settings) -> dict[str, pd.DataFrame]:
    """The tables of the run that this one is compared with, checked against what will be done here.

    Raises:
        InputError: where it was not put under the same stress, or tested other rows.
    """
    if settings.baseline is None:
        return {}
    named = f"--baseline {settings.baseline}"
    source = run_in(str(settings.baseline), named)
    keys = [name for name in ("sample_id", "fold", "seed") if name in pd.read_parquet(run.folder / "predictions.parquet")]
    tested = _tested(run.folder, keys)
    wanted = {"missingness": ("rate", settings.sweep_rates), "noise": ("level", settings.sweep_levels)}
    found = {}
    for name in SWEEPS:
        if name not in settings.only:
            continue
        file = source / STRESS / f"{name}.parquet"
        if not file.exists():
            raise InputError(f"{named}: has no {STRESS}/{file.name}; run mmdx stress {settings.baseline} first, with the same options.")
        table = pd.read_parquet(file)
        if "trained" in table:
            table = table[table["trained"] == AS_TRAINED]
        column, levels = wanted[name]
        if sorted(table[column].unique()) != levels:
            there = " ".join(f"{level:g}" for level in sorted(table[column].unique()))
            raise InputError(f"{named}: its {column}s of {name} are {there}; give the same here, or run mmdx stress {settings.baseline} again.")
        if not set(keys) <= set(table) or set(table[keys].drop_duplicates().itertuples(index=False, name=None)) != tested:
            raise InputError(f"{named}: tested other rows, folds or seeds than {run.folder}; give a run with the same data, split and seeds.")
        found[name] = table
    return found


def _tested(folder: Path, keys: list[str]) -> set[tuple[Any, ...]]:
    rows = pd.read_parquet(folder / "predictions.parquet")
    rows = rows[(rows["split"] == "test") & (rows["ablation"] == "offered")]
    full = rows["modalities"].str.count(r"\+") == rows["modalities"].str.count(r"\+").max()
    return set(rows.loc[full, keys].itertuples(index=False, name=None))


def _write(path: Path, table: pd.DataFrame) -> None:
    write_atomically(path, lambda temporary: table.to_parquet(temporary, index=False))


def _earlier(path: Path) -> dict[str, Any]:
    """What an earlier call did, of the parts that are not done now."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: value for name, value in told.items() if name != "schema"} if isinstance(told, dict) else {}
