"""Grades, numbers and times from the command line to metrics.json, on the simulated cohort and from a manifest."""

import json

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from mmdx.commands.hydra_app import config_folder
from mmdx.configuration import check_config, resolved
from mmdx.data.sampling import EpochSampler
from mmdx.errors import InputError
from mmdx.evaluation.score import score, score_folder
from mmdx.evaluation.table import print_results
from mmdx.parts import study_from
from mmdx.run import finish, validation_score

SMALL = [
    *("+encoder/text@encoders.text=bag_of_words", "+encoder/tabular@encoders.tabular=mlp", "fusion=late", "data.samples=240", "data.batch_size=48"),
    *("trainer.max_epochs=5", "trainer.accelerator=cpu", "logger=none", "evaluation.resamples=20", "data.missing=null", "optimizer.lr=0.01"),
]
TASKS = {
    "ordinal": ("ordinal", ["qwk", "auroc", "mae", "accuracy", "balanced_accuracy", "rps"]),
    "regression": ("regression", ["r2", "mae", "rmse", "pearson", "spearman", "ccc"]),
    "survival_cox": ("survival", ["c_index", "c_index_uno", "auroc_td", "integrated_brier"]),
    "survival_discrete": ("survival", ["c_index", "c_index_uno", "auroc_td", "integrated_brier"]),
}


def config(*overrides):
    with initialize_config_dir(config_folder(), version_base="1.3"):
        cfg = resolved(compose("train", overrides=list(overrides)))
    check_config(cfg)
    return cfg


@pytest.mark.parametrize("task", TASKS)
def test_each_task_runs_from_config_to_the_printed_table(task, tmp_path, capsys):
    kind, names = TASKS[task]
    cfg = config(*SMALL, f"task={task}", f"data.outcome={kind}", "training.order=stratified")
    study = study_from(cfg, tmp_path)
    frame = study.run()
    finish(study, cfg)
    text = capsys.readouterr().out
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["kind"] == kind and metrics["primary"] == names[0] and "oracle" not in frame
    assert list(metrics["test"]) == ["tabular+text", "tabular", "text"]
    full = metrics["test"]["tabular+text"]
    assert set(names) <= set(full) and all(full[name]["low"] < full[name]["value"] < full[name]["high"] for name in names)
    assert full[names[0]]["value"] > (0.55 if kind == "survival" else 0.05)
    assert names[0] in metrics["differences"]["offered"]["text"] and "adding text to tabular" in text
    assert f"{full[names[0]]['value']:.3f}" in text and "best val/score" in text and max(map(len, text.splitlines())) < 200
    validation = frame[frame["split"] == "val"]
    rows = validation[validation["modalities"] == "tabular+text"].assign(split="test")
    expected = score(rows, kind=kind, resamples=1)["test"]["tabular+text"][names[0]]["value"]
    assert validation_score(validation, kind) == pytest.approx(expected)


@pytest.mark.parametrize("task", ["survival_cox", "survival_discrete"])
def test_a_loaded_model_predicts_the_same_curves_and_folds_share_their_horizons(task, tmp_path):
    cfg = config(*SMALL, f"task={task}", "data.outcome=survival", "split=kfold", "split.folds=2", "trainer.max_epochs=1", "ablation=none")
    frame = study_from(cfg, tmp_path).run()
    columns = [c for c in frame if c.startswith("survival_")]
    assert len(columns) == 5 and columns == [f"survival_{t:.10g}" for t in cfg.task.horizons] and frame[columns].notna().all(axis=None)
    again = study_from(cfg, tmp_path)
    again.prepare()
    other = again.evaluate(tmp_path, everything=False)
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), other.astype(frame.dtypes))


def test_a_sample_says_its_time_and_event(tmp_path):
    manifest(tmp_path, time=[3, 5, 8], event=[1, 0, 1])
    dataset = study_from(config(*tabular(tmp_path)), tmp_path).dataset
    assert dataset[1].target == {"time": 5.0, "event": 0} and dataset.table["event"].tolist() == [1, 0, 1] * 30


def manifest(folder, **columns):
    frame = pd.DataFrame({name: np.resize(values, 90) for name, values in columns.items()})
    frame = frame.assign(sample_id=[f"s{i}" for i in range(90)], patient_id=[f"p{i}" for i in range(90)], age=np.arange(90.0) + 20)
    frame.to_csv(folder / "manifest.csv", index=False)


def tabular(folder, *more):
    parts = ["data=manifest", f"data.path={folder / 'manifest.csv'}", "+encoder/tabular@encoders.tabular=mlp", "data.modalities={tabular: [age]}"]
    return [*parts, "task=survival_cox", "trainer.max_epochs=1", "trainer.accelerator=cpu", "logger=none", *more]


def test_a_manifest_of_times_trains(tmp_path):
    manifest(tmp_path, days=np.arange(1, 91), died=[1, 0, 1])
    frame = study_from(config(*tabular(tmp_path, "data.time=days", "data.event=died")), tmp_path / "run").run()
    assert {"time", "event", "risk"} <= set(frame) and not set(frame) & {"target", "prob"}


@pytest.mark.parametrize(
    ("columns", "more", "words"),
    [
        ({"time": [1, -2, 3], "event": [1, 0, 1]}, [], "row 2: time column 'time' is '-2', expected a number of at least 0"),
        ({"time": [1, 2, 3], "event": [1, 0, 2]}, [], "row 3: event column 'event' is '2', expected 1 where it happened"),
        ({"time": [1, 2, 3], "event": [0, 0, 0]}, [], "none of the 90 rows has the event"),
        ({"days": [1, 2, 3], "event": [0, 1, 1]}, ["data.time=days"], "data.event: not given; survival needs both"),
        ({"days": [1, 2, 3], "event": [0, 1, 1]}, ["data.time=day", "data.event=event"], "no column 'day' \\(asked for by data.time\\)"),
        ({"label": [1, 0], "time": [1, 2], "event": [0, 1]}, [], "task=survival_cox: the data set has no columns time and event"),
        ({"label": [1, 0], "d": [1, 2], "e": [0, 1]}, ["data.time=d", "data.event=e", "data.target=label"], "not together with data.target"),
    ],
)
def test_what_a_manifest_of_times_lacks_is_named(columns, more, words, tmp_path):
    manifest(tmp_path, **columns)
    with pytest.raises(InputError, match=words):
        study_from(config(*tabular(tmp_path, *more)), tmp_path / "run").run()


def test_the_order_of_named_levels_is_not_guessed(tmp_path):
    manifest(tmp_path, label=["low", "high"])
    with pytest.raises(InputError, match="task.levels: not given; the data has \\['high', 'low'\\], whose order must be said"):
        study_from(config(*tabular(tmp_path, "task=ordinal")), tmp_path / "run")
    manifest(tmp_path, label=[2, 10, 1])
    assert study_from(config(*tabular(tmp_path, "task=ordinal")), tmp_path / "run").model.task().levels == ["1", "2", "10"]


def test_stratified_batches_have_their_share_of_each_stratum():
    strata = (np.arange(200) % 10 == 0).astype(int)
    drawn = [i for _, i in EpochSampler(np.arange(200), "stratified", strata, seed=1)]
    assert sorted(drawn) == list(range(200))
    assert set(strata[np.reshape(drawn, (10, 20))].sum(axis=1).tolist()) <= {1, 2, 3}
    assert drawn != [i for _, i in EpochSampler(np.arange(200), "stratified", strata, seed=2)]


def test_two_tables_can_be_printed_in_a_log_of_width_100(tmp_path, capsys):
    rng = np.random.default_rng(0)
    target = rng.normal(2000, 400, 60)
    parts = [
        pd.DataFrame({"sample_id": range(60), "modalities": subset, "target": target, "prediction": target + rng.normal(0, 150, 60)})
        for subset in ("audio+image+tabular+text", "image", "text")
    ]
    pd.concat(parts).to_parquet(tmp_path / "predictions.parquet")
    print_results(score_folder(tmp_path, resamples=20))
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100 and "RMSE" in text and "threshold" not in text
