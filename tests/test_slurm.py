"""A job that a real Slurm takes away goes on by itself and ends in the same bits; where Slurm is installed, as root."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("slurmctld", "slurmd", "munged", "sbatch")
RUN = ["+experiment=xray_text", "data.samples=120", "trainer.max_epochs=3", "evaluation.resamples=50", "logger=none"]
there = all(shutil.which(name) for name in TOOLS) and hasattr(os, "geteuid") and os.geteuid() == 0
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not there, reason=f"needs root and {', '.join(TOOLS)}")]


def until(condition, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_job_that_is_announced_its_end_is_requeued_and_goes_on(slurm, tmp_path):
    train = [sys.executable, str(ROOT / "train.py"), *RUN]
    subprocess.run([*train, f"hydra.run.dir={tmp_path / 'whole'}"], check=True, capture_output=True, cwd=tmp_path)
    job, out = tmp_path / "job.sh", tmp_path / "job.out"
    job.write_text(f"#!/bin/bash\ncd {ROOT}\nexec {' '.join(train)} hydra.run.dir={tmp_path / 'cut'} resume=auto\n")
    number = subprocess.run(
        ["sbatch", "--parsable", "--requeue", "--open-mode=append", f"--output={out}", job], check=True, capture_output=True, text=True, env=slurm
    ).stdout.strip()
    until(lambda: (tmp_path / "cut" / "models" / "model" / "checkpoints" / "last.ckpt").exists())
    subprocess.run(["scancel", "--batch", "--signal=USR1", number], check=True, env=slurm)
    until(lambda: f"job {number} is in the queue again" in out.read_text())
    until(lambda: (tmp_path / "cut" / "metrics.json").exists())
    assert "stopped by SIGUSR1" in out.read_text()
    one, other = (pd.read_parquet(tmp_path / run / "predictions.parquet") for run in ("whole", "cut"))
    assert one.equals(other)


def test_a_job_of_a_sweep_that_is_pre_empted_is_requeued_by_submitit_and_goes_on(slurm, tmp_path):
    train = [sys.executable, str(ROOT / "train.py"), *RUN]
    env = slurm | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*train, f"hydra.run.dir={tmp_path / 'whole'}"], check=True, capture_output=True, cwd=tmp_path, env=env)
    words = ["seed=0", "resume=auto", "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", f"hydra.sweep.dir={tmp_path / 'cut'}"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*train[:2], "-m", *train[2:], *words], cwd=tmp_path, env=env, **silent) as sweep:
        until(lambda: (tmp_path / "cut" / "0" / "models" / "model" / "checkpoints" / "last.ckpt").exists() or sweep.poll() is not None)
        assert sweep.returncode is None
        number = subprocess.run(["squeue", "-h", "-o", "%i"], check=True, capture_output=True, text=True, env=slurm).stdout.split()[0]
        subprocess.run(["scancel", "--signal=USR2", number], check=True, env=slurm)
        said = tmp_path / "cut" / ".submitit" / number / f"{number}_0_log.err"
        until(lambda: "DUE TO JOB REQUEUE" in said.read_text())
        assert not (tmp_path / "cut" / "0" / "metrics.json").exists()
        until(lambda: (tmp_path / "cut" / "0" / "metrics.json").exists())
        assert sweep.wait(60) == 0
    one, other = (pd.read_parquet(tmp_path / run / "predictions.parquet") for run in ("whole", "cut/0"))
    assert one.equals(other)
