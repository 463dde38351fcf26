"""Facts about metrics.json: what each number rests on, and what it may not depend on."""

import json

import numpy as np
import pandas as pd
import pytest
from made_predictions import made
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, roc_auc_score

from mmdx.errors import InputError
from mmdx.evaluation.metrics import BinaryMetrics
from mmdx.evaluation.panels import Share
from mmdx.evaluation.score import score, score_folder
from mmdx.evaluation.scorer import WITH_CHANCE


def quick(frame, **options):
    return score(frame, **({"resamples": 60} | options))


def of(frame, modalities="image+text", split="test"):
    return frame[(frame["modalities"] == modalities) & (frame["split"] == split) & (frame["ablation"] == "offered")]


def test_each_subset_is_scored_on_its_own_rows():
    frame = made(absent=0.3)
    found = quick(frame)
    assert list(found["test"]) == ["image+text", "image", "text"]
    for subset, entries in found["test"].items():
        rows = of(frame, subset)
        assert entries["auroc"]["value"] == pytest.approx(roc_auc_score(rows["target"], rows["prob"]), abs=1e-12)
        assert entries["brier"]["value"] == pytest.approx(brier_score_loss(rows["target"], rows["prob"]), abs=1e-12)
        assert entries["auroc"]["n"] == len(rows) and entries["auroc"]["n_units"] == rows["patient_id"].nunique()
        assert entries["auroc"]["unit"] == "patient"
        assert all(e["low"] <= e["value"] <= e["high"] for e in entries.values())


def test_order_of_rows_and_names_of_patients_change_no_bit():
    frame = made(60, absent=0.2, sites=2, folds=2, seeds=2, retrained=True)
    names = {p: f"renamed {hash_}" for hash_, p in enumerate(sorted(frame["patient_id"].unique(), reverse=True))}
    other = frame.assign(patient_id=frame["patient_id"].map(names)).sample(frac=1, random_state=1)
    assert json.dumps(quick(frame, resamples=20)) == json.dumps(quick(other, resamples=20))


def test_the_file_is_strict_json_and_scoring_again_gives_the_same(tmp_path):
    frame = made(30, sites=6)
    frame.to_parquet(tmp_path / "predictions.parquet")
    found = score_folder(tmp_path, extra_metrics=("macc",), resamples=40, unit_name="recording")
    text = (tmp_path / "metrics.json").read_text()
    assert "NaN" not in text and json.loads(text) == found
    assert score_folder(tmp_path) == found and (tmp_path / "metrics.json").read_text() == text
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_without_patients_the_unit_is_the_sample_or_what_it_is_called():
    frame = made(patients=False)
    assert quick(frame)["test"]["image"]["auroc"]["unit"] == "sample"
    assert quick(frame, unit_name="recording")["unit"] == "recording"
    some = made()
    some.loc[of(some).index[0], "patient_id"] = None
    some = some[(some["sample_id"] != some.loc[of(some).index[0], "sample_id"]) | some["patient_id"].isna()]
    assert quick(some)["unit"] == "patient or sample"


def test_rows_of_folds_are_pooled_and_each_fold_uses_its_own_threshold():
    frame = made(200, folds=2)
    found = quick(frame)
    rows = of(frame)
    threshold = {t["fold"]: t["threshold"] for t in found["threshold"]["offered"]["image+text"]}
    called = rows["prob"] >= rows["fold"].map(threshold)
    assert len(set(threshold.values())) == 2
    entry = found["test"]["image+text"]
    assert entry["balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(rows["target"], called), abs=1e-12)
    assert entry["auroc"]["value"] == pytest.approx(roc_auc_score(rows["target"], rows["prob"]), abs=1e-12)
    for fold, part in rows.groupby("fold"):
        own = found["by_fold"][fold]["image+text"]["auroc"]["value"]
        assert own == pytest.approx(roc_auc_score(part["target"], part["prob"]), abs=1e-12)


def test_over_seeds_the_mean_and_its_spread():
    frame = made(seeds=3)
    entry = quick(frame)["test"]["image+text"]["auroc"]
    own = [roc_auc_score(rows["target"], rows["prob"]) for _, rows in of(frame).groupby("seed")]
    assert entry["value"] == pytest.approx(np.mean(own)) and entry["sd_over_seeds"] == pytest.approx(np.std(own, ddof=1))
    assert entry["seeds"] == 3 and entry["n"] == of(frame)["sample_id"].nunique()


def test_seeds_that_agree_give_the_interval_of_one():
    one = made()
    three = pd.concat([one.assign(seed=s) for s in range(3)])
    first, second = (quick(f)["test"]["image"]["auroc"] for f in (one, three))
    assert second["sd_over_seeds"] == 0
    assert [second[k] for k in ("value", "low", "high")] == pytest.approx([first[k] for k in ("value", "low", "high")], abs=1e-12)


def test_within_sites_is_the_mean_over_sites_of_both_classes():
    frame = made(240, sites=3)
    one_class = frame["meta_site"] == "site2"
    frame.loc[one_class, "target"] = 1
    found = quick(frame)
    rows = of(frame)
    own = [roc_auc_score(part["target"], part["prob"]) for site, part in rows.groupby("meta_site") if site != "site2"]
    entry = found["test"]["image+text"]["auroc_within_site"]
    assert entry["value"] == pytest.approx(np.mean(own)) and entry["sites"] == 2
    alone = found["by_site"]["site2"]["image+text"]["auroc"]
    assert alone["value"] is None and alone["low"] is None and "one class" in alone["reason"]
    assert found["by_site"]["site2"]["image+text"]["brier"]["value"] is not None


def test_complete_rows_are_told_apart_only_where_some_are_not():
    assert "test_complete" not in quick(made())
    frame = made(absent=0.3, retrained=True)
    found = quick(frame)
    whole = set(of(frame).query("present == 'image+text'")["sample_id"])
    for section in ("test_complete", "retrained_complete"):
        assert {entries["auroc"]["n"] for entries in found[section].values()} == {len(whole)}
    rows = of(frame, "text")
    rows = rows[rows["sample_id"].isin(whole)]
    assert found["test_complete"]["text"]["auroc"]["value"] == pytest.approx(roc_auc_score(rows["target"], rows["prob"]), abs=1e-12)


def test_what_a_modality_adds_is_full_minus_rest_on_common_rows():
    frame = made(absent=0.3, retrained=True)
    found = quick(frame)["differences"]
    assert list(found) == ["offered", "retrained"] and list(found["offered"]) == ["image", "text"]
    full, rest = of(frame).set_index("sample_id"), of(frame, "image").set_index("sample_id")
    full = full.loc[rest.index]
    entry = found["offered"]["text"]
    expected = roc_auc_score(full["target"], full["prob"]) - roc_auc_score(rest["target"], rest["prob"])
    assert entry["auroc"]["value"] == pytest.approx(expected, abs=1e-12) and entry["auroc"]["n"] == len(rest)
    assert entry["rows"] == "all" and entry["complete"]["rows"] == "complete"
    assert entry["complete"]["auroc"]["n"] < len(rest) and set(entry) == {"auroc", "auprc", "brier", "rows", "complete"}


def test_a_modality_that_changes_nothing_adds_exactly_nothing():
    frame = made()
    same = of(frame, "image").set_index("sample_id")["prob"]
    full = of(frame).index
    frame.loc[full, "prob"] = same.loc[frame.loc[full, "sample_id"]].to_numpy()
    entry = quick(frame)["differences"]["offered"]["text"]
    assert all((entry[m]["value"], entry[m]["low"], entry[m]["high"]) == (0, 0, 0) for m in ("auroc", "auprc", "brier"))


def test_the_full_model_stands_among_the_retrained_where_the_table_leaves_it_out():
    frame = made(retrained=True)
    shorter = frame[~((frame["ablation"] == "retrained") & (frame["modalities"] == "image+text"))]
    found = quick(shorter)
    assert found["retrained"]["image+text"] == found["test"]["image+text"] and set(found["differences"]["retrained"]) == {"image", "text"}


def test_shares_of_the_optimum_are_0_by_chance_and_1_for_the_oracle_itself():
    rng = np.random.default_rng(0)
    target, unit = rng.integers(0, 2, 400), np.arange(400)
    oracle = np.clip(0.5 + 0.3 * (target - 0.5) + 0.1 * rng.standard_normal(400), 0, 1)
    best, names = BinaryMetrics(target, oracle, unit, names=WITH_CHANCE), WITH_CHANCE
    constant = BinaryMetrics(target, np.full(400, target.mean()), unit, names=WITH_CHANCE)
    shares = {name: Share(model, best, target, unit, names)(np.ones((400, 1))) for name, model in (("oracle", best), ("constant", constant))}
    assert {name: float(v[0]) for name, v in shares["oracle"].items()} == pytest.approx(dict.fromkeys(names, 1.0))
    assert {name: float(v[0]) for name, v in shares["constant"].items()} == pytest.approx(dict.fromkeys(names, 0.0), abs=1e-9)
    nothing = Share(best, constant, target, unit, names)(np.ones((400, 1)))
    assert all(np.isnan(v).all() for v in nothing.values()), "where there is nothing to find there is no share"


def test_oracle_and_optimum():
    frame = made()
    found = quick(frame, optimum={"text": {"auroc": 0.87}})["test"]
    rows = of(frame, "text")
    oracle = roc_auc_score(rows["target"], rows["oracle"])
    entry = found["text"]["auroc"]
    assert entry["oracle"] == pytest.approx(oracle) and entry["optimum"] == 0.87 and "optimum" not in found["image"]["auroc"]
    assert entry["share_of_optimum"] == pytest.approx((entry["value"] - 0.5) / (oracle - 0.5))
    sites = quick(frame.assign(meta_site=["a", "b"] * (len(frame) // 2)), optimum={"text": {"auroc": 0.87}})["by_site"]
    assert all("optimum" not in part["text"]["auroc"] and "oracle" in part["text"]["auroc"] for part in sites.values())
    assert entry["share_low"] < entry["share_of_optimum"] < entry["share_high"] < 1.1
    assert found["text"]["brier"]["oracle"] == pytest.approx(brier_score_loss(rows["target"], rows["oracle"]))


def test_multilabel_with_unlabelled_entries():
    rng = np.random.default_rng(0)
    n = 90
    target = rng.integers(0, 2, (n, 2)).astype(float)
    prob = np.clip(0.3 * target + 0.7 * rng.random((n, 2)), 0, 1)
    target[:30, 0] = np.nan
    columns = {f"{what}_{name}": values[:, i] for what, values in (("target", target), ("prob", prob)) for i, name in enumerate("ab")}
    entries = quick(pd.DataFrame({"sample_id": range(n)} | columns))["test"]["all"]
    first, second = roc_auc_score(target[30:, 0], prob[30:, 0]), roc_auc_score(target[:, 1], prob[:, 1])
    assert entries["auroc_a"]["value"] == pytest.approx(first) and entries["auroc_a"]["n"] == 60
    assert entries["auroc"]["value"] == pytest.approx((first + second) / 2) and entries["auroc"]["n"] == n


def test_multiclass_takes_the_most_probable_class():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, 80)
    prob = rng.dirichlet(np.ones(3), 80) * 0.6 + 0.4 * np.eye(3)[target]
    found = quick(pd.DataFrame({"sample_id": range(80), "target": target, **{f"prob_{k}": prob[:, k] for k in range(3)}}))
    assert found["kind"] == "multiclass" and found["outputs"] == ["0", "1", "2"]
    assert found["test"]["all"]["balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(target, prob.argmax(axis=1)))


def test_an_unknown_extra_metric_is_refused():
    with pytest.raises(InputError, match=r"extra_metrics=\['f2'\]: must be of macc"):
        score(made(), extra_metrics=("f2",))


def test_one_patient_gives_no_interval():
    entry = quick(pd.DataFrame({"sample_id": range(4), "patient_id": "only", "target": [0, 1, 0, 1], "prob": [0.1, 0.9, 0.6, 0.5]}))
    auroc = entry["test"]["all"]["auroc"]
    assert auroc["value"] == 0.75 and auroc["low"] is None and auroc["high"] is None and "one patient" in auroc["reason"]


def test_an_interval_without_width_says_that_it_tells_nothing():
    entries = quick(pd.DataFrame({"sample_id": range(8), "target": [0, 1] * 4, "prob": [0.1, 0.9] * 4}))["test"]["all"]
    brier = entries["brier"]
    assert brier["low"] == brier["high"] == brier["value"] == pytest.approx(0.01) and "says nothing" in brier["reason"]


def test_a_perfect_auroc_has_the_lower_limit_of_its_independent_pairs():
    entry = quick(pd.DataFrame({"sample_id": range(8), "target": [0, 1] * 4, "prob": [0.1, 0.9] * 4}))["test"]["all"]["auroc"]
    assert (entry["value"], entry["low"], entry["high"]) == (1.0, pytest.approx(0.025**0.25), 1.0)
    assert entry["method"] == "pairs" and "share no unit" in entry["reason"]


def test_a_row_without_a_patient_is_a_unit_of_its_own():
    frame = pd.DataFrame({
        "sample_id": [f"s{i}" for i in range(40)], "patient_id": [f"p{i // 2}" for i in range(38)] + [None, None], "split": "test",
        "modalities": "a", "ablation": "offered", "present": "a", "target": [i % 2 for i in range(40)], "prob": np.linspace(0.1, 0.9, 40),
    })  # fmt: skip
    metrics = score(frame, resamples=20)
    assert metrics["unit"] == "patient or sample" and metrics["test"]["a"]["auroc"]["n_units"] == 19 + 2


def test_what_stress_left_of_other_predictions_is_not_used(tmp_path):
    """Tables of ``mmdx stress`` name the predictions that they are of; of other ones they say nothing."""
    frame = made(n=60, folds=1)
    frame.to_parquet(tmp_path / "predictions.parquet")
    (tmp_path / "stress").mkdir()
    rows = of(frame)
    noise = pd.concat([rows.assign(modality="image", noise="gaussian", level=level, draw=0) for level in (0.0, 0.5)])
    noise.to_parquet(tmp_path / "stress" / "noise.parquet")
    rows.assign(mutual_information=0.1, mc_prob=0.5).to_parquet(tmp_path / "stress" / "uncertainty.parquet")
    by_hand = score_folder(tmp_path, resamples=20)
    assert by_hand["stress"]["noise"] and "stale" not in by_hand

    told = {part: {"predictions_sha256": by_hand["predictions"]["sha256"]} for part in ("noise", "uncertainty")}
    (tmp_path / "stress" / "stress.json").write_text(json.dumps(told))
    assert score_folder(tmp_path) == by_hand

    frame.assign(prob=frame["prob"] / 2).to_parquet(tmp_path / "predictions.parquet")
    found = score_folder(tmp_path)
    assert found["stale"] == ["noise", "uncertainty"] and "of other predictions; run mmdx stress again" in found["stress"]["reason"]
    assert "noise" not in found["stress"] and "mc_dropout" not in found.get("uncertainty", {})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"resamples": "many"}, "settings.resamples='many' is not what mmdx score writes; remove the file and score again"),
        ({"resamples": True}, "settings.resamples=True"),
        ({"seed": -1}, "settings.seed=-1"),
        ({"optimum": [1]}, r"settings.optimum=\[1\]"),
        ({"kind": "nonsense"}, "settings.kind='nonsense'"),
        ({"kind": "ordinal"}, "kind=ordinal was given, but the columns are those of kind binary.*The kind is from .*metrics.json; remove that file"),
    ],
)
def test_settings_of_an_earlier_scoring_must_be_settings(tmp_path, settings, told):
    made(n=40).to_parquet(tmp_path / "predictions.parquet")
    (tmp_path / "metrics.json").write_text(json.dumps({"settings": settings}))
    with pytest.raises(InputError, match=told):
        score_folder(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"modalities": ""}, "row 1: modalities=''; expected names joined by"),
        ({"modalities": "image++text"}, r"row 1: modalities='image\+\+text'"),
        ({"modalities": "image+image"}, r"row 1: modalities='image\+image'"),
        ({"present": "image+"}, r"row 1: present='image\+'"),
        ({"meta_sex": [["F"]]}, r"row 1: meta_sex=\['F'\]; expected one text or number"),
    ],
)
def test_names_and_groups_must_be_names(change, told):
    frame = made(n=40)
    changed = {name: pd.Series(frame.get(name, "x"), index=frame.index).astype(object) for name in change}
    for name, value in change.items():
        changed[name].iloc[0] = value[0] if isinstance(value, list) else value
    with pytest.raises(InputError, match=told):
        quick(frame.assign(**changed))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.assign(split=t["split"].replace("val", "validation")), "split=validation; must be one of train, val, test"),
        (lambda t: t.assign(modalities=t["modalities"].where(t.index != 5)), "row 6: modalities is empty, but other rows have one"),
        (lambda t: t.assign(split=t["split"].where(t.index != 0)), "row 1: split is empty"),
        (lambda t: t.assign(prob_a=0.5), "has columns prob and prob_a, of a binary and of another target"),
        (lambda t: pd.concat([t, t[t["split"] == "test"].assign(split="val")]).drop(columns="patient_id"), "on both sides, in val and in test rows"),
    ],
)
def test_what_would_be_misread_is_refused(change, told):
    with pytest.raises(InputError, match=told):
        quick(change(made(n=40)))


def test_a_site_with_few_patients_has_no_numbers():
    frame = made(n=120, sites=2, patients=False)
    few = set(frame["sample_id"].unique()[:9])
    frame["meta_site"] = frame["meta_site"].where(~frame["sample_id"].isin(few), "tiny")
    entry = quick(frame)["by_site"]["tiny"]["image"]["auroc"]
    assert entry["value"] is None and entry["too_small"] and entry["reason"] == "fewer than 20 units (sample)"


def test_a_label_without_a_labelled_test_row_is_left_out():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"sample_id": [f"s{i}" for i in range(80)], "meta_sex": rng.choice(["F", "M"], 80)})
    frame = frame.assign(target_a=rng.integers(0, 2, 80), prob_a=rng.random(80), target_b=np.nan, prob_b=rng.random(80))
    found = quick(frame)
    assert found["test"]["all"]["auroc_b"]["value"] is None and "b" not in found["groups"]["outputs"]
