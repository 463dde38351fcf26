"""One sweep under every launcher: the same results, and a fault of a job is told."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from commands import ROOT

from mmdx.commands.launchers import PLUGINS

SIX = ("+experiment=fusion_missing", "fusion=gated,concat,late", "optimizer.lr=0.001,0.003", "data.samples=200", "trainer.max_epochs=1",
       "logger=none", "evaluation.resamples=10", "ablation=none")  # fmt: skip
SLURM = all(shutil.which(name) for name in ("slurmctld", "slurmd", "munged", "sbatch")) and hasattr(os, "geteuid") and os.geteuid() == 0
needs_slurm = pytest.mark.skipif(not SLURM, reason="needs root, slurmctld, slurmd, slurm-client and munge")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
"""As many threads under each launcher, or the last bits are others."""


def command(app, *words, env=None, timeout=280):
    line = [sys.executable, str(app), "-m", *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=timeout, env=env or ENVIRONMENT, cwd=words[-1].split("=")[1])


@pytest.fixture
def ray_of_two():
    """A cluster of two nodes with one worker each; gives its address."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster.address
    cluster.shutdown()


def results(sweep):
    return [pd.read_parquet(sweep / str(number) / "predictions.parquet") for number in range(6)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("basic")
    done = command(ROOT / "train.py", *SIX, f"hydra.sweep.dir={folder}")
    assert done.returncode == 0, done.stderr
    return results(folder)


def assert_same_six(plain, tmp_path, *words, env=None):
    done = command(ROOT / "train.py", *SIX, *words, f"hydra.sweep.dir={tmp_path}", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(one.equals(other) for one, other in zip(plain, results(tmp_path), strict=True))
    assert len({tuple(table["prob"]) for table in plain}) == 6, "six different results"


@pytest.mark.slow
@pytest.mark.parametrize("words", [["hydra/launcher=processes"], ["hydra/launcher=submitit_local"]], ids=lambda words: words[0].split("=")[1])
def test_six_jobs_end_in_the_same_bits_on_this_machine(plain, tmp_path, words):
    assert_same_six(plain, tmp_path, *words)


@pytest.mark.slow
def test_six_jobs_end_in_the_same_bits_on_a_ray_cluster_of_two_workers(plain, tmp_path, ray_of_two):
    assert_same_six(plain, tmp_path, "hydra/launcher=ray_cluster", f"hydra.launcher.ray.init.address='{ray_of_two}'")


@pytest.mark.slow
@needs_slurm
def test_six_jobs_end_in_the_same_bits_under_slurm(plain, tmp_path, slurm):
    assert_same_six(plain, tmp_path, "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", env=slurm | ENVIRONMENT)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "processes", "submitit_local", "ray_local"])
def test_a_job_that_fails_is_told_in_one_sentence_and_the_others_end(tmp_path, launcher):
    app, conf = Path(__file__).with_name("toy_app.py"), ROOT / "conf"
    done = command(app, "--config-dir", str(conf), f"hydra/launcher={launcher}", "kind=b,a", "fail=input", f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 1 and "error: kind=b: not to be had here." in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "1" / ".hydra" / "config.yaml").exists()


def test_a_launcher_that_is_not_installed_is_told_with_its_extra(tmp_path):
    """Every config of ours and every name of the plug-ins is known."""
    ours = {path.stem for path in (ROOT / "conf" / "hydra" / "launcher").glob("*.yaml")}
    assert ours <= {name for _, names in PLUGINS.values() for name in names}
    code = "import sys; from importlib.machinery import PathFinder as P\nfind = P.find_spec\n"
    code += "P.find_spec = classmethod(lambda c, name, *a, **k: None if 'ray_launcher' in name else find(name, *a, **k))\n"
    code += "sys.argv = ['train.py', '-m', 'hydra/launcher=ray_local']\nfrom mmdx.commands.train import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr == "error: hydra/launcher=ray_local is in a package of its own: pip install 'mmdx[ray]'\n"
