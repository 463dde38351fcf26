"""The case files that a report's case browser shows: inputs of chosen test samples with what the model went by."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from mmdx.cells import Cell, plain_name
from mmdx.data.loading import Examples, ModalityDropout
from mmdx.data.raw import Recording, Signal
from mmdx.errors import InputError
from mmdx.evaluation.predictions import checked, full_set, kind_of, outputs_of, read_predictions
from mmdx.explain.attribution import STEPS, Attribution, Attributor, class_log_odds, mean_items, mean_output
from mmdx.explain.choose import choose
from mmdx.explain.parts import Part, parts_of
from mmdx.explain.render_audio import render_audio
from mmdx.explain.render_image import is_picture, render_images
from mmdx.explain.render_table import is_table, render_table
from mmdx.explain.render_text import render_text
from mmdx.files import write_text
from mmdx.study import Study
from mmdx.training.fit import TrainedModel
from mmdx.types import Simulated

FOLDER, FILE = "cases", "cases.json"
METHOD = "integrated gradients"
AT_ONCE = 16
"""Samples that are attributed together."""
FOR_MEAN = 64
"""Training samples whose mean item is the baseline of a modality."""

Explains = Callable[[Tensor], Tensor]
"""What is explained, [B, L], from logits [B, K]."""


def write_cases(folder: Path, models: Iterable[tuple[Cell, TrainedModel]], study: Study, cases: int, notes: bool) -> None:
    """Write ``cases/cases.json`` and a numbered folder a case below a run folder that has predictions; docs/explain.md says what is in them.

    The cases are test samples of the models that are trained on all modalities with the first seed, each explained by the model of its fold, or
    by the first where the predictions are means over folds. Files that were there before are replaced once all new ones are written.

    Args:
        folder: the run folder; ``predictions.parquet`` in it says which samples are of interest.
        models: the run's models; those of other seeds and of fewer modalities are passed over.
        study: the prepared study that they belong to.
        cases: how many, at least 1.
        notes: whether texts are written out where the data is not simulated; else only their length is.

    Raises:
        InputError: where ``cases`` is below 1, the folder has no predictions, or captum is not installed.
    """
    if cases < 1:
        raise InputError(f"cases={cases}: must be at least 1.")
    table = checked(read_predictions(folder), str(folder))
    if len(study.seeds) > 1:
        table = table[table["seed"] == str(study.seeds[0])]
    chosen = choose(table, cases)
    kind, logits = kind_of(table), study.model.task().outputs
    outputs, write_notes = outputs_of(table, kind), notes or isinstance(study.dataset, Simulated)
    seed = str(study.seeds[0]) if len(study.seeds) > 1 else ""
    named = len(outputs) == logits  # an output for each class or label
    explains = mean_output if not named else class_log_odds if kind == "multiclass" else _as_they_are
    with _replacing(folder / FOLDER) as made:
        entries: list[dict[str, Any]] = []
        for cell, trained in models:
            if cell.retrained or cell.seed != study.seeds[0]:
                continue
            own = chosen[chosen["fold"].isin(["", cell.fold.name]) & ~chosen["sample_id"].isin({entry["sample_id"] for entry in entries})]
            for attribution in _attributions(trained, study, cell, own["sample_id"], explains):
                number = f"{len(entries) + 1:04d}"
                sample_id = str(study.dataset.table["sample_id"].iloc[attribution.index])
                row = own[own["sample_id"] == sample_id].iloc[0]
                labels = {"split": "test", "seed": seed, "fold": row["fold"], "folder": number, "reason": row["reason"]}
                labels["output"] = outputs[attribution.output] if named else ""
                entries.append({"sample_id": sample_id, **labels, **_case(made / number, attribution, trained, study, write_notes)})
        method = {m: METHOD for m in sorted(study.model.encoders)}
        head = {"schema": 1, "full": full_set(table), "kind": kind, "outputs": outputs, "method": method}
        head |= {"explains": "log-odds" if named else "mean of the outputs", "steps": STEPS}
        write_text(made / FILE, json.dumps({**head, "cases": entries}, allow_nan=False) + "\n")


def _as_they_are(logits: Tensor) -> Tensor:
    return logits


def _attributions(trained: TrainedModel, study: Study, cell: Cell, samples: pd.Series, explains: Explains) -> Iterator[Attribution]:
    """Attributions of those samples that are test rows of a model, in the data set's order."""
    ids = study.dataset.table["sample_id"].astype(str).to_numpy()
    test = cell.fold.test
    rows = test[np.isin(ids[test], samples.to_numpy()) & study.cohort.rows_with(cell.modalities)[test]]
    if not len(rows):
        return
    train = cell.fold.train if len(cell.fold.train) else rows  # a run on other data has no training rows at hand
    examples = Examples(study.cohort, trained.transforms, study.target, 0, ModalityDropout(0.0))
    means = mean_items(examples[-1, int(row)] for row in train[:: -(-len(train) // FOR_MEAN)])
    attribute = Attributor(trained.model.to(trained.device), explains, means=means)
    for batch in trained.batches(study.cohort, study.target, rows, replace(study.training, batch_size=AT_ONCE, num_workers=0)):
        yield from attribute(batch.to(trained.device))


def _case(folder: Path, attribution: Attribution, trained: TrainedModel, study: Study, notes: bool) -> dict[str, Any]:
    """One case's entry; its files are written into a folder of its own."""
    folder.mkdir()
    raw = study.dataset[attribution.index].inputs
    contributions, taken, inputs = attribution.contributions, set[str](), {}
    for m in sorted(attribution.items):
        parts = parts_of(study, trained, m, raw[study.model.sources[m]], attribution)
        inputs[m] = _input(parts, folder, plain_name(m, taken), notes)
        if inputs[m]["kind"] == "other":
            top = max(abs(value) for value in contributions.values())
            inputs[m]["weight"] = round(contributions[m] / top, 3) if top > 0 else 0.0
    return {
        "inputs": inputs,
        "share": {m: round(share, 4) for m, share in attribution.shares.items()},
        "contribution": {m: round(value, 4) for m, value in contributions.items()},
        "value": round(attribution.value, 4),
        "baseline": round(attribution.baseline, 4),
        "error": round(attribution.error, 4),
    }


def _input(parts: list[Part], folder: Path, stem: str, notes: bool) -> dict[str, Any]:
    """The entry of one modality, by what its raw inputs are."""
    first = parts[0]
    if isinstance(first.raw, str):
        return render_text(parts, withheld=not notes)
    if isinstance(first.raw, Recording):
        return render_audio(parts, folder, stem)
    if is_table(first):
        return render_table(parts)
    if is_picture(first):
        return render_images(parts, folder, stem)
    return {"kind": "other", "note": "; ".join(_described(part.raw) for part in parts)}


def _described(raw: Any) -> str:
    if isinstance(raw, Signal):
        return f"{raw.samples.shape[0]} channels x {raw.samples.shape[1]} samples at {raw.rate:g} Hz"
    shape = np.shape(raw) if isinstance(raw, np.ndarray) else None
    return f"shape {' x '.join(map(str, shape))}" if shape else type(raw).__name__


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """An empty folder beside ``folder`` that takes its place once it is filled; until then the old one stays."""
    made, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    if old.exists() and not folder.exists():  # killed between the two renames
        old.rename(folder)
    for left in (made, old):
        shutil.rmtree(left, ignore_errors=True)
    made.mkdir(parents=True)
    try:
        yield made
        if folder.exists():
            folder.rename(old)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
