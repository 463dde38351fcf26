"""A package outside the repository adds an encoder, a data set and a fusion, with nothing of ours edited."""

import subprocess
import sys
import venv
from pathlib import Path

import pandas as pd
import pytest

PLUGIN = Path(__file__).resolve().parent / "ecg_plugin"


@pytest.fixture(scope="module")
def python_with_plugin(tmp_path_factory):
    """The Python of an environment on top of this one in which the package is installed."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(subprocess.run([python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True).stdout.strip())
    ours = Path(pd.__file__).resolve().parent.parent
    editable = [p.read_text() for p in ours.glob("_editable_impl_mmdx*.pth")] + [p.read_text() for p in ours.glob("_mmdx*.pth")]
    (site / "ours.pth").write_text("\n".join([str(ours), *editable]) + "\n")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", site, PLUGIN],
        check=True,
    )
    return python


def test_the_plugins_experiment_trains(python_with_plugin, tmp_path):
    command = [python_with_plugin, "-m", "mmdx.commands.train", "+experiment=ecg_image", f"hydra.run.dir={tmp_path / 'run'}", "logger=none"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    names = set(pd.read_parquet(tmp_path / "run" / "predictions.parquet")["modalities"])
    assert names == {"ecg", "image", "ecg+image"}


def test_the_plugins_parts_keep_the_contracts(monkeypatch):
    monkeypatch.syspath_prepend(str(PLUGIN))
    import numpy as np
    from mmdx_ecg.data import EcgCohort
    from mmdx_ecg.encoder import EcgCNN
    from mmdx_ecg.fusion import Maximum

    from mmdx.testing import check_dataset, check_encoder, check_fusion
    from mmdx.types import Transform

    check_dataset(EcgCohort())
    check_fusion(Maximum)
    check_encoder(lambda transform: EcgCNN(), Transform(), [np.random.default_rng(i).normal(size=400) for i in range(4)])
