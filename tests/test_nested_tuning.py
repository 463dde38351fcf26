"""Hyperparameters of a fold are chosen without its test rows."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from nested_tuning import combinations, tune

from mmdx.errors import InputError
from mmdx.study import Study

SMALL = ["+experiment=xray_text", "data.samples=120", "split=kfold", "split.folds=2", "trainer.max_epochs=1", "logger=none", "evaluation.resamples=9"]


def test_the_grid_is_every_combination():
    assert combinations(["optimizer.lr=1,2", "training.order=a,b"]) == [
        [f"optimizer.lr={x}", f"training.order={y}"] for x in (1, 2) for y in "ab"
    ]


@pytest.mark.parametrize("axis", ["optimizer.lr", "encoders.image.width=1,2", "split.seed=0,1"])
def test_what_changes_the_data_or_the_encoders_cannot_be_tuned(axis):
    with pytest.raises(InputError, match="expected KEY=VALUE,VALUE"):
        combinations([axis])


def test_a_single_fold_is_refused(tmp_path):
    with pytest.raises(InputError, match="split.fold=0: nested tuning goes over all folds; leave it out."):
        tune(tmp_path / "run", ["optimizer.lr=0.0001,0.003"], 2, [*SMALL, "split.fold=0"])


@pytest.mark.slow
def test_inner_models_never_see_the_outer_test_rows(tmp_path, monkeypatch):
    seen = []
    train = Study.train
    monkeypatch.setattr(Study, "train", lambda self, cell, title: (seen.append(cell.fold), train(self, cell, title))[1])
    tune(tmp_path / "run", ["optimizer.lr=0.0001,0.003"], 2, SMALL)
    outer = [fold for fold in seen if "-" not in fold.name]
    inner = [fold for fold in seen if "-" in fold.name]
    assert len(outer) == 2 and len(inner) == 2 * 2 * 2
    for fold in inner:
        test = next(set(o.test) for o in outer if fold.name.startswith(o.name))
        assert not test & {*fold.train, *fold.val, *fold.test}
    rows = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    full = rows[(rows["split"] == "test") & (rows["modalities"] == "image+text")]
    assert len(full) == 120 and full["sample_id"].is_unique
    for report in json.loads((tmp_path / "run" / "chosen.json").read_text()):
        assert report["inner_auroc"][" ".join(report["chosen"])] == max(report["inner_auroc"].values())
    assert (tmp_path / "run" / "metrics.json").exists()
