"""Runs that were stopped, as a user's commands find and end them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from omegaconf import OmegaConf

from mmdx.cells import listed_cells
from mmdx.errors import InputError
from mmdx.evaluate import source_validation
from mmdx.run import check_ranks, check_same, read_results

ROOT = Path(__file__).resolve().parent.parent
QUICK = ["+experiment=fusion_missing", "data.samples=120", "trainer.max_epochs=2", "logger=none", "evaluation.resamples=50"]
SLOWER = ["+experiment=xray_text", "data.samples=120", "trainer.max_epochs=3", "evaluation.resamples=50", "training.save_steps=1"]


def train(*overrides, cwd, wait=True, prefix=()):
    command = [*prefix, sys.executable, str(ROOT / "train.py"), *overrides]
    started = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    if not wait:
        return started
    out, err = started.communicate(timeout=300)
    return started.returncode, out, err


def until(condition, process, seconds=200):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()[1][-2000:]
        time.sleep(0.02)


@pytest.mark.slow
def test_auto_finds_the_run_of_the_same_config_below_the_folder_of_runs(tmp_path):
    code, _, err = train(*QUICK, "resume=auto", cwd=tmp_path)
    assert code == 0, err[-2000:]
    (first,) = (tmp_path / "runs" / "fusion_missing").iterdir()
    whole = pd.read_parquet(first / "predictions.parquet")
    for name in ("metrics.json", "predictions.parquet", "models/model/predictions.parquet"):
        (first / name).unlink()
    code, out, err = train(*QUICK, "resume=auto", "data.num_workers=0", cwd=tmp_path)
    assert code == 0 and f"goes on with {first}" in out.replace("\n", ""), err[-2000:]
    assert list((tmp_path / "runs" / "fusion_missing").iterdir()) == [first], "no empty folder stays behind"
    assert pd.read_parquet(first / "predictions.parquet").equals(whole)
    code, out, _ = train(*QUICK, "resume=auto", cwd=tmp_path)
    assert code == 0 and "this run is finished" in out
    for name in ("predictions.parquet", "metrics.json"):
        kept = (first / name).read_bytes()
        (first / name).write_bytes(kept[:20])
        code, out, err = train(*QUICK, "resume=auto", cwd=tmp_path)
        assert code == 1 and f"{name} is damaged" in err and err.count("\n") == 1 and "finished" not in out
        (first / "metrics.json").unlink()
        (first / name).unlink(missing_ok=True)
        code, _, err = train(*QUICK, "resume=auto", cwd=tmp_path)
        assert code == 0 and (first / name).read_bytes() == kept, err[-2000:]
    code, _, err = train(*QUICK, "resume=auto", "seed=1", cwd=tmp_path)
    assert code == 0 and len(list((tmp_path / "runs" / "fusion_missing").iterdir())) == 2, "another config is another run"


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL])
def test_a_run_that_was_told_to_stop_or_killed_goes_on_to_the_same_bits(tmp_path, signum):
    code, _, err = train(*SLOWER, f"hydra.run.dir={tmp_path / 'whole'}", cwd=tmp_path)
    assert code == 0, err[-2000:]
    started = train(*SLOWER, f"hydra.run.dir={tmp_path / 'cut'}", cwd=tmp_path, wait=False)
    until(lambda: (tmp_path / "cut" / "models" / "model" / "checkpoints" / "last.ckpt").exists(), started)
    os.kill(started.pid, signum)
    _, err = started.communicate(timeout=100)
    assert not (tmp_path / "cut" / "metrics.json").exists()
    for path in (tmp_path / "cut").rglob("*"):
        os.utime(path, (time.time() + 86_400,) * 2)  # as if the clock had been set back since by a day
    again, _, told = train(*SLOWER, f"hydra.run.dir={tmp_path / 'cut'}", cwd=tmp_path)
    assert again == 1 and "holds a run that was stopped; set resume=auto" in told and told.count("\n") == 1
    if signum != signal.SIGKILL:
        assert started.returncode == 128 + signum and f"stopped by {signum.name}" in err and "Traceback" not in err
    code, _, err = train(*SLOWER, f"resume={tmp_path / 'cut'}", cwd=tmp_path)
    assert code == 0, err[-2000:]
    one, other = (pd.read_parquet(tmp_path / run / "predictions.parquet") for run in ("whole", "cut"))
    assert one.equals(other)
    one, other = (json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("whole", "cut"))
    assert one == other


@pytest.mark.slow
def test_a_run_whose_folder_is_removed_says_so(tmp_path):
    started = train(*SLOWER, f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path, wait=False)
    until(lambda: (tmp_path / "run" / "models" / "model" / "checkpoints" / "last.ckpt").exists(), started)
    while (tmp_path / "run" / "models").exists():
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
    _, err = started.communicate(timeout=100)
    assert started.returncode == 1 and "was removed while the run was writing to it" in err and err.count("\n") == 1, err[-2000:]


BROKEN = {"seed: [1\n": "line 2", "- 1\n": "not the config of a run", "data: {name: '${nowhere}'}\nencoders: 3\n": "not the config of a run"}


@pytest.mark.parametrize("text", [*BROKEN, "interpolation", "number"])
def test_a_run_whose_config_is_broken_gets_a_sentence(tmp_path, text):
    whole = {key: {} for key in ("data", "encoders", "fusion", "task", "split", "training")}
    whole |= {"interpolation": {"seed": "${nowhere}"}, "number": {"encoders": 3}}.get(text, {})
    says = BROKEN.get(text) or {"interpolation": "seed='${nowhere}': refused", "number": "encoders is 3, but must be a mapping"}[text]
    (tmp_path / "config.yaml").write_text(text if text in BROKEN else json.dumps(whole))
    with pytest.raises(InputError) as fault:
        check_same(OmegaConf.create({}), tmp_path / "config.yaml")
    assert str(fault.value).startswith(f"{tmp_path / 'config.yaml'}: ") and says in str(fault.value) and "\n" not in str(fault.value)


def test_results_that_are_damaged_are_named(tmp_path):
    pd.DataFrame({"prob": [0.5]}).to_parquet(tmp_path / "predictions.parquet")
    (tmp_path / "metrics.json").write_text("{}")
    assert read_results(tmp_path)[1] == {}
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(InputError, match=r"metrics.json is damaged .*; remove metrics.json, and resume="):
        read_results(tmp_path)
    (tmp_path / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"predictions.parquet is damaged .* and metrics.json is damaged .*; remove predictions.parquet and m"):
        read_results(tmp_path)


def test_two_runs_do_not_share_a_folder(tmp_path):
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"):
        code, _, err = train(*QUICK, f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path)
    assert code == 1 and err.count("\n") == 1 and "another run is at work there" in err


@pytest.mark.slow
def test_a_disk_that_is_full_gets_a_sentence_and_the_run_goes_on_once_there_is_room(tmp_path):
    """A limit on the size of a file stands for the end of a disk; the checkpoint is the first that is too large."""
    limited = ("bash", "-c", 'ulimit -f 64; exec "$@"', "bash")
    code, _, err = train(*SLOWER, f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path, prefix=limited)
    assert code == 1 and "Traceback" not in err and ".ckpt: file too large" in err
    code, _, err = train(*SLOWER, f"hydra.run.dir={tmp_path / 'run'}", "resume=auto", cwd=tmp_path)
    assert code == 0, err[-2000:]


def test_a_folder_that_cannot_be_made_gets_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for word in ("hydra.run.dir", "hydra.sweep.dir"):
        flag = ["-m"] if "sweep" in word else []
        code, _, err = train(*flag, *QUICK, f"{word}={tmp_path / 'file' / 'run'}", cwd=tmp_path)
        assert code == 1 and err.count("\n") == 1 and word in err and "folder that can be written" in err


@pytest.mark.parametrize("content", ["[", "[null]", '[{"name": "model"}]', '{"a": 1}'])
def test_a_damaged_list_of_models_is_named(tmp_path, content):
    (tmp_path / "models.json").write_text(content)
    with pytest.raises(InputError, match=r"models.json: damaged, not the list of models that a run writes; bring the run back from a copy"):
        listed_cells(tmp_path, ["image"], np.arange(3))


def test_damaged_predictions_of_a_source_are_named(tmp_path):
    (tmp_path / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"predictions.parquet: damaged, not predictions that a run writes"):
        source_validation(tmp_path)


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_a_stray_rank_is_refused_and_writes_nothing(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    for devices, nodes in ((2, 1), (1, 2)):
        check_ranks(devices, nodes)
    for devices in (1, "auto"):
        with pytest.raises(InputError, match=f"{name}=1 in the environment: says that this is a further process of a run, but on one device"):
            check_ranks(devices, accelerator="cpu")


def test_a_command_with_a_stray_rank_leaves_a_finished_run_as_it_is(tmp_path, monkeypatch):
    run = ["+experiment=fusion_missing", "data.samples=60", "trainer.max_epochs=1", "logger=none", "evaluation.resamples=5", "hydra.run.dir=run"]
    assert train(*run, cwd=tmp_path)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file() and path.suffix in (".ckpt", ".json", ".parquet")}
    monkeypatch.setenv("RANK", "1")
    code, _, err = train(*run, "seed=5", cwd=tmp_path)
    assert code == 1 and err.startswith("error: RANK=1 in the environment") and err.count("\n") == 1
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.parametrize("word", ["+logger.x={_target_: pytorch_lightning.loggers.CSVLoggerr}", "+callbacks.x={_target_: mmdx.errors.InputError}"])
def test_a_class_that_is_no_logger_or_callback_is_found_before_the_data_is_read(tmp_path, word):
    code, _, err = train(*QUICK, word, "hydra.run.dir=run", cwd=tmp_path)
    assert code == 1 and err.count("\n") == 1 and "._target_=" in err
    assert not (tmp_path / "run" / "data.json").exists()


@pytest.mark.slow
def test_a_sweep_in_processes_that_is_told_to_stop_ends_them_and_goes_on(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ["-m", *QUICK, "trainer.max_epochs=300", "training.stack=false", "seed=0,1", "resume=auto", "hydra.sweep.dir=sweep",
             "hydra/launcher=processes", "hydra.launcher.n_jobs=2"]  # fmt: skip
    started = train(*words, cwd=tmp_path, wait=False)
    runs = [tmp_path / "sweep" / name for name in "01"]
    until(lambda: all((run / "models.json").exists() for run in runs), started)
    started.terminate()
    _, err = started.communicate(timeout=100)
    assert started.returncode == 143 and err.splitlines()[-1].startswith("stopped by SIGTERM; the same command with resume=auto goes on")
    for run in runs:
        with FileLock(run / ".lock", timeout=10):  # nobody works there any more
            assert not (run / "metrics.json").exists()
    code, _, err = train(*words, cwd=tmp_path)
    assert code == 0 and all((run / "metrics.json").exists() for run in runs), err[-2000:]
