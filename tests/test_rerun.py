"""``mmdx rerun``: the same bits again; a changed file, label, package, seed or code is named; a stranger's folder gets nothing run."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["trainer.max_epochs=1", "logger=none", "evaluation.resamples=30", "trainer.accelerator=cpu", "ablation=none"]


def mmdx(*words, folder, **environment):
    code = "import sys; sys.argv[0] = 'mmdx'; from mmdx.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=600, env={**os.environ, **environment}
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on small pictures and words of a manifest."""
    folder, rng = tmp_path_factory.mktemp("rerun"), np.random.default_rng(0)
    (folder / "data").mkdir()
    for i in range(60):
        Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(folder / "data" / f"{i}.png")
    rows = {"sample_id": [f"s{i}" for i in range(60)], "patient_id": [f"p{i}" for i in range(60)], "image": [f"{i}.png" for i in range(60)]}
    rows |= {"note": [f"{('cough', 'wheeze')[i % 2]} for {i} days" for i in range(60)], "label": [0, 1] * 30}
    pd.DataFrame(rows).to_csv(folder / "data" / "cohort.csv", index=False)
    parts = ["+encoder/image@encoders.image=small_cnn", "+encoder/text@encoders.text=bag_of_words", "recipe.image_size=48"]
    words = ["data=manifest", f"data.path={folder / 'data' / 'cohort.csv'}", "data.modalities={image: image, text: note}", *parts, *SMALL]
    code, _, err = mmdx("train", *words, f"hydra.run.dir={folder / 'run'}", folder=folder)
    assert code == 0, err[-2000:]
    return folder / "run"


def copy_of(run, to):
    shutil.copytree(run, to)
    return to


def edit(path, change):
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def test_a_run_keeps_what_it_takes_to_repeat_it(run):
    record = json.loads((run / "provenance.json").read_text())
    assert record["state"] == "finished" and record["begun"] <= record["ended"]
    assert set(record["timings"]) == {"read", "train", "predict", "score"} and all(value > 0 for value in record["timings"].values())
    assert 0.05 < record["peak_memory_gib"]["host"] < 64
    assert record["hardware"]["cpu"] and record["hardware"]["cores"] and record["hardware"]["memory_gib"] > 0 and record["hardware"]["threads"] >= 1
    assert record["seeds"] == {"seed": 0, "split.seed": 0} and record["choices"]["fusion"] == "gated"
    assert record["config"] == OmegaConf.to_container(OmegaConf.load(run / "config.yaml"))
    assert record["split"]["file"] == "folds.parquet" and len(record["split"]["fingerprint"]) == 32
    assert len(record["code"]) == 64 and (run / "requirements.lock").read_text().count("==") > 20


def test_nothing_kept_names_the_machine_its_user_or_a_note(run):
    text = "".join((run / name).read_text() for name in ("provenance.json", "requirements.lock"))
    without_config = json.dumps({k: v for k, v in json.loads((run / "provenance.json").read_text()).items() if k not in ("config", "command")})
    host = socket.gethostname()
    assert len(host) < 4 or host not in text
    assert "cough" not in text and "wheeze" not in text and str(Path.home()) + "/" not in without_config and str(run.parent) not in without_config


def test_the_same_bits_here(run, tmp_path):
    code, out, err = mmdx("rerun", run, "--out", tmp_path / "again", folder=tmp_path)
    assert code == 0, err[-2000:]
    assert "code, packages, settings and machine are as they were" in out and "the data is as it was" in out
    assert "predictions: the same bits" in out and "metrics: the same bits" in out
    told = json.loads((tmp_path / "again" / "rerun.json").read_text())
    assert told["verdict"] == "same bits" and told["differences"] == [] and told["predictions"]["compared"] > 0
    first, again = (pd.read_parquet(folder / "predictions.parquet") for folder in (run, tmp_path / "again"))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert json.loads((tmp_path / "again" / "provenance.json").read_text())["choices"]["fusion"] == "gated"


def test_a_server_is_told_nothing_of_a_repetition(run, tmp_path):
    pytest.importorskip("mlflow")
    old = copy_of(run, tmp_path / "old")
    config = OmegaConf.load(old / "config.yaml")
    config.logger = {"mlflow": {"_target_": "mmdx.training.mlflow_logger.MLflow", "tracking_uri": "http://127.0.0.1:9"}}
    OmegaConf.save(config, old / "config.yaml")
    code, out, err = mmdx("rerun", old, folder=tmp_path)
    assert code == 0, err[-2000:]
    assert "logger.mlflow.tracking_uri=http://127.0.0.1:9: not used" in out and list((tmp_path / "old_rerun").glob("mlflow.db"))


def test_every_change_is_named_and_the_results_are_not_the_same(run, tmp_path):
    old, data = copy_of(run, tmp_path / "old"), tmp_path / "data"
    shutil.copytree(run.parent / "data", data)
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(data / "7.png")
    table = pd.read_csv(data / "cohort.csv")
    table.loc[4, "label"] = 1
    table.drop(index=11).to_csv(data / "cohort.csv", index=False)
    config = OmegaConf.load(old / "config.yaml")
    config.seed, config.data.path = 5, str(data / "cohort.csv")
    OmegaConf.save(config, old / "config.yaml")

    def change(record):
        record["packages"]["torch"], record["code"], record["hardware"]["cpu"] = "2.0.1", "0" * 64, "Abacus"

    edit(old / "provenance.json", change)
    lock = (old / "requirements.lock").read_text()
    at = lock.index("# files sha256:", lock.index("\nnumpy==")) + len("# files sha256:")
    (old / "requirements.lock").write_text(lock[:at] + "f" * 64 + lock[at + 64 :])
    code, out, err = mmdx("rerun", old, folder=tmp_path)
    assert code == 1 and "error" not in err, err[-2000:]
    for words in (
        "data: inputs of sample 's7' (7.png):", "data: targets of sample 's4':", "data: sample 's11': there then, none now",
        "seed: seed: 0 then, 5 now", "config: data.path:", "package: torch: 2.0.1 then,", "package: files of numpy", "machine: CPU: Abacus then",
        "code: source files of mmdx", "predictions: not the same", "likely causes",
    ):
        assert words in out, (words, out)
    assert out.index("package: torch") < out.index("machine: CPU")
    kinds = {difference["kind"] for difference in json.loads((tmp_path / "old_rerun" / "rerun.json").read_text())["differences"]}
    assert kinds == {"data", "seed", "config", "package", "code", "machine"}


HOSTILE = ["os.system", "torch.load", "torch.hub.load", "torch.utils.cpp_extension.load_inline", "monai.bundle.run", "subprocess.Popen"]


@pytest.mark.parametrize("target", HOSTILE)
@pytest.mark.parametrize("slot", ["fusion", "encoders.text", "logger.csv"])
def test_a_strangers_config_is_refused_before_anything_of_it_runs(run, tmp_path, target, slot, monkeypatch):
    from mmdx.errors import InputError
    from mmdx.rerun import rerun

    old = copy_of(run, tmp_path / "old")
    config = OmegaConf.load(old / "config.yaml")
    OmegaConf.update(config, slot, {"_target_": target, "command": f"touch {tmp_path / 'done'}"}, merge=False, force_add=True)
    OmegaConf.save(config, old / "config.yaml")
    monkeypatch.setattr(sys, "argv", ["mmdx"])
    with pytest.raises(InputError, match=f"{slot}._target_={target}: refused"):
        rerun(str(old))
    assert not (tmp_path / "done").exists() and not (tmp_path / "old_rerun").exists()


def test_a_strangers_interpolation_is_refused(run, tmp_path, monkeypatch):
    from mmdx.errors import InputError
    from mmdx.rerun import rerun

    old = copy_of(run, tmp_path / "old")
    text = (old / "config.yaml").read_text().replace("name: manifest", "name: ${oc.env:HOME}")
    (old / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=r"data\.name='\$\{oc\.env:HOME\}': refused"):
        rerun(str(old))


WRONG = {
    "no folder": (lambda old: shutil.rmtree(old), [], "no run there"),
    "not finished": (lambda old: (old / "predictions.parquet").unlink(), [], "predictions.parquet is missing; remove metrics.json, and resume="),
    "metrics that are cut off": (lambda old: (old / "metrics.json").write_text("{"), [], "old: metrics.json is damaged"),
    "predictions that are cut off": (lambda old: (old / "predictions.parquet").write_bytes(b"PAR1"), [], "old: predictions.parquet is damaged"),
    "metrics that are gone": (lambda old: (old / "metrics.json").unlink(), [], "has no metrics.json to compare with; finish it with resume="),
    "a config that is broken": (lambda old: (old / "config.yaml").write_text("seed: [1\n"), [], "config.yaml: not a config (line 2: "),
    "an evaluation": (lambda old: (old / "models.json").unlink(), [], "holds no trained models"),
    "a record that is no JSON": (lambda old: (old / "provenance.json").write_text("{"), [], "provenance.json: cannot be read"),
    "a record of other kinds": (lambda old: (old / "provenance.json").write_text('{"hardware": 5}'), [], "provenance.json: cannot be read"),
    "a config that is none": (lambda old: (old / "config.yaml").write_text("- 1\n"), [], "not the config of a run"),
    "a folder that is taken": (lambda old: None, ["--out", "."], "already holds something"),
    "a tolerance below 0": (lambda old: None, ["--tolerance", "-1"], "must be a number, 0 or more"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_repeated_gets_one_sentence(run, tmp_path, case, monkeypatch, capsys):
    from mmdx.commands import rerun as command

    spoil, more, says = WRONG[case]
    spoil(copy_of(run, tmp_path / "old"))
    (tmp_path / "something").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mmdx rerun", "old", *more])
    with pytest.raises(SystemExit) as end:
        command.main()
    err = capsys.readouterr().err
    assert end.value.code == 1 and says in err and err.startswith("error: ") and err.count("\n") == 1


def test_a_run_that_is_killed_has_its_record_and_one_that_fails_says_of_what_kind(tmp_path):
    from mmdx.provenance import recorded

    cfg = OmegaConf.create({"data": {"name": "x"}, "seed": 3, "seeds": None})
    with pytest.raises(ValueError, match="Mrs Miller"), recorded(tmp_path, cfg):
        midway = json.loads((tmp_path / "provenance.json").read_text())
        raise ValueError("a note of Mrs Miller")
    assert midway["state"] == "running" and midway["packages"]["torch"] and midway["seeds"] == {"seed": 3} and "data_fingerprint" not in midway
    record = (tmp_path / "provenance.json").read_text()
    assert json.loads(record)["state"] == "failed" and json.loads(record)["fault"] == "ValueError" and "Miller" not in record
    with pytest.raises(KeyboardInterrupt), recorded(tmp_path, cfg):
        raise KeyboardInterrupt
    record = json.loads((tmp_path / "provenance.json").read_text())
    assert record["state"] == "stopped" and [session["state"] for session in record["before"]] == ["failed"]


def test_time_inside_an_inner_phase_is_not_the_outer_ones():
    import time

    from mmdx.timings import phase, start_clock, timings

    start_clock()
    with phase("train"):
        time.sleep(0.02)
        with phase("predict"):
            time.sleep(0.2)
    with phase("predict"):
        pass
    found = timings()
    assert found["predict"] >= 0.2 and 0.02 <= found["train"] < 0.15
    start_clock()
    assert timings() == {}


EXPERIMENTS = {
    "end to end": ["+experiment=xray_text", "data.samples=150", "trainer.max_epochs=2"],
    "two folds and seeds of heads on features": ["+experiment=xray_text_features", "data.samples=150", "split=kfold", "split.folds=2", "seeds=[0,1]"],
    "sounds": ["+experiment=pcg", "data.samples=100", "trainer.max_epochs=1"],
}


@pytest.mark.slow
@pytest.mark.parametrize("case", EXPERIMENTS)
def test_three_experiments_give_identical_bits(case, tmp_path):
    words = [*EXPERIMENTS[case], "trainer.accelerator=cpu", "evaluation.resamples=50", f"cache.root={tmp_path / 'cache'}"]
    code, _, err = mmdx("train", *words, f"hydra.run.dir={tmp_path / 'run'}", folder=tmp_path)
    assert code == 0, err[-2000:]
    code, out, err = mmdx("rerun", tmp_path / "run", folder=tmp_path)
    assert code == 0 and "predictions: the same bits" in out and "metrics: the same bits" in out, out[-2000:] + err[-2000:]
