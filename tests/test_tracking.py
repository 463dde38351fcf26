"""Trackers: the same names in each; what is off is not imported; a package that isn't there gets one sentence; a tracker that fails costs no run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from mmdx.errors import InputError
from mmdx.tracking import check_trackers, final_metrics, log_final

ROOT = Path(__file__).resolve().parent.parent
METRICS = {
    "test": {
        "image+text": {"auroc": {"value": 0.8, "low": 0.7, "high": 0.9}, "auprc": {"value": None, "low": None, "high": None}},
        "text": {"auroc": {"value": 0.6, "low": 0.5, "high": 0.7}},
    },
    "retrained": {"text": {"auroc": {"value": 0.65, "low": None, "high": None}}},
    "by_site": {"a": {"text": {"auroc": {"value": 0.1}}}},
}
NAMES = {"test/image-text/auroc", "test/image-text/auroc_low", "test/image-text/auroc_high", "test/text/auroc", "test/text/auroc_low",
         "test/text/auroc_high", "retrained/text/auroc"}
CONFIG = {"optimizer": {"lr": 0.001}, "data": {"information": {"a+b": 1}}, "seeds": [0, 1]}
MLFLOW = "mmdx.training.mlflow_logger.MLflow"


def test_final_metrics_have_the_names_of_metrics_json_without_what_a_tracker_refuses():
    found = final_metrics(METRICS)
    assert set(found) == NAMES and found["test/image-text/auroc"] == 0.8


def scalars_of_tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: events.Scalars(name)[-1].value for name in events.Tags()["scalars"]}


def runs_of_mlflow(folder):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return [run for experiment in client.search_experiments() for run in client.search_runs([experiment.experiment_id])]


@pytest.fixture(autouse=True)
def silent(monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "WARNING")


def test_csv_tensorboard_and_mlflow_get_the_same_names_and_numbers(tmp_path):
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

    from mmdx.training.mlflow_logger import MLflow

    where = {"save_dir": str(tmp_path), "name": "logs", "version": ""}
    log_final([CSVLogger(**where), TensorBoardLogger(**where), MLflow(str(tmp_path), "cohort")], CONFIG, METRICS)
    table = pd.read_csv(tmp_path / "logs" / "metrics.csv")
    assert set(table) - {"step"} == NAMES
    drawn = scalars_of_tensorboard(tmp_path / "logs")
    (run,) = runs_of_mlflow(tmp_path)
    assert set(run.data.metrics) == NAMES and set(drawn) >= NAMES
    for name, value in final_metrics(METRICS).items():
        assert table[name][0] == value == run.data.metrics[name] and abs(drawn[name] - value) < 1e-6
    assert run.data.params == {"optimizer.lr": "0.001", "data.information.a-b": "1", "seeds": "[0, 1]"}
    assert run.info.status == "FINISHED" and run.info.run_name == tmp_path.name


def test_mlflow_notes_down_no_user_and_keeps_its_store_in_the_run_folder(tmp_path):
    pytest.importorskip("mlflow")
    from mmdx.training.mlflow_logger import MLflow

    model = tmp_path / "run" / "models" / "seed0"
    logger = MLflow(str(model))
    logger.log_metrics({"val/score": 0.5}, step=1)
    again = MLflow(str(model))
    again.log_metrics({"val/score": 0.7}, step=2)
    again.finalize("success")
    (run,) = runs_of_mlflow(tmp_path / "run")  # one that is gone on with stays one entry
    assert run.data.tags["mlflow.user"] == "" and run.data.tags["mmdx.entry"] == "model" and run.data.metrics == {"val/score": 0.7}
    assert not any(str(Path.home()) == value or value == os.environ.get("USER", "-") for value in run.data.tags.values())
    assert run.info.run_name == "run/seed0" and not list(tmp_path.glob("mlruns"))


@pytest.mark.parametrize(("missing", "named"), [("mlflow", "mlflow"), ("sqlalchemy", "sqlalchemy")])
def test_a_package_that_is_not_installed_gets_one_sentence_naming_the_extra(monkeypatch, missing, named):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == missing else real(name, *more))
    with pytest.raises(InputError, match=rf"logger\.mlflow: needs the package {named}.*mmdx\[track\]"):
        check_trackers(OmegaConf.create({"logger": {"mlflow": {"_target_": MLFLOW}}}))
    check_trackers(OmegaConf.create({"logger": {}}))
    check_trackers(OmegaConf.create({"logger": None}))


def test_a_store_that_cannot_be_opened_gets_one_sentence(tmp_path):
    pytest.importorskip("mlflow")
    from mmdx.training.mlflow_logger import MLflow

    with pytest.raises(InputError, match=r"logger\.mlflow\.tracking_uri=nosuch://place: cannot be opened"):
        MLflow(str(tmp_path), tracking_uri="nosuch://place")


def test_a_tracker_that_fails_at_the_end_is_told_of_and_the_others_get_theirs(capsys):
    got = []

    class Fails:
        def log_hyperparams(self, params):
            raise OSError("the server is gone\nmore")

    class Takes(Fails):
        def log_hyperparams(self, params):
            got.append(params)

        def log_metrics(self, metrics, step):
            got.append(metrics)

        def save(self):
            pass

        def finalize(self, status):
            got.append(status)

    log_final([Fails(), Takes()], CONFIG, METRICS)
    assert capsys.readouterr().err == "Fails: could not be given the test metrics (the server is gone); they are in metrics.json.\n"
    assert len(got) == 3 and set(got[1]) == NAMES


@pytest.mark.parametrize(("logger", "loaded"), [("none", []), ("csv", [])])
def test_a_tracker_that_is_off_is_not_imported(tmp_path, logger, loaded):
    code = (
        "import sys, json\n"
        f"sys.argv = ['train.py', '+experiment=fusion_synergy', 'data.samples=120', 'trainer.max_epochs=1', 'evaluation.resamples=20', "
        f"'logger={logger}', 'hydra.run.dir={tmp_path / 'run'}', 'cache.root={tmp_path / 'cache'}']\n"
        "from mmdx.commands.train import main; main()\n"
        "print('LOADED', json.dumps([m for m in ('mlflow', 'tensorboard', 'torch.utils.tensorboard', 'sqlalchemy') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.rpartition("LOADED")[2]) == loaded
    assert (tmp_path / "run" / "logs").exists() == (logger == "csv")
