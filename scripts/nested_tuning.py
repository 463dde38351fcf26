"""Nested cross-validation: hyperparameters chosen inside each outer fold's own training and validation rows, never on its test rows.

    python scripts/nested_tuning.py RUN --grid optimizer.weight_decay=0.001,0.01,0.1 --grid training.modality_dropout=0.0,0.2 \\
        -- +experiment=xray_text_pretrained data=covid_cxr data.root=FOLDER split=nested

Every combination of the grid is trained on the inner folds of an outer one, drawn (grouped by patient, stratified) from the rows outside its
test part: those of split=nested, or of split=file if it was drawn so; under another split, such as leave_one_site_out, as many as --inner says,
drawn in the same way by the run's seed. The one with the highest AUROC over all inner test rows, pooled as the outer ones are, trains the outer
model. RUN becomes a run folder with config.yaml, predictions.parquet and metrics.json; chosen.json has every combination's inner AUROC. The grid
may hold keys of training, optimizer, trainer and fusion.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from sklearn.metrics import roc_auc_score

from mmdx.cells import Cell
from mmdx.commands.hydra_app import composed, telling
from mmdx.data.splits import Fold, Nested
from mmdx.errors import InputError
from mmdx.files import write_json, write_text
from mmdx.parts import model_plan, study_from, training_plan
from mmdx.run import CONFIG, finish
from mmdx.study import Study

TUNABLE = ("training.", "optimizer.", "trainer.", "fusion.")


def combinations(grid: list[str]) -> list[list[str]]:
    """Every combination of a grid ``["key=a,b", ...]``, as overrides."""
    axes = []
    for axis in grid:
        key, found, _ = axis.partition("=")
        if not found or not key.startswith(TUNABLE):
            raise InputError(f"--grid {axis}: expected KEY=VALUE,VALUE with a key under {', '.join(TUNABLE)}.")
        try:
            parsed = OverridesParser.create().parse_override(axis)
        except HydraException as fault:
            raise InputError(f"--grid {axis}: {str(fault).splitlines()[0]}") from None
        values = parsed.sweep_string_iterator() if parsed.is_sweep_override() else [axis.partition("=")[2]]
        axes.append([f"{key}={value}" for value in values])
    return [list(one) for one in itertools.product(*axes)]


def variant(study: Study, cfg: DictConfig, folder: Path) -> Study:
    """The same prepared cohort and encoders under another config."""
    other = Study(
        study.dataset, replace(study.model, fusion=model_plan(cfg).fusion), training_plan(cfg), study.split, folder, study.seeds,
        study.ablation, study.on_error,
    )  # fmt: skip
    other.cohort, other.rows, other.target = study.cohort, study.rows, study.target
    return other


def inner_auroc(study: Study, folds: list[Fold], seed: int, criterion: str) -> float:
    """AUROC over inner folds: of all their test rows pooled, or the mean of the folds' own."""
    frames = []
    for fold in folds:
        with contextlib.redirect_stdout(io.StringIO()):  # a line for each of some hundred models
            frame = predictions(study, fold, seed)
        frames.append(frame[(frame["split"] == "test") & (frame["modalities"] == frame["modalities"].iloc[0])])
    scored = [pd.concat(frames)] if criterion == "pooled" else frames
    return float(np.mean([roc_auc_score(test["target"], test["prob"]) for test in scored]))


def predictions(study: Study, fold: Fold, seed: int) -> pd.DataFrame:
    """Train the full set of modalities on one fold and predict it."""
    return study.train(Cell(seed, fold, tuple(sorted(study.model.encoders)), False, 2, fold.name), fold.name)


def tune(run: Path, grid: list[str], inner: int, overrides: list[str], criterion: str = "pooled") -> None:
    if (run / CONFIG).exists():
        raise InputError(f"{run}: already holds a run; choose another folder.")
    tried = combinations(grid)
    base = composed(overrides)
    if OmegaConf.select(base, "split.fold") is not None:
        raise InputError(f"split.fold={base.split.fold}: nested tuning goes over all folds; leave it out.")
    variants = [composed([*overrides, *changes]) for changes in tried]
    study = study_from(base, run)
    study.prepare()
    if base.task._target_.rpartition(".")[2] != "Binary" or len(study.seeds) > 1:
        raise InputError("nested_tuning: takes task=binary and one seed.")
    write_text(run / CONFIG, OmegaConf.to_yaml(base, resolve=True))
    outer, frames, report = study.folds(), [], []
    split = study.split if hasattr(study.split, "inner_folds") else Nested(inner=inner, val=study.split.val, inner_seed=base.seed)
    strata = study.model.task().strata(study.target)
    with tempfile.TemporaryDirectory() as scratch:
        for fold in outer:
            scores, folds = [], split.inner_folds(fold, study.dataset.table, strata)
            for i, cfg in enumerate(variants):
                tried_here = variant(study, cfg, Path(scratch) / f"{fold.name}-{i}")
                scores.append(inner_auroc(tried_here, folds, base.seed, criterion))
            best = int(np.argmax(scores))
            chosen = " ".join(tried[best])
            print(f"{fold.name}: {chosen}, inner AUROC {scores[best]:.3f} (of the grid: {min(scores):.3f} to {max(scores):.3f})", flush=True)
            report.append({"fold": fold.name, "chosen": tried[best], "inner_auroc": dict(zip(map(" ".join, tried), scores, strict=True))})
            frames.append(predictions(variant(study, variants[best], run), fold, base.seed))
    write_json(run / "chosen.json", report)
    study.finish(pd.concat(frames))
    finish(study, base)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--grid", action="append", required=True, metavar="KEY=VALUE,VALUE")
    parser.add_argument("--inner", type=int, default=5, help="inner folds where the split has none of its own (5)")
    parser.add_argument("--criterion", choices=("pooled", "mean"), default="pooled", help="inner AUROC of all test rows, or the folds' mean (pooled)")
    parser.add_argument("overrides", nargs="+", help="what train.py takes")
    given = parser.parse_args()
    telling(lambda: tune(given.run, given.grid, given.inner, given.overrides, given.criterion))


if __name__ == "__main__":
    main()
