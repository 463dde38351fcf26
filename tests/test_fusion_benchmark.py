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
from fusion_benchmark import estimate, measured, plans, settings, space
from omegaconf import OmegaConf
from scipy import stats

from mmdx.commands.hydra_app import composed, telling
from mmdx.evaluation.delong import auroc_linear
from mmdx.evaluation.linear import Linear, mean

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
    """And the same rates and decays in the same order, whatever else its space has; a choice is not drawn twice however large the budget."""
    runs = plans("synergy", FUSIONS[::8], 10, [])
    trained = set()
    for overrides in runs.values():
        tried = settings(overrides, 8)
        assert len(tried) == 8 and tried[0] == [] and len({tuple(one) for one in tried}) == 8
        assert tried == settings(overrides, 8)
        trained.add(tuple(tuple(one[:2]) for one in tried[1:]))
    assert len(trained) == 1 and len(set(*trained)) == 7
    every = settings(runs[FUSIONS[0]], 10_000)
    assert len({tuple(one) for one in every}) == len(every) == len(space(FUSIONS[0]))


def linear(values, terms):
    terms = np.array([terms, terms])
    return Linear(values, terms, np.ones(terms.shape, bool), terms.shape[1])


def test_the_interval_is_of_seeds_and_of_patients():
    """Students's over seeds where patients add nothing, the patients' where seeds agree; both variances add up."""
    still, few = [0.0] * 4, [0.03, -0.01, -0.02, 0.0]
    alone = estimate([linear(value, still) for value in (1.0, 2.0, 3.0)])
    assert np.isnan(estimate([linear(1.0, few)]).low), "one seed says nothing of others"
    assert (alone.mean, round(alone.high - alone.low, 4)) == (2.0, round(2 * 4.302652729911275 / 3**0.5, 4))
    agreed, one = estimate([linear(2.0, few)] * 3), mean([linear(2.0, few)])
    assert agreed.high - agreed.low == pytest.approx(2 * stats.t.ppf(0.975, one.degrees_of_freedom) * one.variance**0.5)
    both = estimate([linear(value, few) for value in (1.99, 2.0, 2.01)])
    assert both.high - both.low > agreed.high - agreed.low


def test_an_interval_covers_the_truth_of_scores_that_say_nothing():
    """Ten seeds whose scores share most of their noise, as those of one cohort do: the share of 0 is inside in about 95 % of cohorts."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(200):
        positive, common = rng.random(300) < 0.5, rng.normal(size=300)
        seeds = [auroc_linear(positive, common + 0.3 * rng.normal(size=300), np.arange(300), 300) for _ in range(10)]
        found = estimate(seeds)
        inside += found.low <= 0.5 <= found.high
    assert stats.binomtest(inside, 200, 0.95).pvalue > 0.01


def test_shares_are_of_the_optimum_on_a_runs_own_rows(tmp_path):
    whole = pd.DataFrame({"sample_id": list("abcd"), "split": "test", "ablation": "offered", "modalities": "x+y", "target": [0, 0, 1, 1]})
    (tmp_path / "both").mkdir()
    whole.assign(prob=[0.1, 0.6, 0.5, 0.9], oracle=[0.1, 0.2, 0.8, 0.9]).to_parquet(tmp_path / "both" / "predictions.parquet")
    (tmp_path / "alone").mkdir()
    alone = whole.iloc[1:].assign(modalities="x", ablation="retrained", prob=[0.1, 0.2, 0.05], oracle=0.4)
    pd.concat([alone, whole.assign(prob=0.5, oracle=0.5)]).to_parquet(tmp_path / "alone" / "predictions.parquet")
    assert [part.value for part in measured(tmp_path / "both", "", tmp_path / "both")[0]] == [0.75, 0.5]
    auroc, share = measured(tmp_path / "alone", "x", tmp_path / "both")[0]
    assert (auroc.value, share.value, auroc.rows) == (0.5, 0.0, 3)


@pytest.mark.parametrize("some", [FUSIONS[::8], pytest.param(FUSIONS, marks=pytest.mark.slow)], ids=["some", "all"])
def test_the_default_is_not_drawn_a_second_time(some):
    for fusion, overrides in plans("missing", some, 10, []).items():
        base = composed(["+experiment=fusion_missing", f"fusion={'concat' if fusion not in FUSIONS else fusion}"])
        for setting in settings(overrides, 8)[1:]:
            assert any(str(OmegaConf.select(base, key)) != value for key, value in (word.split("=") for word in setting)), setting


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seeds", "1"], "--seeds 1: must be 2 or more"),
        (["--tune", "-1"], "--tune -1: must be 0 or more"),
        (["--tune", "1"], "--tune 1: one setting is the default alone"),
        (["optimizer.lr=0.001,0.003"], "optimizer.lr=0.001,0.003: one value for all runs is wanted"),
        (["--covid", "/no/such/folder"], "data.root=/no/such/folder: no such folder"),
        (["--cohorts", "missing,nope"], "--cohorts nope: no such cohort"),
        (["--cohorts", ""], "--cohorts: names none"),
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
