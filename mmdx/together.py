"""Fusion heads of one or several studies that share a cohort of features: each stack of them trained at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from mmdx.files import write_atomically, write_json
from mmdx.timings import phase
from mmdx.training.build import FITTED, build_model, check_learns, load_transforms
from mmdx.training.feature_table import FeatureTable
from mmdx.training.fit import TrainedModel, calibrate, device_of
from mmdx.training.frozen import EncodedCohort
from mmdx.training.heads import Head, at_once, named_groups, train_heads

if TYPE_CHECKING:
    from mmdx.cells import Cell
    from mmdx.study import Study

STACKS = "stacks.json"
"""How many heads of a shape a run trains at once, which its numbers depend on by their last bits."""


@phase("train")
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
    there = [(study, cell) for study, cells in studies for cell in cells]
    done = {study.folder_of(cell) for study, cell in there if study.resume and study.predictions_of(cell).exists()}
    for modalities in dict.fromkeys(cell.modalities for study, cell in there if study.folder_of(cell) not in done):
        table = FeatureTable(cohort, modalities)
        states: dict[bytes, dict[str, Any]] = {}
        own = [(study, cell, _head(study, cell, table, states, done)) for study, cell in there if cell.modalities == modalities]
        for shape in dict.fromkeys(head.shape for *_, head in own):
            alike = [(study, cell, head) for study, cell, head in own if head.shape == shape]
            owner = {id(head): (study, cell) for study, cell, head in alike}
            heads, started = [head for *_, head in alike], time.monotonic()
            if all(head.folder in done for head in heads):
                continue

            def finished(done: Sequence[Head], owner: Mapping[int, tuple[Study, Cell]] = owner) -> None:
                for head in done:
                    study, cell = owner[id(head)]
                    trained = TrainedModel(head.model, head.task, head.transforms, device)
                    calibrate(trained, cohort, target, head.train, study.training, head.folder)
                    write_atomically(study.predictions_of(cell), partial(study.predict(cell, trained).to_parquet, index=False))

            folders = list(dict.fromkeys(study.folder for study, *_ in alike))
            size, how = _kept_size(folders, heads, partial(at_once, heads, table, target, device, stack))
            train_heads(heads, table, target, device, size, finished, done)
            trained = [head for head in heads if head.history]
            print(f"{_trained(trained)} in {time.monotonic() - started:.0f} s{f'; {how}' if how else ''}", flush=True)
    return [pd.concat([study.kept(cell) for cell in cells]) for study, cells in studies]


def _kept_size(folders: Sequence[Path], heads: Sequence[Head], choose: Callable[[], tuple[int, str]]) -> tuple[int, str]:
    """How many heads are trained at once, and why: as their runs' folders say, where a run goes on or is repeated, else as is chosen now."""
    names = [f"{head.folder.parent.parent.name}/{head.name}" if len(folders) > 1 else head.name for head in heads]
    key = sha256(json.dumps([heads[0].shape, names]).encode()).hexdigest()[:16]
    kept = [json.loads((folder / STACKS).read_text(encoding="utf-8")) if (folder / STACKS).exists() else {} for folder in folders]
    size, how = next(((own[key], "") for own in kept if own.get(key, 0) in range(1, len(heads) + 1)), (0, ""))
    if not size:
        size, how = choose()
    for folder, own in zip(folders, kept, strict=True):
        write_json(folder / STACKS, own | {key: size})
    return size, how


def _head(study: Study, cell: Cell, table: FeatureTable, known: dict[bytes, dict[str, Any]], done: Container[Path]) -> Head:
    """A model before it is trained, with a fitted state in its folder, where it isn't finished."""
    has, plan, folder = study.cohort.rows_with(cell.modalities), study.plan_of(cell), study.folder_of(cell)
    train, val = (part[has[part]] for part in (cell.fold.train, cell.fold.val))
    states: Mapping[str, Any] = known.setdefault(train.tobytes(), {}) or table.fit(train)
    known[train.tobytes()].update(states)
    transforms = load_transforms(plan, states)
    torch.manual_seed(cell.seed)
    task = plan.task()
    fitted = {"inputs": states, "task": task.fit(study.target[train])}
    model = build_model(plan, transforms, task.outputs)
    if folder not in done:
        write_json(folder / FITTED, fitted)
    check_learns(model, study.training)
    groups = named_groups(model, plan, study.training)
    return Head(cell.name, cell.seed, study.training, groups, train, val, model, task, transforms, folder)


def _trained(heads: list[Head]) -> str:
    """What came of training some heads."""
    epochs, best = (sorted({len(head.history) for head in heads}), sorted(head.best for head in heads))
    spread = [f"{own[0]}" if own[0] == own[-1] else f"{own[0]} to {own[-1]}" for own in (epochs, [f"{value:.3f}" for value in best])]
    name = heads[0].name if len(heads) == 1 else f"{len(heads)} models"
    return f"{name}: {spread[0]} epochs, best {heads[0].training.monitor} {spread[1]}"
