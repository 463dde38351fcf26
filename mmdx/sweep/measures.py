"""The measures of a run that a sweep steers by, from its validation rows and its model; ``objectives.json`` in the run folder."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmdx.evaluation.group_audit import MINIMUM, MINIMUM_CASES
from mmdx.evaluation.groups import groupings
from mmdx.evaluation.kinds import KINDS
from mmdx.evaluation.predictions import full_set
from mmdx.evaluation.score import primary_value, score
from mmdx.files import write_json
from mmdx.sweep.objectives import LATENCY, PARAMETERS, SCORE, WORST, check_metric
from mmdx.sweep.outcome import OBJECTIVES, TRIAL

if TYPE_CHECKING:
    from mmdx.study import Study
    from mmdx.training.fit import TrainedModel

LOWER = ("brier", "mae", "rmse", "rps")
"""Metrics of which less is better."""
TIMED, WARM = 50, 5
"""Samples whose time is taken, and samples before them."""


def write_objectives(study: Study, validation: pd.DataFrame) -> None:
    """Write the objectives of the sweep that a run is a trial of into its folder; of any other run write nothing.

    Args:
        study: finished.
        validation: its predictions of validation rows, which are all that is measured on.

    Raises:
        InputError: for an objective that is not measured of this task.
    """
    path = study.folder / TRIAL
    if path.exists():
        names = json.loads(path.read_text(encoding="utf-8"))["objectives"]
        write_json(study.folder / OBJECTIVES, measured(names, study, validation))


def measured(names: Iterable[str], study: Study, validation: pd.DataFrame) -> dict[str, float | None]:
    """Measures by name; None where one is not defined on these rows.

    ``val/score`` and ``val/METRIC`` are over all validation rows with all that they have, ``val/worst_group/METRIC`` is that of the group it is
    worst in: of the columns of metadata and of what is missing, with as many rows and cases as an audit of groups asks for. ``latency_ms`` is the
    median time in milliseconds that the model takes for one validation sample at a time, prepared beforehand, and ``parameters`` how many numbers
    it has, frozen ones included; for heads on frozen features both are the head's alone.

    Raises:
        InputError: for a name that is none of these.
    """
    rows = validation[(validation["ablation"] == "offered") & (validation["modalities"] == full_set(validation))]
    found: dict[str, float | None] = {}
    for name in names:
        if name == SCORE:
            found[name] = primary_value(rows, study.kind)
        elif name == PARAMETERS:
            found[name] = sum(parameter.numel() for parameter in _model(study).model.parameters())
        elif name == LATENCY:
            found[name] = _latency(study, _model(study))
        elif name.startswith(WORST):
            found[name] = worst_group(rows, study.kind, name.removeprefix(WORST))
        else:
            found[name] = metric(rows, study.kind, name.removeprefix("val/"))
    return found


def metric(rows: pd.DataFrame, kind: str, name: str) -> float | None:
    """A metric of some rows; None where it is not defined.

    Raises:
        InputError: where the kind of task has no such metric.
    """
    check_metric(name, kind)
    if name == KINDS[kind].primary:
        return primary_value(rows, kind)
    found = score(rows.assign(split="test"), kind=kind, resamples=1, brief=True)["test"]
    value: float | None = found[full_set(rows)][name]["value"]
    return value


def worst_group(rows: pd.DataFrame, kind: str, name: str) -> float | None:
    """A metric in the group of rows that it is worst in; None where no group is large enough."""
    values = []
    for grouping in groupings(rows, full_set(rows))[0]:
        for number in range(len(grouping.labels)):
            group = rows[grouping.code == number]
            if len(group) >= MINIMUM and _fewest(group, kind) >= MINIMUM_CASES and (value := metric(group, kind, name)) is not None:
                values.append(value)
    return (max(values) if name in LOWER else min(values)) if values else None


def _fewest(rows: pd.DataFrame, kind: str) -> int:
    """Rows of the rarer class, where there are two classes."""
    if kind != "binary":
        return len(rows)
    return int(np.min([(rows["target"] == label).sum() for label in (0, 1)]))


def _model(study: Study) -> TrainedModel:
    """The first model of the study, with all modalities."""
    return study.load(study.folder, next(study.cells(study.folds())))


def _latency(study: Study, trained: TrainedModel) -> float:
    import torch

    cell = next(study.cells(study.folds()))
    rows = cell.fold.val[study.cohort.rows_with(cell.modalities)[cell.fold.val]][: TIMED + WARM]
    plan, model, times = replace(study.training, batch_size=1), trained.model.to(trained.device).eval(), []
    with torch.inference_mode():
        for batch in trained.batches(study.cohort, study.target, rows, plan):
            moved = batch.to(trained.device)
            _wait(trained.device)
            started = time.perf_counter()
            model(moved)
            _wait(trained.device)
            times.append(1000 * (time.perf_counter() - started))
    return median(times[WARM:] or times)


def _wait(device: object) -> None:
    import torch

    if str(device).startswith("cuda"):
        torch.cuda.synchronize()
