"""The command ``mmdx stress``: what it writes, what it replaces, and what it says when something is wrong."""

import hashlib
import json
import subprocess
import sys
import types
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmdx.commands.hydra_app import config_folder
from mmdx.commands.stress import files, run, summary
from mmdx.configuration import check_config, resolved
from mmdx.errors import InputError
from mmdx.files import write_text
from mmdx.parts import study_from
from mmdx.provenance import write_provenance
from mmdx.run import finish
from mmdx.stress.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = [
    *("+encoder/text@encoders.text=bag_of_words", "+encoder/tabular@encoders.tabular=mlp", "data=simulated", "data.samples=120"),
    *("trainer.max_epochs=1", "trainer.accelerator=cpu", "logger=none", "evaluation.resamples=40"),
]


def train(folder, *overrides):
    """A finished run, as ``run`` leaves it, without a process of its own."""
    with initialize_config_dir(config_folder(), version_base="1.3"):
        cfg = resolved(compose("train", overrides=[*SMALL, *overrides]))
    check_config(cfg)
    study = study_from(cfg, folder)
    write_text(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    study.run()
    write_provenance(folder, cfg, study.cohort.fingerprint)
    finish(study, cfg)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "run")


def options(**changes):
    return {"only": ("missingness", "noise"), "rates": (0.0, 0.5), "draws": 2, "levels": (0.0, 1.0)} | changes


def test_it_writes_the_tables_and_scores_again_and_a_second_call_replaces_them(finished, capsys):
    run(str(finished), options())
    said = capsys.readouterr().out
    assert f"{finished}/stress/missingness.parquet" in said and "metrics.json" in said
    table, noise = (pd.read_parquet(finished / "stress" / f"{name}.parquet") for name in ("missingness", "noise"))
    own = pd.read_parquet(finished / "predictions.parquet")
    own = own[(own["split"] == "test") & (own["modalities"] == "tabular+text")].reset_index(drop=True)
    clean = table[(table["pattern"] == "every") & (table["rate"] == 0)].reset_index(drop=True)
    for name in ("sample_id", "target", "prob", "present", "oracle"):
        assert clean[name].equals(own[name]), name
    assert set(table["pattern"]) == {"every", "only_tabular", "only_text", "sicker"} and set(table["rate"]) == {0.0, 0.5}
    assert table.loc[(table["pattern"] == "sicker") & (table["rate"] > 0), "oracle"].isna().all()
    assert table.loc[table["pattern"] != "sicker", "oracle"].between(0, 1).all()
    assert set(noise["modality"]) == {"tabular", "text"} and not list((finished / "stress").glob(".*"))
    settings = json.loads((finished / "stress" / "stress.json").read_text())
    assert settings["missingness"]["rates"] == [0.0, 0.5] and settings["noise"]["kinds"] == {"tabular": "gaussian+tokens", "text": "gaussian+tokens"}
    of = hashlib.sha256((finished / "predictions.parquet").read_bytes()).hexdigest()
    assert [part["predictions_sha256"] for name, part in settings.items() if name != "schema"] == [of] * (len(settings) - 1)
    run(str(finished), options(only=("missingness",), rates=(0.3,), draws=1))
    again = pd.read_parquet(finished / "stress" / "missingness.parquet")
    assert set(again["rate"]) == {0.0, 0.3} and noise.equals(pd.read_parquet(finished / "stress" / "noise.parquet"))
    told = json.loads((finished / "stress" / "stress.json").read_text())
    assert told["missingness"]["rates"] == [0.0, 0.3] and told["noise"] == settings["noise"]


def test_uncertainty_and_cases_are_made_from_each_model(finished, monkeypatch):
    seen = []

    def mc_dropout(model, task, batches, device, passes, seed):
        index = [i for batch in batches for i in batch.meta["index"]]
        return pd.DataFrame({"index": index, "mc_prob": 0.5, "mc_entropy": 0.7, "mc_mutual_information": 0.0})

    class Detector:
        def score(self, model, batches, device):
            index = [i for batch in batches for i in batch.meta["index"]]
            return pd.DataFrame({"index": index[::-1], "ood_score": [float(i) for i in index[::-1]]})

    def write_cases(folder, models, study, cases, notes):
        seen.append((folder, [cell.name for cell, _ in models], cases, notes))

    stand_ins = {
        "mmdx.stress.dropout": {"mc_dropout": mc_dropout},
        "mmdx.stress.out_of_distribution": {"fit": lambda model, batches, device: Detector()},
        "mmdx.explain": {},
        "mmdx.explain.cases": {"write_cases": write_cases},
    }
    import mmdx.stress as package

    for name, members in stand_ins.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
        if name.startswith("mmdx.stress."):
            monkeypatch.setattr(package, name.rsplit(".", 1)[1], module, raising=False)
    run(str(finished), options(only=("uncertainty", "cases"), cases=7, notes=True))
    table = pd.read_parquet(finished / "stress" / "uncertainty.parquet")
    own = pd.read_parquet(finished / "predictions.parquet")
    own = own[own["modalities"] == "tabular+text"]
    assert sorted(table["sample_id"]) == sorted(own["sample_id"]) and set(table["split"]) == {"val", "test"}
    assert {"mc_prob", "mc_entropy", "mc_mutual_information", "ood_score", "modalities", "present"} <= set(table) and "index" not in table
    merged = table.merge(own, on="sample_id", suffixes=("", "_own"))
    assert (merged["present"] == merged["present_own"]).all() and (merged["split"] == merged["split_own"]).all()
    assert table["ood_score"].is_unique
    assert seen == [(finished, ["model"], 7, True)]


def test_what_was_done_before_a_part_that_fails_counts(finished, monkeypatch):
    from mmdx.stress import run as steps

    def fails(run, settings):
        raise InputError("cases needs captum")

    monkeypatch.setitem(steps.PARTS, "cases", fails)
    (finished / "metrics.json").unlink()
    with pytest.raises(InputError, match="needs captum"):
        run(str(finished), options(only=("missingness", "cases"), rates=(0.2,)))
    told = json.loads((finished / "stress" / "stress.json").read_text())
    assert told["missingness"]["rates"] == [0.0, 0.2] and (finished / "metrics.json").exists()


def test_a_baseline_is_copied_in_and_must_fit(finished, tmp_path):
    late = train(tmp_path / "late", "fusion=late")
    with pytest.raises(InputError, match=r"has no stress/missingness\.parquet; run mmdx stress .* first"):
        run(str(finished), options(baseline=late))
    run(str(late), options(only=("missingness",)))
    with pytest.raises(InputError, match=r"its rates of missingness are 0 0\.5; give the same"):
        run(str(finished), options(only=("missingness",), rates=(0.4,), baseline=late))
    run(str(finished), options(only=("missingness",), baseline=late))
    copied = pd.read_parquet(finished / "stress" / "baseline_missingness.parquet")
    assert copied.equals(pd.read_parquet(late / "stress" / "missingness.parquet"))
    run(str(finished), options(only=("missingness",)))
    assert not (finished / "stress" / "baseline_missingness.parquet").exists()
    other = pd.read_parquet(late / "stress" / "missingness.parquet")
    other[other["sample_id"] != other["sample_id"].iloc[0]].to_parquet(late / "stress" / "missingness.parquet")
    with pytest.raises(InputError, match="tested other rows"):
        run(str(finished), options(only=("missingness",), baseline=late))


def test_models_trained_where_modalities_are_absent_are_beside_the_runs_own(finished):
    run(str(finished), options(only=("missingness",), train_rates=(0.4,)))
    table = pd.read_parquet(finished / "stress" / "missingness.parquet")
    assert set(table["trained"]) == {"as trained", "0.4"} and (finished / "stress" / "models" / "0.4" / "model" / "fitted.json").exists()
    sizes = table.groupby("trained").size()
    assert sizes["as trained"] == sizes["0.4"]
    run(str(finished), options(only=("missingness",)))
    assert not (finished / "stress" / "models").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rates": (0.1, 1.5)}, "--rates 1.5: must be 0 to 1."),
        ({"train_rates": (-0.1,)}, "--train-rates -0.1: must be 0 to 1."),
        ({"train_rates": (1.0,)}, "--train-rates: must lie between 0 and 1"),
        ({"levels": (-1.0,)}, "--levels -1: must be 0 or more."),
        ({"levels": (float("nan"),)}, "--levels nan: must be 0 or more."),
        ({"draws": 0}, "--draws 0: must be at least 1."),
        ({"only": ("missingnes",)}, "--only missingnes: must be of missingness, noise, uncertainty, cases."),
    ],
)
def test_wrong_options_get_one_sentence(changes, said):
    with pytest.raises(InputError) as caught:
        Settings(**changes)
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def copy_of(finished, folder):
    import shutil

    return Path(shutil.copytree(finished, folder))


def test_runs_that_cannot_be_opened_get_one_sentence(finished, tmp_path):
    with pytest.raises(InputError, match=r"RUN .*nowhere: no run there"):
        run(str(tmp_path / "nowhere"), options())
    unfinished = copy_of(finished, tmp_path / "unfinished")
    (unfinished / "predictions.parquet").unlink()
    with pytest.raises(InputError, match=r"has not finished \(no predictions\.parquet\)"):
        run(str(unfinished), options())
    bare = copy_of(finished, tmp_path / "bare")
    (bare / "models" / "model" / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(InputError, match=r"best\.ckpt: no such file"):
        run(str(bare), options())
    (bare / "models.json").unlink()
    with pytest.raises(InputError, match="holds no trained models"):
        run(str(bare), options())
    other = copy_of(finished, tmp_path / "other")
    config = OmegaConf.load(other / "config.yaml")
    config.data.seed = 5
    OmegaConf.save(config, other / "config.yaml")
    with pytest.raises(InputError, match="its data has changed since it was trained"):
        run(str(other), options())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, "usage: mmdx stress"),
        (["runs/none", "--rates", "2"], 1, "error: --rates 2: must be 0 to 1."),
        (["runs/none", "--only", "noises"], 1, "error: --only noises: must be of"),
    ],
)
def test_help_and_wrong_options_load_nothing_heavy(words, code, said):
    program = (
        "import sys\nsys.argv = ['mmdx', 'stress', *sys.argv[1:]]\n"
        "from mmdx.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print('CODE', end.code or 0, 'HEAVY', [m for m in ('torch', 'pandas', 'numpy', 'hydra') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stderr + done.stdout).startswith(said) and f"CODE {code} HEAVY []" in done.stdout


def test_the_summary_is_one_line_a_curve():
    def entry(value):
        return {"value": value}

    points = [{"trained": "as trained", "pattern": "every", "rate": rate, "auroc": entry(0.9 - rate)} for rate in (0.0, 0.5)]
    noise = [{"modality": "ecg", "noise": "gaussian", "level": level, "auroc": entry(None)} for level in (0.0, 1.0)]
    robustness = {"every": {"relative": entry(0.65), "effective": entry(-0.1)}, "ecg": {"relative": entry(None)}}
    lines = [line.split() for line in summary({"missingness": points, "noise": noise, "robustness": robustness})]
    assert lines[1] == ["every", "0.900", "0.400", "0.650", "-0.100"] and lines[3] == ["ecg", "(gaussian)", "-", "-", "-", "-"]
    assert list(summary({})) == [] and files(Path("/nonexistent")) == []
