"""Sweeps over real runs: objectives come from validation rows, pruning prunes, the best config is the best trial's, seeds are scored together."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from here import ROOT, inside, sweep_here
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from sklearn.metrics import roc_auc_score

from mmdx.commands.train import _job
from mmdx.configuration import resolved
from mmdx.data.splits import Chosen, KFold
from mmdx.errors import InputError
from mmdx.sweep.joined import join_runs

SMALL = ("+experiment=fusion_missing", "logger=none", "evaluation.resamples=10", "ablation=none")
WORST = "val/worst_group/auroc"


def sweep_runs(folder, *overrides):
    found = sweep_here(folder, *SMALL, f"cache.root={folder}/cache", *overrides, task=_job.__wrapped__, name="train", conf=ROOT / "conf")
    (sweep,) = (folder / "runs" / "fusion_missing").iterdir()
    return sweep, found


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    folder = tmp_path_factory.mktemp("front")
    return sweep_runs(folder, "data.samples=400", "split.val=0.4", "trainer.max_epochs=1", "fusion=gated,concat",
                      "optimizer.lr=tag(log,interval(1e-4,1e-2))", "hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=2",
                      f"hydra.sweeper.objectives={{val/auroc: maximize, {WORST}: maximize, latency_ms: minimize, parameters: minimize}}")  # fmt: skip


def test_objectives_are_measured_on_validation_rows(front):
    sweep, _ = front
    for number in (0, 1):
        folder = sweep / str(number)
        found = json.loads((folder / "objectives.json").read_text())
        rows = pd.read_parquet(folder / "predictions.parquet").query("split == 'val'")
        assert found["val/auroc"] == pytest.approx(roc_auc_score(rows["target"], rows["prob"]))
        assert found[WORST] <= found["val/auroc"]
        sexes = [roc_auc_score(group["target"], group["prob"]) for _, group in rows.groupby("meta_sex")]
        assert found[WORST] <= min(sexes) + 1e-12
        assert found["latency_ms"] > 0
        state = np.sum([value.numel() for name, value in _weights(folder).items() if name.startswith("model.fusion.")])
        assert found["parameters"] >= state > 0


@pytest.mark.parametrize(("words", "says"), [
    (["hydra.sweeper.objectives={val/aurocc: maximize}"], "val/aurocc: is not measured; did you mean val/auroc? An objective is val/score"),
    (["hydra.sweeper.objectives={val/worst_group/brierr: minimize}"], "did you mean val/worst_group/brier?"),
    (["hydra.sweeper.objectives={val/qwk: maximize}"], "qwk is not measured of a binary task, but auroc, auprc, brier;"),
    (["optimizer.lr=interval(-1,1)"], "optimizer.lr=-1.0, an end of its range: must be greater than 0."),
    (["split.seed=range(0,6000000000,1000000000)"], "split.seed=5000000000, an end of its range: must be a whole number"),
    (["training.fused_loss=range(-1,2)"], "training.fused_loss=-1, an end of its range: must be 0 or more."),
])  # fmt: skip
def test_what_no_trial_could_do_is_refused_before_any(tmp_path, capsys, words, says):
    with pytest.raises(SystemExit):
        sweep_runs(tmp_path, "fusion=gated,concat", *words)
    said = capsys.readouterr().err
    assert says in said and said.startswith("error: ") and said.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def _weights(folder):
    import torch

    return torch.load(folder / "models" / "model" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]


def test_the_config_of_a_best_trial_is_that_trials_own(front):
    sweep, found = front
    for number in found:
        with initialize_config_dir(str(sweep), version_base="1.3"):
            again = resolved(compose(f"best_{number}"))
        trained = OmegaConf.load(sweep / str(number) / "config.yaml")
        assert trained.pop("resume") == "auto" and again.pop("resume") is None
        assert OmegaConf.to_container(again) == OmegaConf.to_container(trained)


def test_the_best_config_is_what_train_takes(front, tmp_path):
    sweep, found = front
    number = next(iter(found))
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.global_hydra import GlobalHydra

    search = create_config_search_path(str(ROOT / "conf"))
    search.prepend("command-line", str(sweep), anchor="schema")
    GlobalHydra.instance().clear()
    with inside(tmp_path):
        hydra = Hydra.create_main_hydra2("train", search)
        done = hydra.run(config_name=f"best_{number}", task_function=_job.__wrapped__, overrides=[], with_log_configuration=False)
    GlobalHydra.instance().clear()
    (run,) = (tmp_path / "runs" / "fusion_missing").iterdir()
    assert done.return_value == pytest.approx(found[number]["val/auroc"])
    first, again = (pd.read_parquet(folder / "predictions.parquet") for folder in (sweep / str(number), run))
    pd.testing.assert_frame_equal(first, again)


@pytest.mark.parametrize("pruner", [("median", "hydra.sweeper.pruner.n_startup_trials=1"), pytest.param(("hyperband",), marks=pytest.mark.slow)])
def test_pruning_ends_trials_that_fall_behind(tmp_path, pruner):
    name, *further = pruner
    sweep, _ = sweep_runs(tmp_path, "data.samples=400", "trainer.max_epochs=6", "hydra/sweeper/sampler=grid", "optimizer.lr=0.01,0.009,1e-9,2e-9",
                          f"hydra/sweeper/pruner={name}", *further)  # fmt: skip
    table = pd.read_csv(sweep / "sweep.csv")
    assert table["state"][0] == "COMPLETE" and list(table["state"][2:]) == ["PRUNED", "PRUNED"]
    for number in table.loc[table["state"] == "PRUNED", "number"]:
        assert not (sweep / str(number) / "predictions.parquet").exists()
        assert json.loads((sweep / str(number) / "outcome.json").read_text())["state"] == "PRUNED"
        assert json.loads((sweep / str(number) / "provenance.json").read_text())["state"] == "pruned"


def test_a_sweep_whose_config_was_edited_is_not_gone_on_with(tmp_path, capsys):
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    words = (*SMALL, f"cache.root={tmp_path}/cache", "data.samples=120", "trainer.max_epochs=1", "optimizer.lr=interval(1e-3,1e-2)")
    again = {"task": _job.__wrapped__, "name": "train", "conf": conf}
    sweep_here(tmp_path, *words, "hydra.sweeper.n_trials=1", **again)
    sweep_here(tmp_path, *words, "hydra.sweeper.n_trials=2", **again)
    (sweep,) = (tmp_path / "runs" / "fusion_missing").iterdir()
    assert (sweep / "1" / "predictions.parquet").exists()
    experiment = conf / "experiment" / "fusion_missing.yaml"
    experiment.write_text(experiment.read_text().replace("redundant: {image+text: 0.3}", "redundant: {image+text: 0.2}"))
    with pytest.raises(SystemExit):
        sweep_here(tmp_path, *words, "hydra.sweeper.n_trials=3", **again)
    told = "the sweep was begun with data.information.redundant.image+text=0.3, and it is 0.2 by now; set it back, or name another folder."
    assert told in capsys.readouterr().err and not (sweep / "2").exists()


def test_a_sweep_over_seeds_is_one_result(tmp_path):
    sweep, _ = sweep_runs(tmp_path, "data.samples=200", "trainer.max_epochs=1", "hydra/sweeper/sampler=grid", "seed=0,1")
    joined = pd.read_parquet(sweep / "joined" / "predictions.parquet")
    for seed in (0, 1):
        own = pd.read_parquet(sweep / str(seed) / "predictions.parquet")
        pd.testing.assert_frame_equal(joined[joined["seed"] == seed].drop(columns="seed").reset_index(drop=True), own)
    metrics = json.loads((sweep / "joined" / "metrics.json").read_text())["test"]["image+text"]["auroc"]
    singles = [json.loads((sweep / str(seed) / "metrics.json").read_text())["test"]["image+text"]["auroc"]["value"] for seed in (0, 1)]
    assert metrics["seeds"] == 2 and metrics["value"] == pytest.approx(np.mean(singles))


def test_a_sweep_over_folds_is_the_run_of_all_folds(tmp_path):
    words = ("data.samples=200", "trainer.max_epochs=1", "training.stack=false", "split=kfold", "split.folds=2")
    (tmp_path / "one").mkdir()
    sweep, _ = sweep_runs(tmp_path / "one", *words, "hydra/sweeper/sampler=grid", "split.fold=range(0,2)", "seed=0,1")
    (tmp_path / "other").mkdir()
    whole, _ = sweep_runs(tmp_path / "other", *words, "hydra/sweeper/sampler=grid", "optimizer.lr=0.0007,0.001", "seeds=[0,1]")
    joined, wanted = (folder / "predictions.parquet" for folder in (sweep / "joined", whole / "0"))
    pd.testing.assert_frame_equal(pd.read_parquet(joined), pd.read_parquet(wanted))
    metrics, all_at_once = (json.loads(path.with_name("metrics.json").read_text())["test"]["image+text"] for path in (joined, wanted))
    assert metrics == {name: {key: value for key, value in entry.items() if key != "optimum"} for name, entry in all_at_once.items()}
    cfg = OmegaConf.load(sweep / "joined" / "config.yaml")
    assert cfg.split.fold == [0, 1] and cfg.seeds == [0, 1]


def test_what_is_not_joined_is_said_and_what_is_no_result_any_more_goes(tmp_path, capsys):
    for number, seed in enumerate((0, 1, 2)):
        finished(tmp_path / str(number), seed)
    (tmp_path / "2" / "config.yaml").write_text("[")
    for name in ("3", "joined-1", "joined_by_me"):
        (tmp_path / name).mkdir()
    (tmp_path / "joined-1" / "config.yaml").write_text("")
    assert [path.name for path in join_runs(tmp_path)] == ["joined"]
    said = capsys.readouterr().out
    assert "joined: without 3, which did not finish." in said and f"joined: without 2: {tmp_path}/2/config.yaml: not a config (line 1" in said
    assert not (tmp_path / "joined-1").exists() and (tmp_path / "joined_by_me").exists()


def test_a_fold_that_is_not_there_is_named(tmp_path):
    split = Chosen(KFold(folds=3), [0, 3])
    table = pd.DataFrame({"sample_id": [f"s{k}" for k in range(30)], "patient_id": None, "site": None, "target": np.arange(30) % 2})
    with pytest.raises(InputError, match=r"split.fold=3: the split has 3 folds, which are numbered from 0."):
        split.folds(table)


def finished(folder, seed, fold=None, lr=0.1):
    folder.mkdir()
    parts = {key: {} for key in ("data", "encoders", "fusion", "task", "training")} | {"split": {"fold": fold}}
    OmegaConf.save({"seed": seed, "seeds": None, "resume": None, "lr": lr} | parts, folder / "config.yaml")
    (folder / "metrics.json").write_text("{}")
    (folder / "data.json").write_text("{}")
    rows = [{"sample_id": f"s{k}-{fold}", "patient_id": f"p{k}-{fold}", "split": "test", "modalities": "image", "ablation": "offered",
             "present": "image", "target": k % 2, "prob": 0.4 + 0.02 * k * (k % 2) + 0.01 * seed} for k in range(12)]  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / "predictions.parquet")
    pd.DataFrame({"fold": [f"fold{fold}"]}).to_parquet(folder / "folds.parquet")


def test_settings_are_joined_over_seeds_each_by_itself(tmp_path):
    for number, (lr, seed) in enumerate([(0.1, 0), (0.2, 0), (0.1, 1), (0.2, 1), (0.3, 0)]):
        finished(tmp_path / str(number), seed, lr=lr)
    assert [path.name for path in join_runs(tmp_path)] == ["joined-0", "joined-1"]


def test_a_seed_without_all_folds_is_left_out(tmp_path, capsys):
    for number, (seed, fold) in enumerate([(0, 0), (0, 1), (1, 1), (2, 1), (2, 0)]):
        finished(tmp_path / str(number), seed, fold)
    (folder,) = join_runs(tmp_path)
    assert "seed 1: left out of the joined result, a fold that others have is missing." in capsys.readouterr().out
    assert set(pd.read_parquet(folder / "predictions.parquet")[["seed", "fold"]].itertuples(index=False, name=None)) == {
        (0, "fold0"), (0, "fold1"), (2, "fold0"), (2, "fold1")
    }  # fmt: skip


@pytest.mark.parametrize(("overrides", "says"), [
    (("fusion=gated,gatd",), "fusion=gatd: no such fusion; there are"),
    (("optimizer.lrr=1,2",), "optimizer.lrr"),
    (("optimizer.lr=-1,1",), "optimizer.lr=-1: must be greater than 0."),
    (("seed=0,1", "+sweep/fusion=gatd"), "gatd"),
    (("seed=0,4294967296",), "seed=4294967296: must be a whole number from 0 to 4294967295."),
    (("seed=0,1", "seeds=[0,1]"), "seed: is not read where seeds=[0, 1] is given; vary one of the two."),
    (("seed=0,1", "hydra.sweeper.storage=postgres"), "hydra.sweeper.storage=postgres: must be journal (a file, the default) or sqlite."),
    (("+hydra.sweeper.params={training.modality_dropout: {low: 0, high: 1}}",), "training.modality_dropout=1, an end of its range: must be"),
    (("seed=0,1", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler._target_=optuna.samplers.BruteForceSampler"), "use hydra/sweeper/sam"),
    (("seed=0,1", "hydra.sweeper.objectives={test/auroc: maximize}"), "Test rows choose nothing."),
    (("seed=0,1", "hydra/sweeper/pruner=median", "hydra.sweeper.objectives={val/auroc: maximize, latency_ms: minimize}"), "prunes by val/score"),
])  # fmt: skip
def test_a_wrong_name_is_refused_before_any_trial(tmp_path, capsys, overrides, says):
    with pytest.raises((SystemExit, Exception)) as end:
        sweep_runs(tmp_path, *overrides)
    said = capsys.readouterr().err or str(end.value)
    assert says in said
    assert not list(tmp_path.glob("runs/*/*/0"))


@pytest.mark.slow
def test_a_killed_sweep_of_runs_ends_as_an_unbroken_one(tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), "-m", *SMALL, "hydra/sweeper=optuna", "data.samples=200", "trainer.max_epochs=2",
               f"cache.root={tmp_path}/cache", "optimizer.lr=tag(log,interval(1e-4,1e-2))", "fusion=gated,concat",
               "hydra.sweeper.n_trials=3"]  # fmt: skip
    for name in ("killed", "unbroken"):
        (tmp_path / name).mkdir()
    running = subprocess.Popen(command, cwd=tmp_path / "killed", stdout=subprocess.DEVNULL)
    while not list((tmp_path / "killed").glob("runs/*/*/1/config.yaml")) and running.poll() is None:
        time.sleep(0.05)
    running.kill()
    running.wait()
    for name in ("killed", "unbroken"):
        subprocess.run(command, cwd=tmp_path / name, check=True, capture_output=True)
    (killed,), (unbroken,) = ([*(tmp_path / name).glob("runs/*/*")] for name in ("killed", "unbroken"))
    assert killed.name == unbroken.name
    for number in range(3):
        one, other = (pd.read_parquet(sweep / str(number) / "predictions.parquet") for sweep in (killed, unbroken))
        pd.testing.assert_frame_equal(one, other)
    one, other = (pd.read_csv(sweep / "sweep.csv").drop(columns="seconds") for sweep in (killed, unbroken))
    pd.testing.assert_frame_equal(one, other)
