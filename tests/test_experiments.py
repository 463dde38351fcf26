"""Each experiment runs in smoke size, on the simulated cohort and on the real data it is meant for."""

import os
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from mmdx.commands.hydra_app import config_folder
from mmdx.configuration import check_config, resolved
from mmdx.evaluation.score import score
from mmdx.parts import study_from

EXPERIMENTS = sorted((Path(config_folder()) / "experiment").glob("*.yaml"))
SMOKE = ["data.samples=80", "trainer.max_epochs=1", "trainer.accelerator=cpu", "logger=none"]
REAL = {
    "covid_cxr": ("covid-cxr", ["xray_text", "xray_text_tabular"]),
    "physionet2016": ("physionet2016", ["pcg"]),
}


def config(*overrides):
    with initialize_config_dir(config_folder(), version_base="1.3"):
        cfg = resolved(compose("train", overrides=list(overrides)))
    check_config(cfg)
    return cfg


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_experiment_opens_with_its_command_and_what_to_expect(path):
    head = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines()[:30] if line.startswith("#"))
    assert f"python train.py +experiment={path.stem}" in head
    assert "Expect:" in head and "Printed by:" in head and "two CPU cores" in head


@pytest.mark.parametrize(
    "name", [pytest.param(p.stem, marks=[pytest.mark.slow] if p.stem in ("xray_text_pretrained", "xray_text_features") else []) for p in EXPERIMENTS]
)
def test_experiment_trains_on_the_simulated_cohort(name, tmp_path):
    cfg = config(f"+experiment={name}", *SMOKE)
    metrics = score(study_from(cfg, tmp_path).run(), resamples=20)
    assert len(metrics["test"]) == 2 ** len(cfg.encoders) - 1
    assert all("oracle" in values["auroc"] for values in metrics["test"].values())


def on_real_data():
    """Each experiment on its real data; heart sounds take long."""
    for data, (_, names) in REAL.items():
        yield from (pytest.param(data, e, marks=[pytest.mark.slow] if data == "physionet2016" else [], id=f"{data}-{e}") for e in names)


@pytest.mark.parametrize(("data", "experiment"), on_real_data())
def test_experiment_trains_on_real_data(data, experiment, tmp_path):
    if not os.environ.get("MMDX_DATA"):
        pytest.skip("needs real data: set MMDX_DATA to the folder that holds covid-cxr and physionet2016")
    root = Path(os.environ["MMDX_DATA"]) / REAL[data][0]
    cfg = config(f"+experiment={experiment}", f"data={data}", f"data.root={root}", "trainer.max_epochs=1", "trainer.accelerator=cpu", "logger=none")
    frame = study_from(cfg, tmp_path).run()
    patients = frame.dropna(subset="patient_id").groupby("patient_id")["split"].nunique()
    assert patients.empty or patients.max() == 1
    assert len(score(frame, resamples=20)["test"]) == 2 ** len(cfg.encoders) - 1
