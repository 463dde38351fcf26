"""Facts about the grid: what it makes of its command line, that it goes on after a stop, and what it compares."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from mmdx.errors import InputError
from mmdx.grid import stacks_of

SCRIPT = Path(__file__).parent.parent / "scripts" / "grid.py"
spec = importlib.util.spec_from_file_location("grid", SCRIPT)
grid = importlib.util.module_from_spec(spec)
spec.loader.exec_module(grid)


def runs(*words):
    return grid.combinations(*grid.asked(["experiment=xray_text_features", "out=x", *words]))


def test_axes_are_crossed_and_settings_are_shared():
    found = runs("fusion=concat,gated", "optimizer.lr=0.1,0.2", "seeds=3", "folds=4", "data.samples=90")
    assert list(found) == ["concat,optimizer.lr=0.1", "concat,optimizer.lr=0.2", "gated,optimizer.lr=0.1", "gated,optimizer.lr=0.2"]
    for overrides in found.values():
        assert {"seeds=[0,1,2]", "split=kfold", "split.folds=4", "data.samples=90", "ablation=none", "training=frozen_features"} <= set(overrides)
    assert len(runs("fusion=all")) == len(list((SCRIPT.parent.parent / "conf" / "fusion").glob("*.yaml")))
    assert "ablation=none" not in runs("ablation=offered")["concat"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fusion=concatt"], "fusion=concatt: no such fusion; there are .*, concat,"),
        (["seeds=0"], "seeds=0: must be a whole number, 1 or more"),
        (["seeds=²"], "seeds=²: must be a whole number"),
        (["training=end_to_end"], "training=end_to_end: the grid trains on frozen features"),
        (["folds=3", "split=nested"], "split=nested: folds=3 says split=kfold"),
        (["folds=x"], "folds=x: must be"),
        (["seed=3,4"], "seed=3,4: seeds=N says how many"),
        (["--help-me"], "--help-me: expected KEY=VALUE"),
        (["data.samples=[1"], "LexerNoViableAltException|mismatched|extraneous|token recognition|no viable"),
    ],
)
def test_a_wrong_word_is_named(words, told):
    with pytest.raises(InputError, match=told):
        runs(*words)


def test_experiment_and_folder_must_be_given():
    with pytest.raises(InputError, match="out: not given"):
        grid.asked(["experiment=xray_text_features"])


def test_another_fusion_does_not_get_the_experiments_arguments_of_its_own():
    overrides = grid.combinations(*grid.asked(["experiment=xray_text_pretrained", "fusion=concat,late_sum", "out=x"]))
    assert "informative_absence" not in grid.config_of(overrides["concat"]).fusion
    assert grid.config_of(overrides["late_sum"]).fusion.informative_absence is True
    overrides = grid.combinations(*grid.asked(["experiment=xray_text_features", "fusion=concat", "out=x", "fusion.hidden=7,8"]))
    assert [grid.config_of(own).fusion.hidden for own in overrides.values()] == [7, 8]


def test_settings_of_a_stack_are_trained_together():
    found = runs("fusion=concat", "optimizer.lr=0.1,0.2", "fusion.hidden=8,16")
    together = stacks_of({name: grid.config_of(overrides) for name, overrides in found.items()})
    assert together == [[f"concat,optimizer.lr={lr},fusion.hidden={hidden}" for lr in (0.1, 0.2)] for hidden in (8, 16)]


@pytest.mark.slow
def test_it_goes_on_where_it_was_stopped_and_compares_everything(tmp_path, monkeypatch, capsys):
    words = ["experiment=xray_text_features", "fusion=concat,late", "seeds=2", "folds=2", f"out={tmp_path / 'out'}"]
    words += [f"cache.root={tmp_path / 'cache'}"]
    words += ["data.samples=60", "trainer.max_epochs=1", "trainer.accelerator=cpu", "logger=none", "jobs=1"]
    with monkeypatch.context() as patch:
        patch.setattr("mmdx.grid.finish", lambda *a, **k: (_ for _ in ()).throw(KeyError("stop")))
        with pytest.raises(KeyError):
            grid.grid(words)
    trained = (tmp_path / "out" / "concat" / "models" / "seed1-fold0" / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    grid.grid(words)
    assert (tmp_path / "out" / "concat" / "models" / "seed1-fold0" / "checkpoints" / "last.ckpt").stat().st_mtime_ns == trained
    out = capsys.readouterr().out
    assert "60 samples encoded" in out and out.count("samples encoded") == 1  # the second time, and the second fusion, find them
    assert json.loads((tmp_path / "out" / "late" / "provenance.json").read_text())["data_fingerprint"]
    comparison = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [run["name"] for run in comparison["runs"]] == ["concat", "late"] and comparison["same_folds"]
    assert "train and predict" in (tmp_path / "out" / "comparison.md").read_text()
    table = pd.read_parquet(tmp_path / "out" / "late" / "predictions.parquet")
    assert set(table["seed"]) == {0, 1} and table["fold"].nunique() == 2
    grid.grid(words)
    assert "late: finished, kept" in capsys.readouterr().out


@pytest.mark.slow
def test_processes_find_what_one_finds_and_other_data_is_refused(tmp_path):
    words = ["experiment=fusion_missing", "fusion=concat,late", "seeds=2", "data.samples=200", "trainer.max_epochs=1", "trainer.accelerator=cpu"]
    words += ["logger=none", "training.stack=true", f"cache.root={tmp_path / 'cache'}"]
    for jobs in ("1", "2"):
        grid.grid([*words, f"jobs={jobs}", f"out={tmp_path / jobs}"])
    for fusion in ("concat", "late"):
        one, two = (pd.read_parquet(tmp_path / jobs / fusion / "predictions.parquet") for jobs in ("1", "2"))
        pd.testing.assert_frame_equal(one, two, atol=1e-5)
    changed = json.loads((tmp_path / "2" / "late" / "data.json").read_text())
    (tmp_path / "2" / "late" / "data.json").write_text(json.dumps(changed | {"fingerprint": "another"}))
    with pytest.raises(InputError, match="was trained on other data"):
        grid.grid([*words, "jobs=2", f"out={tmp_path / '2'}"])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_a_kill_ends_all_processes_and_the_same_command_goes_on(tmp_path):
    words = ["experiment=fusion_missing", "fusion=tokens,mbt,umse,gated", "seeds=2", "data.samples=400", "trainer.max_epochs=3", "jobs=2"]
    words += ["logger=none", "trainer.accelerator=cpu", f"cache.root={tmp_path / 'cache'}", f"out={tmp_path / 'out'}"]
    command = [sys.executable, str(SCRIPT), *words]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while not list((tmp_path / "out").glob("*/timing.json")):
        assert running.poll() is None
        time.sleep(0.2)
    workers = subprocess.run(["ps", "-o", "pid=", "--ppid", str(running.pid)], capture_output=True, text=True, check=True).stdout.split()
    running.kill()
    running.wait()
    until = time.monotonic() + 60
    while workers and any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < until:
        time.sleep(0.5)
    alive = [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in workers if Path(f"/proc/{pid}").exists()]
    assert workers and not alive
    kept = [path.parent.name for path in (tmp_path / "out").glob("*/timing.json")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(f"{name}: finished, kept" in told for name in kept) and (tmp_path / "out" / "comparison.md").exists()


def test_a_run_that_fails_is_named_and_the_others_are_finished(tmp_path, monkeypatch):
    ran = []

    def run_some(folders, configs):
        if "concat" in folders:
            raise InputError("seed0: training diverged.")
        ran.extend(folders)
        return {name: {} for name in folders}

    monkeypatch.setattr("mmdx.grid.run_some", run_some)
    words = ["experiment=fusion_missing", "fusion=concat,late,sum", "jobs=1", f"out={tmp_path / 'out'}"]
    with pytest.raises(InputError, match="2 of 3 runs are finished and kept; not concat: seed0: training diverged"):
        grid.grid(words)
    assert ran == ["late", "sum"]


def test_a_folder_that_cannot_be_made_is_named_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/x: the folder cannot be made"):
        grid.grid(["experiment=fusion_missing", "fusion=concat", f"out={tmp_path / 'file' / 'x'}"])
