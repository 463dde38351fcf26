"""Fusion heads of one or several studies that share a cohort of features: each stack of them trained at once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from mmdx.files import write_atomically, write_json
from mmdx.training.build import FITTED, build_model, load_transforms
from mmdx.training.feature_table import FeatureTable
from mmdx.training.fit import TrainedModel, calibrate, device_of
from mmdx.training.frozen import EncodedCohort
from mmdx.training.heads import Head, named_groups, train_heads

if TYPE_CHECKING:
    from mmdx.study import Cell, Study


def train_together(studies: Sequence[tuple[Study, Sequence[Cell]]]) -> list[pd.DataFrame]:
    """Train every model of some studies, or take over the finished ones, and predict with them.

    Args:
        studies: each with its models; they share cohort, targets and encoders, and may differ in fusion and training.

    Returns:
        The predictions of each study.
    """
    first, (stack, device) = studies[0][0], (studies[0][0].stack, device_of(studies[0][0].training))
    cohort, target = first.cohort, first.target
    assert isinstance(cohort, EncodedCohort) and all(study.cohort is cohort for study, _ in studies)
    todo = [(study, cell) for study, cells in studies for cell in cells if not (study.resume and study.predictions_of(cell).exists())]
    for modalities in dict.fromkeys(cell.modalities for _, cell in todo):
        table = FeatureTable(cohort, modalities)
        states: dict[bytes, dict[str, Any]] = {}
        own = [(study, cell, _head(study, cell, table, states)) for study, cell in todo if cell.modalities == modalities]
        for shape in dict.fromkeys(head.shape for *_, head in own):
            alike = [(study, cell, head) for study, cell, head in own if head.shape == shape]
            owner = {id(head): (study, cell) for study, cell, head in alike}

            def finished(done: Sequence[Head], owner: Mapping[int, tuple[Study, Cell]] = owner) -> None:
                for head in done:
                    study, cell = owner[id(head)]
                    trained = TrainedModel(head.model, head.task, head.transforms, device)
                    calibrate(trained, cohort, target, head.train, study.training, head.folder)
                    write_atomically(study.predictions_of(cell), partial(study.predict(cell, trained).to_parquet, index=False))

            heads, started = [head for *_, head in alike], time.monotonic()
            how = train_heads(heads, table, target, device, stack, finished)
            print(f"{_trained(heads)} in {time.monotonic() - started:.0f} s{f'; {how}' if how else ''}", flush=True)
    return [pd.concat([pd.read_parquet(study.predictions_of(cell)) for cell in cells]) for study, cells in studies]


def _head(study: Study, cell: Cell, table: FeatureTable, known: dict[bytes, dict[str, Any]]) -> Head:
    """A model before it is trained, with a fitted state in its folder."""
    has, plan, folder = study.cohort.rows_with(cell.modalities), study.plan_of(cell), study.folder_of(cell)
    train, val = (part[has[part]] for part in (cell.fold.train, cell.fold.val))
    states: Mapping[str, Any] = known.setdefault(train.tobytes(), {}) or table.fit(train)
    known[train.tobytes()].update(states)
    transforms = load_transforms(plan, states)
    torch.manual_seed(cell.seed)
    task = plan.task()
    fitted = {"inputs": states, "task": task.fit(study.target[train])}
    model = build_model(plan, transforms, task.outputs)
    write_json(folder / FITTED, fitted)
    groups = named_groups(model, plan, study.training)
    return Head(cell.name, cell.seed, study.training, groups, train, val, model, task, transforms, folder)


def _trained(heads: list[Head]) -> str:
    """What came of training some heads."""
    epochs, best = (sorted({len(head.history) for head in heads}), sorted(head.best for head in heads))
    spread = [f"{own[0]}" if own[0] == own[-1] else f"{own[0]} to {own[-1]}" for own in (epochs, [f"{value:.3f}" for value in best])]
    name = heads[0].name if len(heads) == 1 else f"{len(heads)} models"
    return f"{name}: {spread[0]} epochs, best {heads[0].training.monitor} {spread[1]}"
