"""Which groups are looked at, and what stands in the section of metrics.json."""

import json

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, equalized_odds_difference, true_positive_rate
from made_predictions import made

from mmdx.evaluation import group_audit
from mmdx.evaluation import score as score_module
from mmdx.evaluation.groups import cross, groupings
from mmdx.evaluation.groups_section import section
from mmdx.evaluation.score import score


@pytest.fixture(autouse=True)
def only_groups(monkeypatch):
    monkeypatch.setattr(score_module, "SECTIONS", {"groups": lambda scored, folder: section(scored)})


def cohort(n=400, **options):
    """Predictions with sex and age of the patients."""
    frame = made(n=n, **options)
    rng = np.random.default_rng(5)
    owner = frame["patient_id"].fillna(frame["sample_id"])
    names = sorted(owner.unique())
    sex, age = (dict(zip(names, rng.choice(values, len(names)), strict=True)) for values in (["F", "M"], np.arange(20, 90)))
    return frame.assign(meta_sex=owner.map(sex), meta_age=owner.map(age))


def of(frame, **options):
    return score(frame, resamples=50, **options)["groups"]


def labels(rows, full="a+b", **options):
    found, skipped = groupings(rows, full, **options)
    return {g.name: g.labels for g in found}, skipped


def test_values_are_groups_and_numbers_are_cut_into_bands():
    rows = pd.DataFrame(
        {"meta_view": ["PA", "AP"] * 50, "meta_age": np.arange(100), "meta_score": np.arange(100) ** 2, "meta_grade": [1.0, 2.0] * 50}
    )
    found, _ = labels(rows)
    assert found["view"] == ("AP", "PA") and found["grade"] == ("1", "2")
    assert found["age"] == ("below 18", "18 to below 40", "40 to below 60", "60 to below 80", "80 and over")
    assert len(found["score"]) == 4  # quartiles
    code = next(g.code for g in groupings(rows, "a")[0] if g.name == "score")
    assert np.bincount(code).tolist() == [25, 25, 25, 25]


def test_bands_can_be_given_and_empty_ones_are_no_groups():
    found, _ = labels(pd.DataFrame({"meta_dose": [1, 2, 30, 40]}), bands={"dose": (10, 20, 50)})
    assert found == {"dose": ("below 10", "20 to below 50")}


def test_text_and_missing_values():
    rows = pd.DataFrame({"meta_code": [f"c{i}" for i in range(40)], "meta_sex": ["F", None, "", "M"] * 10, "meta_none": [None] * 40})
    found, skipped = labels(rows)
    assert found == {"sex": ("F", "M")}
    assert skipped == {"code": "40 different values; at most 20 are taken for groups", "none": "no row has a value"}
    assert groupings(rows, "a")[0][0].code.tolist()[:4] == [0, -1, -1, 1]


def test_crossed_groups_are_those_of_both():
    rows = pd.DataFrame({"meta_x": ["a", "a", "b", "b", None], "meta_y": ["u", "v", "u", "u", "u"]})
    found = {g.name: g for g in groupings(rows, "a")[0]}["x x y"]
    assert found.labels == ("a, u", "a, v", "b, u") and found.code.tolist() == [0, 1, 2, 2, -1] and found.crossed
    assert cross(found, found).labels[0] == "a, u, a, u"


def test_what_is_missing_is_a_group():
    rows = pd.DataFrame({"present": ["a+b", "a", "b", "a+b"]})
    found = {g.name: g.code.tolist() for g in groupings(rows, "a+b")[0]}
    assert found == {"missing a": [0, 0, 1, 0], "missing b": [0, 1, 0, 0]}
    assert groupings(pd.DataFrame({"present": ["a+b"] * 3}), "a+b") == ([], {})


def test_the_section_is_strict_json_with_fairlearns_values():
    frame = cohort(sites=2, absent=0.2)
    metrics = score(frame, resamples=50)
    json.dumps(metrics, allow_nan=False)
    found = metrics["groups"]["columns"]
    assert set(found) == {"age", "sex", "site", "missing image", "missing text", "age x sex", "age x site", "sex x site"}
    threshold = metrics["threshold"]["offered"]["image+text"][0]["threshold"]
    rows = frame[(frame["split"] == "test") & (frame["modalities"] == "image+text")]
    called = (rows["prob"] >= threshold).astype(int)
    theirs = MetricFrame(metrics=true_positive_rate, y_true=rows["target"], y_pred=called, sensitive_features=rows["meta_sex"])
    sex = found["sex"]
    assert {k: v["entries"]["sensitivity"]["value"] for k, v in sex["groups"].items()} == pytest.approx(theirs.by_group.to_dict(), abs=1e-12)
    assert sex["gaps"]["tpr_gap"]["value"] == pytest.approx(theirs.difference(), abs=1e-12)
    odds = equalized_odds_difference(rows["target"], called, sensitive_features=rows["meta_sex"])
    assert sex["gaps"]["equalized_odds"]["value"] == pytest.approx(odds, abs=1e-12)
    one, two = sex["gaps"]["tpr_gap"]["between"]
    assert sex["groups"][one]["entries"]["sensitivity"]["value"] <= sex["groups"][two]["entries"]["sensitivity"]["value"]
    assert sum(group["n"] for group in sex["groups"].values()) == len(rows)


def test_groups_of_a_site_have_the_entries_of_by_site():
    metrics = score(cohort(sites=2), resamples=50)
    site = metrics["groups"]["columns"]["site"]["groups"]["site0"]["entries"]
    for name in ("auroc", "brier"):
        assert site[name].items() <= metrics["by_site"]["site0"]["image+text"][name].items()  # which has the oracle's, too


def test_holm_is_over_all_tests_of_the_section():
    found = of(cohort(sites=3, absent=0.2))
    gaps = [gap for column in found["columns"].values() for name, gap in column["gaps"].items() if name != "equalized_odds"]
    rest = [e for column in found["columns"].values() for group in column["groups"].values() for e in group.get("against_rest", {}).values()]
    tested = [entry for entry in gaps + rest if entry["p"] is not None]
    assert found["tests"] == len(tested) > 40 and rest
    assert all(entry["p_adjusted"] >= entry["p"] for entry in tested)
    smallest = min(tested, key=lambda entry: entry["p"])
    assert smallest["p_adjusted"] == pytest.approx(min(1, smallest["p"] * len(tested)))


def test_a_group_that_does_worse_is_found():
    frame = cohort(n=600)
    rng = np.random.default_rng(0)
    women = frame["meta_sex"] == "F"
    found = of(frame.assign(prob=np.where(women, rng.random(len(frame)), frame["prob"])))["columns"]["sex"]
    assert found["worst"]["metric"] == "auroc" and found["worst"]["group"] == "F"
    assert found["gaps"]["auroc_gap"]["p_adjusted"] < 1e-6 and found["gaps"]["auroc_gap"]["low"] > 0.2
    assert found["gaps"]["auroc_gap"]["between"] == ["F", "M"]


def test_small_groups_are_named_and_never_numbered():
    frame = cohort(n=300)
    few = sorted(frame.loc[frame["split"] == "test", "patient_id"].unique())[:3]
    frame["meta_rare"] = np.where(frame["patient_id"].isin(few), "yes", "no")
    found = of(frame)["columns"]["rare"]
    assert found["groups"]["yes"] == {"n": found["groups"]["yes"]["n"], "n_units": 3, "too_small": True}
    assert found["left_out"] == ["yes"] and found["gaps"] == {}
    assert found["reason"] == "1 of 2 groups have fewer than 20 units (patient), so there is nothing to compare"


def test_many_rows_of_few_patients_are_a_small_group():
    frame = cohort(n=300)
    frame["patient_id"] = np.where(frame["meta_sex"] == "F", frame["split"] + " one", frame["patient_id"])
    assert of(frame)["columns"]["sex"]["groups"]["F"]["too_small"]


def test_one_group_and_all_too_small_are_said_in_words():
    found = of(cohort(n=300).assign(meta_one="same"))["columns"]["one"]
    assert found["reason"] == "all rows are in one group (same), so there is nothing to compare" and found["gaps"] == {}
    few = of(cohort(n=36))["columns"]["age"]
    assert all(group["too_small"] for group in few["groups"].values()) and "fewer than 20 units" in few["reason"] and few["worst"] is None


def test_a_group_with_few_positives_has_no_sensitivity():
    frame = cohort(n=400)
    frame = frame[(frame["meta_sex"] == "M") | (frame["target"] == 0) | (frame["sample_id"].str[-1] == "7")]
    found = of(frame)["columns"]["sex"]
    entry = found["groups"]["F"]["entries"]["sensitivity"]
    assert entry["value"] is None and "positive rows; at least 10 are asked for" in entry["reason"]
    assert found["gaps"]["tpr_gap"]["value"] is None and "fewer than two groups" in found["gaps"]["tpr_gap"]["reason"]
    assert found["gaps"]["fpr_gap"]["value"] is not None and "equalized_odds" not in found["gaps"]


def test_large_groups_have_the_same_values_and_nearly_the_same_intervals(monkeypatch):
    frame = cohort(n=2000, seeds=2)
    usual = score(frame)["groups"]["columns"]["sex"]["groups"]["F"]["entries"]
    monkeypatch.setattr(group_audit, "LARGE", 100)
    quick = score(frame)["groups"]["columns"]["sex"]["groups"]["F"]["entries"]
    for name, entry in quick.items():
        assert entry["value"] == pytest.approx(usual[name]["value"], abs=1e-12)
        if name == "ece":
            assert entry["low"] is None and "biased upwards" in entry["reason"]
            continue
        width = usual[name]["high"] - usual[name]["low"]
        assert [entry["low"], entry["high"]] == pytest.approx([usual[name]["low"], usual[name]["high"]], abs=0.15 * width)


def test_no_columns_no_section():
    assert "groups" not in score(made(n=60), resamples=10)


def test_order_of_rows_and_names_of_patients_change_nothing():
    frame = cohort(n=200, sites=2, absent=0.1)
    other = frame.sample(frac=1, random_state=1).assign(patient_id=lambda t: "x" + t["patient_id"].str[::-1])
    assert of(other) == of(frame)


def test_seeds_are_averaged():
    found = of(cohort(n=300, seeds=3))["columns"]["sex"]
    alone = [of(cohort(n=300, seeds=3).query(f"seed == {s}"))["columns"]["sex"] for s in range(3)]
    for name in ("sensitivity", "auroc"):
        values = [one["groups"]["F"]["entries"][name]["value"] for one in alone]
        assert found["groups"]["F"]["entries"][name]["value"] == pytest.approx(np.mean(values))
    assert found["groups"]["F"]["n"] == alone[0]["groups"]["F"]["n"]


def several(n=400):
    rng = np.random.default_rng(0)
    prob = rng.dirichlet(np.ones(3), n)
    target = [rng.choice(3, p=p) for p in prob]
    frame = pd.DataFrame(prob, columns=["prob_x", "prob_y", "prob_z"]).assign(target=np.array(["x", "y", "z"])[target])
    return frame.assign(sample_id=[f"s{i}" for i in range(n)], meta_sex=rng.choice(["F", "M"], n), meta_view=rng.choice(["AP", "PA"], n))


def test_of_several_classes_the_sensitivity_is_the_recall_of_the_likeliest():
    frame = several()
    found = of(frame)["outputs"]
    assert set(found) == {"x", "y", "z"} and set(found["x"]["columns"]) == {"sex", "view"}
    women = frame[(frame["meta_sex"] == "F") & (frame["target"] == "y")]
    recall = (women[["prob_x", "prob_y", "prob_z"]].idxmax(axis=1) == "prob_y").mean()
    assert found["y"]["columns"]["sex"]["groups"]["F"]["entries"]["sensitivity"]["value"] == pytest.approx(recall)


def test_labels_are_audited_on_their_labelled_rows():
    frame = several()
    labelled = frame.drop(columns="target").rename(columns={"prob_z": "prob_w"}).assign(
        **{f"target_{name}": (frame["target"] == name).astype(float) for name in "xy"}, target_w=1.0 * (frame["target"] == "z")
    )  # fmt: skip
    labelled.loc[:149, "target_x"] = np.nan
    found = of(labelled)["outputs"]
    sizes = [group["n"] for group in found["x"]["columns"]["sex"]["groups"].values()]
    assert sum(sizes) == 250 and set(found) == {"x", "y", "w"}
