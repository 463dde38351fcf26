"""Facts about the comparison of fusions: search spaces, equal budgets, what is chosen on what, and a table that follows from predictions."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
import fusion_benchmark
from fusion_benchmark import interval, plans, scores, settings, space
from omegaconf import OmegaConf

from mmdx.commands.hydra_app import composed, telling

ROOT = Path(__file__).resolve().parent.parent
FUSIONS = sorted(path.stem for path in (ROOT / "conf" / "fusion").glob("*.yaml"))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_space_is_of_settings_that_the_fusion_has_and_holds_its_defaults(fusion):
    own, heads = (OmegaConf.load(ROOT / "conf" / "sweep" / path) for path in (f"fusion/{fusion}.yaml", "heads.yaml"))
    defaults = OmegaConf.load(ROOT / "conf" / "fusion" / f"{fusion}.yaml")
    assert own.pop("defaults") == ["/sweep/heads"] and set(heads) == {"optimizer.lr", "optimizer.weight_decay"}
    for key, values in own.items():
        choices = yaml.safe_load(f"[{values.removeprefix('choice(').removesuffix(')')}]")
        assert defaults[key.removeprefix("fusion.")] in choices, f"{fusion}: {key}={values}"


def test_a_space_is_every_combination_and_composes():
    there = space("gated")
    assert len(there) == 6 * 3 * 3 and len({tuple(one) for one in there}) == 54
    assert composed(["+experiment=fusion_missing", "fusion=gated", *there[-1]]).fusion.hidden == 256
    assert space("no_such_fusion_but_a_plugin") == [one[:2] for one in there[::3]], "one without a space has that of all heads"


def test_every_method_and_baseline_gets_the_same_number_of_settings_the_default_first():
    runs = plans("synergy", FUSIONS[::8], 10, [])
    for overrides in runs.values():
        fusion = next(word.removeprefix("fusion=") for word in overrides if word.startswith("fusion="))
        tried = settings(fusion, 8)
        assert len(tried) == 8 and tried[0] == [] and len({tuple(one) for one in tried}) == 8
        assert tried == settings(fusion, 8)


def test_the_interval_is_students():
    mean, low, high = interval(np.array([1.0, 2.0, 3.0]))
    assert np.isnan(interval(np.array([1.0]))[1:]).all(), "one seed says nothing of others"
    assert (mean, round(high - mean, 4)) == (2.0, round(4.302652729911275 / 3**0.5, 4)) and low + high == pytest.approx(4.0)


def test_shares_are_of_the_optimum_on_a_runs_own_rows(tmp_path):
    whole = pd.DataFrame({"sample_id": list("abcd"), "split": "test", "ablation": "offered", "modalities": "x+y", "target": [0, 0, 1, 1]})
    (tmp_path / "both").mkdir()
    whole.assign(prob=[0.1, 0.6, 0.5, 0.9], oracle=[0.1, 0.2, 0.8, 0.9]).to_parquet(tmp_path / "both" / "predictions.parquet")
    (tmp_path / "alone").mkdir()
    alone = whole.iloc[1:].assign(modalities="x", ablation="retrained", prob=[0.1, 0.2, 0.05], oracle=0.4)
    pd.concat([alone, whole.assign(prob=0.5, oracle=0.5)]).to_parquet(tmp_path / "alone" / "predictions.parquet")
    assert scores(tmp_path / "both", "", tmp_path / "both").loc[0, ["auroc", "share"]].tolist() == [0.75, 0.5]
    assert scores(tmp_path / "alone", "x", tmp_path / "both").loc[0, ["auroc", "share", "rows"]].tolist() == [0.5, 0.0, 3]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seeds", "1"], "--seeds 1: must be 2 or more"),
        (["--tune", "-1"], "--tune -1: must be 0 or more"),
        (["--cohorts", "missing,nope"], "--cohorts nope: no such cohort"),
        (["--fusions", "nope"], "fusion=nope: no such fusion"),
    ],
)
def test_a_wrong_option_is_named_before_any_work(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.setattr(sys, "argv", ["fusion_benchmark", "--out", str(tmp_path / "out"), *words])
    with pytest.raises(SystemExit):
        fusion_benchmark.main()
    assert told in capsys.readouterr().err


@pytest.mark.slow
def test_settings_are_chosen_on_validation_rows_and_finished_work_is_kept(tmp_path, monkeypatch, capsys):
    words = ["--out", str(tmp_path / "out"), "--seeds", "2", "--tune", "3", "--cohorts", "missing", "--fusions", "concat,late", "--jobs", "1"]
    words += ["data.samples=300", "trainer.max_epochs=2", f"cache.root={tmp_path / 'cache'}"]
    monkeypatch.setattr(sys, "argv", ["fusion_benchmark", *words])
    telling(fusion_benchmark.main)
    out = tmp_path / "out"
    table = pd.read_csv(out / "fusion_benchmark.csv")
    assert set(table["fusion"]) == {"concat", "late", "concat, zeros", "image alone", "text alone"}
    assert "better than concatenation with zeros" in (out / "fusion_benchmark.md").read_text() and (out / "fusion_benchmark.svg").exists()
    for name, tried in json.loads((out / "missing" / "tuning.json").read_text()).items():
        best = max(tried, key=lambda one: one["val_auroc"])["setting"]
        run = fusion_benchmark.EACH if name.endswith(" alone") and not best else name
        kept = out / "missing" / ("tuned" if best else "default") / run / "predictions.parquet"
        assert set(pd.read_parquet(kept)["seed"]) == {0, 1}
        assert table.set_index("fusion").fillna("").loc[name, "missing_tuned_setting"] == " ".join(best)
    capsys.readouterr()
    telling(fusion_benchmark.main)
    assert "models:" not in capsys.readouterr().out, "nothing is trained again"
