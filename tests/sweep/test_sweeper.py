"""What a sweep ends in: failures that are told and do not end it, the table, the plots, the best config; and what is refused before it starts."""

import errno
import json
import shutil

import pandas as pd
import pytest
from commands import SPACE, only_sweep, table
from here import job, sweep_here
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmdx.commands.hydra_app import hydra_job
from mmdx.errors import InputError


def failing(cfg):
    if cfg.fail == "always" or (cfg.fail == "crash" and cfg.kind == "b"):
        raise MemoryError("no room\nfor more")
    if cfg.fail == "input" and cfg.kind == "b":
        return hydra_job(lambda: _refuse())
    if cfg.fail == "undefined":
        return float("nan")
    return job(cfg)


def _refuse():
    raise InputError("kind=b: not to be had here.")


@pytest.mark.parametrize(("fail", "reason"), [("crash", "MemoryError: no room"), ("input", "kind=b: not to be had here.")])
def test_a_trial_that_crashes_has_failed_with_its_reason_and_the_sweep_goes_on(tmp_path, fail, reason):
    sweep_here(tmp_path, *SPACE, f"fail={fail}", "hydra.sweeper.n_trials=8", task=failing)
    found = table(only_sweep(tmp_path))
    assert len(found) == 8 and set(found["state"]) == {"COMPLETE", "FAIL"}
    assert set(found.loc[found["kind"] == "b", "state"]) == {"FAIL"} and set(found.loc[found["kind"] == "a", "state"]) == {"COMPLETE"}
    assert set(found.loc[found["state"] == "FAIL", "reason"]) == {reason}
    assert reason in (only_sweep(tmp_path) / "sweep.md").read_text()


@pytest.mark.parametrize(("fail", "reason"), [
    ("always", "MemoryError: no room"),
    ("undefined", "val/score is nan; an objective must be a finite number"),
])  # fmt: skip
def test_a_sweep_whose_trials_all_fail_ends_with_an_error(tmp_path, capsys, fail, reason):
    with pytest.raises(SystemExit) as end:
        sweep_here(tmp_path, *SPACE, f"fail={fail}", "hydra.sweeper.n_trials=3", task=failing)
    assert end.value.code == 1
    assert f"error: all 3 trials failed, the last: {reason}" in capsys.readouterr().err
    assert set(table(only_sweep(tmp_path))["state"]) == {"FAIL"}


def test_what_fails_alike_from_the_start_spends_few_trials_and_the_same_command_goes_on(tmp_path, capsys):
    def missing(cfg):
        raise MemoryError("no room")

    with pytest.raises(SystemExit):
        sweep_here(tmp_path, *SPACE, "hydra.sweeper.n_trials=6", task=missing)
    assert "error: 3 trials failed alike and none has ended well: MemoryError: no room. Mend that" in capsys.readouterr().err
    sweep_here(tmp_path, *SPACE, "hydra.sweeper.n_trials=6")
    assert list(table(only_sweep(tmp_path))["state"]) == ["FAIL"] * 3 + ["COMPLETE"] * 3


def test_a_full_disk_is_no_trials_fault(tmp_path, capsys):
    """The sweep ends, its table has no failed trial, and the same command begins that trial again."""
    done = []

    def fills(cfg):
        def full():
            raise OSError(errno.ENOSPC, "No space left on device", "/data/last.ckpt")

        done.append(1)
        return hydra_job(full) if len(done) == 3 else job(cfg)

    with pytest.raises(SystemExit):
        sweep_here(tmp_path, *SPACE, "hydra.sweeper.n_trials=5", task=fills)
    assert "error: trial 2: /data/last.ckpt: no space left on device" in capsys.readouterr().err
    sweep_here(tmp_path, *SPACE, "hydra.sweeper.n_trials=5", task=fills)
    assert list(table(only_sweep(tmp_path))["state"]) == ["COMPLETE"] * 5 and len(done) == 6


def test_a_sweep_leaves_table_plots_and_the_best_config(tmp_path):
    best = sweep_here(tmp_path, *SPACE, "hydra.sweeper.n_trials=12", "seconds=0.5")
    sweep = only_sweep(tmp_path)
    found = table(sweep)
    assert list(found) == ["number", "state", "val/score", "x", "y", "kind", "folder", "reason", "seconds"]
    assert best == {"val/score": found["val/score"].max()}
    for name in ("history.svg", "importances.svg", "parallel.svg"):
        assert "<svg" in (sweep / name).read_text()
    with initialize_config_dir(str(sweep), version_base="1.3"):
        cfg = compose("best")
    row = found.loc[found["val/score"].idxmax()]
    assert dict(cfg) == {"x": row["x"], "y": row["y"], "kind": row["kind"], "seconds": 0.5, "fail": "never", "log": None}


def test_several_objectives_end_in_a_front_with_a_config_each(tmp_path):
    front = sweep_here(tmp_path, *SPACE, "hydra.sweeper.objectives={val/score: maximize, size: minimize}", "hydra/sweeper/sampler=nsgaii",
                       "hydra.sweeper.n_trials=12")  # fmt: skip
    sweep, values = only_sweep(tmp_path), table(only_sweep(tmp_path)).set_index("number")[["val/score", "size"]]
    for number in values.index:
        beaten = ((values["val/score"] >= values.loc[number, "val/score"]) & (values["size"] <= values.loc[number, "size"])
                  & (values != values.loc[number]).any(axis=1)).any()  # fmt: skip
        assert (number in front) == (not beaten)
        assert (sweep / f"best_{number}.yaml").exists() == (number in front)
    assert {"pareto.svg", "history_2.svg"} <= {path.name for path in sweep.iterdir()}


def test_the_config_of_a_trial_that_is_no_longer_on_the_front_goes(tmp_path):
    words = (*SPACE, "hydra.sweeper.objectives={val/score: maximize, size: minimize}", "hydra/sweeper/sampler=nsgaii")
    sweep_here(tmp_path, *words, "hydra.sweeper.n_trials=6")
    sweep = only_sweep(tmp_path)
    for name in ("best_99.yaml", "best.yaml", "best_of_mine.yaml"):
        (sweep / name).write_text("")
    front = sweep_here(tmp_path, *words, "hydra.sweeper.n_trials=7")
    assert {path.name for path in sweep.glob("best*")} == {"best_of_mine.yaml", *(f"best_{number}.yaml" for number in front)}


def refusal(capsys, folder, *overrides):
    with pytest.raises(SystemExit):
        sweep_here(folder, *overrides)
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


def test_a_folder_of_other_runs_is_left_as_it_is(tmp_path, capsys):
    (tmp_path / "old" / "0").mkdir(parents=True)
    assert "holds runs of another sweep; name another folder." in refusal(capsys, tmp_path, *SPACE, f"hydra.sweep.dir={tmp_path / 'old'}")
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["0"]


def test_what_tells_a_sweep_from_the_one_in_its_folder_is_named_as_it_is_written(tmp_path, capsys):
    here = (f"hydra.sweep.dir={tmp_path / 'old'}", "hydra.sweeper.n_trials=1")
    sweep_here(tmp_path, "kind=a,b", "x=tag(log,interval(0.1,1))", "y=1", *here)
    for space, says in (
        (("kind=a,b,c", "x=tag(log,interval(0.1,1))", "y=1"), "whose kind is choice(a,b), not choice(a,b,c);"),
        (("kind=a,b", "x=range(0,1,0.5)", "y=1"), "whose x is tag(log,interval(0.1,1.0)), not range(0,1.0,0.5);"),
        (("kind=a,b", "x=tag(log,interval(0.1,1))", "y=int(interval(0,3))"), "whose y is 1, not int(interval(0,3));"),
        (("kind=a,b", "x=tag(log,interval(0.1,1))", "y=1", "seconds=0"), "whose seconds is absent, not 0;"),
        (("kind=a,b", "x=tag(log,interval(0.1,1))", "y=1", "hydra.sweeper.sampler.seed=3"), "whose sampler.seed is 0, not 3;"),
    ):
        assert says in refusal(capsys, tmp_path, *space, *here)
    (tmp_path / "old" / "study.json").write_text("{")
    assert "study.json: damaged" in refusal(capsys, tmp_path, "kind=a,b", *here)


def test_minimising_turns_the_order_round(tmp_path):
    best = sweep_here(tmp_path, *SPACE, "hydra.sweeper.direction=minimize", "hydra.sweeper.n_trials=6")
    assert best == {"val/score": table(only_sweep(tmp_path))["val/score"].min()}


def test_a_space_in_yaml_tries_what_the_same_space_of_overrides_tries(tmp_path):
    params = "++hydra.sweeper.params={x: {low: 0.0, high: 1.0}, y: {low: 0, high: 4}, kind: [a, b]}"
    sweep_here(tmp_path / "yaml", params, "hydra.sweeper.n_trials=4")
    sweep_here(tmp_path / "overrides", *SPACE, "hydra.sweeper.n_trials=4")
    one, other = (table(only_sweep(tmp_path / name)).drop(columns="seconds") for name in ("yaml", "overrides"))
    pd.testing.assert_frame_equal(one, other)


def test_batches_of_several_trials_are_numbered_and_kept_by_number(tmp_path):
    sweep_here(tmp_path, *SPACE, "hydra.sweeper.n_trials=7", "hydra.sweeper.n_jobs=3")
    sweep = only_sweep(tmp_path)
    assert list(table(sweep)["number"]) == list(range(7))
    for number in range(7):
        overrides = OmegaConf.load(sweep / str(number) / ".hydra" / "overrides.yaml")
        row = table(sweep).set_index("number").loc[number]
        assert f"kind={row['kind']}" in overrides and json.loads((sweep / str(number) / "trial.json").read_text())["number"] == number


def test_a_job_that_its_launcher_loses_fails_alone(tmp_path, monkeypatch):
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    launch = BasicLauncher.launch

    def losing(self, jobs, initial_job_idx):
        if any("kind=b" in job for job in jobs):
            raise RuntimeError("a worker was killed")
        return launch(self, jobs, initial_job_idx)

    monkeypatch.setattr(BasicLauncher, "launch", losing)
    sweep_here(tmp_path, *SPACE, "hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=3")
    found = table(only_sweep(tmp_path))
    assert set(found.loc[found["kind"] == "b", "reason"]) == {"RuntimeError: a worker was killed"}
    assert set(found.loc[found["kind"] == "a", "state"]) == {"COMPLETE"}


@pytest.mark.parametrize(("overrides", "says"), [
    (("x=interval(0,1)", "hydra/sweeper/sampler=grid"), "x: a grid takes choices and ranges, not an interval"),
    (("kind=a,b", "x=interval(0,1)", "hydra/sweeper/sampler=cmaes"), "kind: CMA-ES takes intervals and ranges"),
    (("z=interval(0,1)",), "z"),
    (("x=interval(1,0)",), "x: from 1.0 to 0.0 there is no value"),
    (("x=interval(0,1)", "hydra.sweeper.n_trials=0"), "hydra.sweeper.n_trials=0: must be a whole number, 1 or more."),
    (("x=interval(0,1)", "hydra.sweeper.direction=up"), "hydra.sweeper.direction=up: must be maximize or minimize."),
    (("x=interval(0,1)", "hydra.sweeper.storage=mysql"), "hydra.sweeper.storage=mysql: must be journal"),
    (("x=interval(0,1)", "+hydra.sweeper.trials=3"), "hydra.sweeper.trials: no such key; did you mean n_trials?"),
    (("x=0.5",), "nothing to vary"),
    (("x=interval(0,1)", "hydra.sweeper.objectives=val/auroc"), "hydra.sweeper.objectives=val/auroc: must be {NAME: maximize or minimize}"),
    (("x=interval(0,1)", "hydra.sweeper.objectives=[val/auroc]"), "hydra.sweeper.objectives=[val/auroc]: must be {NAME: maximize or minimize}"),
    (("x=interval(0,1)", "hydra.sweeper.sampler=tpe"), "a part is chosen with slashes, as in hydra/sweeper/sampler=tpe."),
    (("x=interval(0,1)", "hydra.sweeper.pruner=median"), "a part is chosen with slashes, as in hydra/sweeper/pruner=median."),
    (("x=interval(0,1)", "hydra.sweeper.params=kind"), "hydra.sweeper.params=kind: must be a mapping"),
    (("x=interval(0,1)", "hydra.sweeper.sampler.seed=abc"), "hydra.sweeper.sampler.seed=abc: must be a whole number, 0 or more, or null."),
    (("x=interval(0,1)", "hydra.sweeper.sampler.n_startup_trials=-1"), "sampler.n_startup_trials=-1: must be a whole number, 0 or more."),
    (("hydra/sweeper/sampler=random,tpe", "x=interval(0,1)"), "random,tpe"),
])  # fmt: skip
def test_what_is_wrong_is_refused_in_one_sentence_before_any_trial(tmp_path, capsys, overrides, says):
    with pytest.raises((SystemExit, Exception)) as end:
        sweep_here(tmp_path, *overrides)
    said = capsys.readouterr().err or str(end.value)
    assert says in said
    if isinstance(end.value, SystemExit):
        assert said.startswith("error: ") and said.count("\n") == 1
    assert not list(tmp_path.glob("sweeps/*/0"))


def test_the_plug_in_imports_nothing_heavy():
    import subprocess
    import sys

    heavy = "('optuna', 'torch', 'pandas', 'mmdx.sweep.sweeper')"
    told = f"import sys, hydra_plugins.mmdx_optuna, mmdx.sweep.joined; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_folder_that_is_removed_half_way_is_named(tmp_path, capsys):
    def removing(cfg):
        shutil.rmtree(tmp_path / "mine")
        return job(cfg)

    with pytest.raises(SystemExit):
        sweep_here(tmp_path, *SPACE, f"hydra.sweep.dir={tmp_path / 'mine'}", task=removing)
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path / 'mine'}: was removed while the sweep was at work; remove what was written") and said.count("\n") == 1


@pytest.mark.parametrize(("storage", "name", "content"), [("journal", "study.journal", b"no JSON\n"), ("sqlite", "study.db", b"no database" * 99)])
def test_a_damaged_study_is_named(tmp_path, capsys, storage, name, content):
    words = (*SPACE, f"hydra.sweep.dir={tmp_path / 'mine'}", f"hydra.sweeper.storage={storage}")
    sweep_here(tmp_path, *words, "hydra.sweeper.n_trials=1")
    (tmp_path / "mine" / name).write_bytes(content)
    said = refusal(capsys, tmp_path, *words, "hydra.sweeper.n_trials=2")
    assert f"{name}: damaged (" in said and "bring it back from a copy, or name another folder." in said
