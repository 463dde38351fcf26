"""The commands as a user types them: bad input gets one sentence that names what is wrong; runs repeat and can be evaluated again."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmdx.commands.hydra_app import config_folder
from mmdx.configuration import check_config, resolved
from mmdx.errors import InputError
from mmdx.parts import study_from

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["data.samples=120", "trainer.max_epochs=1", "logger=none", "evaluation.resamples=50"]


def command(script, *overrides, folder):
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *overrides, f"hydra.run.dir={folder}"], cwd=folder.parent, capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    code, out, err = command("train.py", "+experiment=xray_text", *SMALL, folder=folder)
    assert code == 0, err[-2000:]
    return folder, out


def test_a_run_leaves_what_it_takes_to_repeat_and_audit_it(run):
    folder, out = run
    names = {p.name for p in folder.iterdir()}
    assert {"config.yaml", "provenance.json", "predictions.parquet", "metrics.json", "models.json", "models"} <= names
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["packages"]["torch"] and provenance["data_fingerprint"] and provenance["seeds"]["seed"] == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics["test"]) == {"image", "text", "image+text"}
    assert "image+text" in out and str(folder) in out


def test_evaluating_a_run_again_gives_its_predictions(run, tmp_path):
    folder, _ = run
    code, _, err = command("evaluate.py", f"run={folder}", "evaluation.resamples=50", folder=tmp_path / "again")
    assert code == 0, err[-2000:]
    first, again = (pd.read_parquet(f / "predictions.parquet") for f in (folder, tmp_path / "again"))
    pd.testing.assert_frame_equal(first, again)


def test_evaluating_on_other_data_uses_every_row_and_the_runs_threshold(run, tmp_path):
    folder, _ = run
    code, _, err = command("evaluate.py", f"run={folder}", "data=simulated", "data.samples=60", "data.seed=9", folder=tmp_path / "other")
    assert code == 0, err[-2000:]
    frame = pd.read_parquet(tmp_path / "other" / "predictions.parquet")
    test = frame[(frame["split"] == "test") & (frame["modalities"] == "image+text")]
    assert len(test) == 60
    metrics = [json.loads((f / "metrics.json").read_text()) for f in (folder, tmp_path / "other")]
    assert metrics[0]["threshold"] == metrics[1]["threshold"]


@pytest.mark.slow
def test_a_retrained_run_on_other_data_keeps_each_models_own_threshold(tmp_path):
    overrides = ["+experiment=xray_text", *SMALL, "ablation=retrained"]
    code, _, err = command("train.py", *overrides, folder=tmp_path / "run")
    assert code == 0, err[-2000:]
    code, _, err = command("evaluate.py", f"run={tmp_path / 'run'}", "data=simulated", "data.samples=60", "data.seed=9", folder=tmp_path / "other")
    assert code == 0, err[-2000:]
    first, other = (json.loads((tmp_path / f / "metrics.json").read_text()) for f in ("run", "other"))
    assert set(other["retrained"]) == {"image", "text", "image+text"} and other["threshold"] == first["threshold"]


def test_a_run_folder_is_not_overwritten_and_resume_auto_keeps_it(run):
    folder, _ = run
    code, _, err = command("train.py", "+experiment=xray_text", *SMALL, folder=folder)
    assert code == 1 and "already holds a finished run" in err
    before = (folder / "predictions.parquet").stat().st_mtime_ns
    code, out, _ = command("train.py", "+experiment=xray_text", *SMALL, "resume=auto", folder=folder)
    assert code == 0 and "finished" in out and (folder / "predictions.parquet").stat().st_mtime_ns == before
    code, _, err = command("train.py", "+experiment=xray_text", *SMALL, "resume=auto", "seed=7", folder=folder)
    assert code == 1 and "seed is 7" in err
    code, _, err = command("evaluate.py", f"run={folder}", folder=folder)
    assert code == 1 and "already holds a finished run" in err


QUICK = {
    "fusion that is not there": (["fusion=gatd"], ["gatd", "gated"]),
    "key that is not there": (["nosuchkey=1"], ["nosuchkey"]),
    "negative learning rate": (["optimizer.lr=-1"], ["optimizer.lr=-1", "greater than 0"]),
    "unknown ablation": (["ablation=all"], ["ablation=all", "retrained"]),
    "missing folder": (["data=covid_cxr", "data.root=/nonexistent/here"], ["data.root=/nonexistent/here", "no such folder"]),
    "negative split seed": (["split.seed=-1"], ["split.seed=-1", "4294967295"]),
    "name that leaves the folder": (["name=../../up"], ["name=../../up", "letters"]),
    "modalities that are a word": (["data.modalities=image"], ["data.modalities=image", "a list"]),
    "unknown extra metric": (["+data.extra_metrics=[foo]"], ["data.extra_metrics", "macc"]),
    "folder not given": (["data=covid_cxr"], ["data.root", "not given"]),
    "class outside the allowed packages": (["fusion._target_=os.system", "+fusion.command=true"], ["fusion._target_=os.system", "refused"]),
}


@pytest.mark.parametrize("case", QUICK)
def test_bad_input_gets_one_sentence_before_anything_heavy_is_loaded(case, tmp_path):
    overrides, words = QUICK[case]
    code, out, err = command("train.py", "+experiment=xray_text", *overrides, folder=tmp_path / "run")
    text = out + err
    assert code != 0 and "Traceback" not in text
    assert all(word in text for word in words), text[-1500:]


LATER = {
    "a class that an allowed module only imports": (["fusion._target_=mmdx.training.fit.logging.FileHandler"], ["logging.FileHandler", "refused"]),
    "a monitor with the wrong mode": (["training.monitor=val/loss"], ["training.mode=max", "val/loss"]),
    "no resamples": (["evaluation.resamples=0"], ["evaluation.resamples=0"]),
    "class that is no fusion": (["fusion._target_=torch.optim.SGD"], ["torch.optim.SGD", "not a fusion"]),
    "option a fusion does not have": (["+fusion.depth=3"], ["fusion", "depth"]),
    "modality the data lacks": (["+encoder/text@encoders.ecg=bag_of_words"], ["ecg", "image, text, audio, tabular"]),
    "folds that are too many": (["split=kfold", "split.folds=500", "data.samples=120"], ["split.folds", "500"]),
    "split out of range": (["split.test=1.5"], ["split.test=1.5"]),
    "modality dropout out of range": (["training.modality_dropout=1"], ["training.modality_dropout=1"]),
    "warm-up out of range": (["training.schedule.warmup=2"], ["training.schedule.warmup=2"]),
}


@pytest.mark.parametrize("case", LATER)
def test_bad_input_is_an_input_error(case, tmp_path):
    overrides, words = LATER[case]
    with initialize_config_dir(config_folder(), version_base="1.3"):
        cfg = resolved(compose("train", overrides=["+experiment=xray_text", "data.samples=120", "logger=none", *overrides]))
    with pytest.raises(InputError) as caught:
        check_config(cfg)
        study = study_from(cfg, tmp_path)
        study.prepare()
        study.folds()
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_an_escaped_interpolation_is_refused():
    cfg = OmegaConf.create({"fusion": {"hidden": "\\${oc.env:HOME}"}})
    with pytest.raises(InputError, match=r"fusion\.hidden=.*refused"):
        resolved(cfg)


def test_readme_python_example_runs(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = text.split("<!-- python example -->")[1].split("```python\n")[1].split("```")[0]
    assert len(code.strip().splitlines()) <= 25
    quick = code.replace("samples=600", "samples=120").replace('"max_epochs": 6', '"max_epochs": 1')
    done = subprocess.run([sys.executable, "-c", quick], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "image+text" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 0, "usage: mmdx COMMAND"),
        (["--version"], 0, "mmdx "),
        (["tran"], 2, "error: mmdx tran: no such command. All: train,"),
        (["data"], 0, "usage: mmdx data COMMAND"),
        (["data", "chek"], 2, "error: mmdx data chek: no such command. All: check,"),
        (["data", "leakage", "nothing.csv"], 1, "error: SOURCE=nothing.csv: no such file"),
    ],
)
def test_the_console_command_answers_help_and_wrong_words(words, code, said):
    done = subprocess.run([sys.executable, "-c", "from mmdx.cli import main; main()", *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == code and (done.stdout + done.stderr).startswith(said)
