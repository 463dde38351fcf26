"""Facts about where fusion hurts and how far modalities agree."""

import numpy as np
import pandas as pd
import pytest
from made_predictions import made
from sklearn.metrics import cohen_kappa_score
from test_shapley import section

from mmdx.evaluation.agreement import Agreement, Shares


def test_kappa_is_scikit_learns_under_weights():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    counts = rng.integers(0, 4, (60, 7)).astype(float)
    found = Agreement(first[:, None].astype(float), second[:, None].astype(float), np.arange(60))(counts)
    for r in range(7):
        assert found["kappa"][r] == pytest.approx(cohen_kappa_score(first, second, sample_weight=counts[:, r]), abs=1e-12)
        assert found["agreement"][r] == pytest.approx(np.average(first == second, weights=counts[:, r]), abs=1e-12)


def test_kappa_of_two_who_always_say_the_same_one_thing_is_undefined():
    ones = np.ones((10, 1))
    found = Agreement(ones, ones, np.arange(10))(np.ones((10, 1)))
    assert found["agreement"][0] == 1 and np.isnan(found["kappa"][0])


def test_cohens_worked_example():
    """50 applications, 20 both yes, 15 both no, 5 and 10 apart: p_o 0.7, p_e 0.5, kappa 0.4 (the textbook example of Cohen's kappa)."""
    first = np.repeat([1.0, 1.0, 0.0, 0.0], [20, 5, 10, 15])[:, None]
    second = np.repeat([1.0, 0.0, 1.0, 0.0], [20, 5, 10, 15])[:, None]
    found = Agreement(first, second, np.arange(50))(np.ones((50, 1)))
    assert found["agreement"][0] == pytest.approx(0.7) and found["kappa"][0] == pytest.approx(0.4)


def test_unlabelled_entries_do_not_count():
    found = Shares({"x": np.array([[1.0, np.nan], [0.0, 1.0], [np.nan, 1.0]])}, np.arange(3))(np.ones((3, 1)))
    assert found["x"][0] == pytest.approx((0.5 + 1.0) / 2)


def by_hand(single, fused, target):
    """A table whose modality ``a`` and whose fusion decide as given, with validation rows on which a is better than b."""
    parts = []
    for split, y in (("val", np.array([0, 1] * 10)), ("test", np.asarray(target))):
        good, bad = np.where(y == 1, 0.9, 0.1), np.where(y == 1, 0.1, 0.9)
        own = {"a": good, "b": bad, "a+b": good} if split == "val" else {"a": np.asarray(single), "b": bad, "a+b": np.asarray(fused)}
        for name, prob in own.items():
            ids = [f"{split}{i:03d}" for i in range(len(y))]
            parts.append(pd.DataFrame({"sample_id": ids, "split": split, "modalities": name, "target": y, "prob": prob, "present": name}))
    return pd.concat(parts)


def test_harm_is_the_share_that_the_best_single_modality_gets_right_and_the_fusion_wrong():
    target = np.array([0, 1] * 20)
    right, wrong = np.where(target == 1, 0.9, 0.1), np.where(target == 1, 0.1, 0.9)
    single, fused = right.copy(), right.copy()
    fused[:6], single[6:10] = wrong[:6], wrong[6:10]
    found = section(by_hand(single, fused, target))["harm"]
    values = {name: entry["value"] for name, entry in found["entries"].items()}
    assert found["best"] == [{"modality": "a", "validation_auroc": 1.0}] and found["n"] == 40
    assert values == pytest.approx({"harmed": 6 / 40, "helped": 4 / 40, "net": -2 / 40, "both_right": 30 / 40, "both_wrong": 0.0})


def test_the_best_single_modality_is_never_chosen_on_test_rows():
    target = np.array([0, 1] * 20)
    right, wrong = np.where(target == 1, 0.9, 0.1), np.where(target == 1, 0.1, 0.9)
    found = section(by_hand(wrong, right, target))["harm"]  # on test rows a is the worse one
    assert found["best"][0]["modality"] == "a" and found["entries"]["helped"]["value"] == 1.0


def test_without_validation_rows_harm_is_not_reported_but_said():
    found = section(made(80, validation=False))
    assert found["harm"] is None and "harm: no validation rows" in found["reason"]


def test_agreement_is_by_presence_pattern_and_small_patterns_are_only_counted():
    found = section(made(200, modalities=("a", "b", "c"), absent=0.1))["agreement"]
    assert {tuple(row["between"]) for row in found} == {("a", "b"), ("a", "c"), ("b", "c")}
    some = [row for row in found if row["between"] == ["a", "b"]]
    assert some[0]["present"] == "any"
    parts = {row["present"]: row["n"] if "too_small" in row else row["entries"]["agreement"]["n"] for row in some[1:]}
    assert set(parts) == {"a+b+c", "a+b"} and sum(parts.values()) == some[0]["entries"]["agreement"]["n"]
    assert all(("too_small" in row) == (parts[row["present"]] < 20) for row in some[1:])


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_several_outcomes(kind):
    frame = made(120, modalities=("a", "b"))
    rng = np.random.default_rng(0)
    if kind == "multiclass":
        frame["target"] = np.where(frame["target"] == 1, "ill", "well")
        frame = frame.rename(columns={"prob": "prob_ill"}).assign(prob_well=1 - frame["prob"]).drop(columns="oracle")
    else:
        frame["target_x"], frame["prob_x"] = frame["target"], frame["prob"]
        other = dict(zip(frame["sample_id"].unique(), rng.choice([0, 1, np.nan], frame["sample_id"].nunique()), strict=True))
        frame["target_y"], frame["prob_y"] = frame["sample_id"].map(other), rng.random(len(frame))
        frame = frame.drop(columns=["target", "prob", "oracle"])
    found = section(frame)
    assert set(found["shapley"]) == {"a", "b", ""} and found["harm"]["entries"]["net"]["value"] is not None
    assert found["agreement"][0]["entries"]["kappa"]["value"] is not None
    if kind == "multiclass":  # of two classes each against the rest is the binary target
        binary = section(made(120, modalities=("a", "b")))
        assert found["shapley"]["a"]["auroc"]["value"] == pytest.approx(binary["shapley"]["a"]["auroc"]["value"], abs=1e-12)
