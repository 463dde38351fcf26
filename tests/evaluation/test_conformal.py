"""Facts about conformal prediction: the same sets as MAPIE, and the coverage that is promised, in each class and group where it is."""

import json

import numpy as np
import pandas as pd
import pytest
from made_predictions import made
from scipy.stats import beta, binom
from sklearn.base import BaseEstimator, ClassifierMixin

from mmdx.evaluation import score as scoring
from mmdx.evaluation.conformal import (
    aps_scores,
    class_conditional_sets,
    enough,
    expected_coverage,
    group_conditional_sets,
    lac_scores,
    quantile,
    split_sets,
)
from mmdx.evaluation.conformal_section import conformal


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities are its inputs."""

    def __init__(self, classes=3):
        self.classes_ = np.arange(classes)
        self.n_features_in_ = classes
        self.is_fitted_ = True

    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        return np.asarray(x)

    def predict(self, x):
        return np.asarray(x).argmax(axis=1)


def cohort(rng, n, classes=3, harder=None, sharpness=1.5, weak_class=False):
    """Targets and probabilities; where ``harder`` they know nothing of the target and are as sure of themselves; a weak class looks like others."""
    target = rng.integers(0, classes, n)
    seen = target if harder is None else np.where(harder, rng.integers(0, classes, n), target)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), seen] += np.where(weak_class & (target == classes - 1), 0.3, 1.0) * sharpness
    prob = np.exp(logits)
    return target, prob / prob.sum(axis=1, keepdims=True)


def own(scores, target):
    return scores[np.arange(len(target)), target]


def mapie_sets(prob, target, test, score, random_state=0, **how):
    from mapie.classification import SplitConformalClassifier

    model = SplitConformalClassifier(Given(prob.shape[1]), confidence_level=0.9, conformity_score=score, prefit=True, random_state=random_state)
    model.conformalize(prob, target)
    quantiles = model._mapie_classifier.conformity_score_function_
    return model.predict_set(test, conformity_score_params=how)[1][:, :, 0], quantiles


@pytest.mark.parametrize("n", [10, 19, 57, 200])
def test_lac_sets_are_those_of_mapie(n):
    rng = np.random.default_rng(n)
    (target, prob), (_, test) = cohort(rng, n), cohort(rng, 300)
    sets, limit = split_sets(own(lac_scores(prob), target), lac_scores(test))
    expected, theirs = mapie_sets(prob, target, test, "lac")
    np.testing.assert_array_equal(sets, expected)
    assert limit == pytest.approx(float(np.ravel(theirs.quantiles_)[0]), abs=1e-6)


@pytest.mark.parametrize(("n", "classes"), [(57, 3), (200, 5)])
def test_adaptive_sets_are_those_of_mapie_with_the_same_draws(n, classes):
    rng = np.random.default_rng(n)
    (target, prob), (_, test) = cohort(rng, n, classes), cohort(rng, 300, classes)
    expected, theirs = mapie_sets(prob, target, test, "aps", random_state=7, include_last_label="randomized")
    draws = [np.random.RandomState(7).uniform(size=len(rows)) for rows in (prob, test)]
    sets, limit = split_sets(own(aps_scores(prob, draws[0]), target), aps_scores(test, draws[1]))
    np.testing.assert_array_equal(sets, expected)
    assert limit == pytest.approx(float(np.ravel(theirs.quantiles_)[0]), abs=1e-6)


def test_adaptive_sets_without_randomness_at_the_end_are_those_of_mapie():
    rng = np.random.default_rng(3)
    (target, prob), (_, test) = cohort(rng, 120, 4), cohort(rng, 300, 4)
    expected, _ = mapie_sets(prob, target, test, "aps", random_state=7, include_last_label=True)
    draw = np.random.RandomState(7).uniform(size=len(prob))
    sets, _ = split_sets(own(aps_scores(prob, draw), target), aps_scores(test, np.ones(len(test))))  # a class is in while those before it fall short
    np.testing.assert_array_equal(sets, expected)


def test_group_conditional_sets_are_those_of_mapie_fitted_in_each_group():
    rng = np.random.default_rng(5)
    (target, prob), (_, test) = cohort(rng, 150), cohort(rng, 300)
    groups = rng.choice(["a", "b", "c"], 150).astype(object), rng.choice(["a", "b", "c"], 300).astype(object)
    sets, _ = group_conditional_sets(own(lac_scores(prob), target), groups[0], lac_scores(test), groups[1])
    for group in "abc":
        then, now = groups[0] == group, groups[1] == group
        np.testing.assert_array_equal(sets[now], mapie_sets(prob[then], target[then], test[now], "lac")[0])


def test_class_conditional_sets_are_those_of_mapie_fitted_in_each_class():
    rng = np.random.default_rng(6)
    (target, prob), (_, test) = cohort(rng, 150), cohort(rng, 300)
    sets, _ = class_conditional_sets(own(lac_scores(prob), target), target, lac_scores(test))
    for k in range(3):
        _, theirs = mapie_sets(prob[target == k], target[target == k], test, "lac")
        np.testing.assert_array_equal(sets[:, k], 1 - test[:, k] <= float(np.ravel(theirs.quantiles_)[0]) + 1e-8)


def test_the_quantile_is_the_finite_sample_one():
    scores = np.random.default_rng(0).permutation(100) / 100
    assert quantile(scores[:99]) == np.sort(scores[:99])[89]  # ceil(100 * 0.9) = 90th smallest
    assert quantile(scores) == np.sort(scores)[90]  # ceil(101 * 0.9) = 91st
    assert enough(9) and not enough(8) and quantile(scores[:8]) == np.inf
    assert enough(19, 0.05) and not enough(18, 0.05)  # 20 * 0.95 is 19 and not a last digit more


def test_adaptive_scores_of_a_worked_row():
    prob = np.array([[0.2, 0.5, 0.3]])
    np.testing.assert_allclose(aps_scores(prob, np.zeros(1)), [[1.0, 0.5, 0.8]])
    np.testing.assert_allclose(aps_scores(prob, np.ones(1)), [[0.8, 0.0, 0.5]])


def test_expected_coverage_is_the_beta_law_of_many_test_rows():
    mean, low, high = expected_coverage(1000, 10**6)  # Angelopoulos and Bates 2023, section 3.2: Beta(n + 1 - l, l), l = floor((n + 1) alpha)
    law = beta(901, 100)
    assert (mean, low, high) == pytest.approx((law.mean(), *law.ppf([0.025, 0.975])), abs=1e-3)
    assert round(low, 2) == 0.88 and round(high, 2) == 0.92  # their example: with n = 1000 the coverage is typically 0.88 to 0.92


@pytest.mark.parametrize("score", ["lac", "aps"])
def test_coverage_over_many_splits_is_the_promised_one(score):
    rng, n, rows, repeats = np.random.default_rng(1), 50, 40, 1500
    covered = 0
    for _ in range(repeats):
        target, prob = cohort(rng, n + rows)
        scores = lac_scores(prob) if score == "lac" else aps_scores(prob, rng.random(n + rows))
        sets, _ = split_sets(own(scores[:n], target[:n]), scores[n:])
        covered += sets[np.arange(rows), target[n:]].sum()
    mean, _, _ = expected_coverage(n, rows)
    share, k = covered / (rows * repeats), 46  # ceil(51 * 0.9)
    variance = mean * (1 - mean) / rows * (n + 1 + rows) / (n + 2)  # beta-binomial of one repeat
    assert mean == k / 51 and abs(share - mean) < 4 * np.sqrt(variance / repeats)


def coverages(method, repeats=300, n=200, rows=200):
    """Mean over many splits of the coverage in an easy and a harder part of the rows: parts are groups, or classes where the method is "class"."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(repeats):
        hard = rng.random(n + rows) < 0.25
        by_class = method.endswith("class")
        target, prob = cohort(rng, n + rows, 3, None if by_class else hard & (rng.random(n + rows) < 0.5), 2.5, by_class)
        hard = target == 2 if by_class else hard
        scores = lac_scores(prob)
        calibration = own(scores[:n], target[:n])
        if method.startswith("split"):
            sets = split_sets(calibration, scores[n:])[0]
        elif by_class:
            sets = class_conditional_sets(calibration, target[:n], scores[n:])[0]
        else:
            sets = group_conditional_sets(calibration, hard[:n], scores[n:], hard[n:])[0]
        hit = sets[np.arange(rows), target[n:]]
        found.append([hit[~hard[n:]].mean(), hit[hard[n:]].mean()])
    return np.mean(found, axis=0), 4 * np.std(found, axis=0).max() / np.sqrt(repeats)


@pytest.mark.parametrize("part", ["group", "class"])
def test_plain_sets_do_not_cover_in_a_harder_group_or_class_and_conditional_ones_do(part):
    plain, error = coverages(f"split_{part}")
    assert plain[1] < 0.9 - 5 * error and plain[0] > 0.9 + error
    conditional, error = coverages(part)
    assert (conditional > 0.9 - error).all() and (conditional < 0.9 + 0.025 + error).all()  # at most 1 / (n + 1) above 0.9, in some 50 rows


def scored(frame):
    """The checked table as a section is given it."""
    return scoring.prepared(frame, resamples=50)[0]


def test_the_section_calibrates_each_model_on_its_own_validation_rows():
    frame = made(n=200, seeds=2, folds=2, sites=2)
    section = conformal(scored(frame))
    listed = section["methods"]["split"]["calibration"]
    assert [(row["seed"], row["fold"]) for row in listed] == [("0", "fold0"), ("0", "fold1"), ("1", "fold0"), ("1", "fold1")]
    for row in listed:
        own_rows = frame.query(f"split == 'val' and seed == {row['seed']} and fold == '{row['fold']}' and modalities == 'image+text'")
        scores = np.where(own_rows["target"] == 1, 1 - own_rows["prob"], own_rows["prob"])
        assert row["n"] == len(scores) and row["quantile"] == pytest.approx(quantile(scores), abs=1e-12)
    test = frame.query("split == 'test' and modalities == 'image+text' and seed == 0")
    limits = test["fold"].map({row["fold"]: row["quantile"] for row in listed if row["seed"] == "0"})
    covered = np.where(test["target"] == 1, 1 - test["prob"], test["prob"]) <= limits
    single = frame[frame["seed"] == 0].drop(columns="seed")
    assert conformal(scored(single))["methods"]["split"]["entries"]["coverage"]["value"] == pytest.approx(covered.mean())
    json.dumps(section, allow_nan=False)


def test_too_few_calibration_rows_are_told():
    frame = made(n=200, sites=2)
    few = frame[(frame["split"] == "test") | frame["sample_id"].isin([f"val-{i}" for i in range(8)])]
    section = conformal(scored(few))
    split = section["methods"]["split"]
    assert section["n_calibration"] == 8 and split["calibration"][0]["quantile"] is None
    assert split["entries"]["coverage"]["value"] == 1 and split["entries"]["mean_size"]["value"] == 2
    assert "fewer than 9 calibration rows" in split["reason"] and "expected_coverage" not in split
    grouped = section["methods"]["group_conditional:meta_site"]
    assert all(group["value"] is None and group["too_small"] for group in grouped["by_group"]["meta_site"].values())
    assert grouped["entries"]["coverage"]["value"] is None and "left out" in grouped["reason"]


def test_without_validation_rows_nothing_is_claimed():
    section = conformal(scored(made(validation=False)))
    assert section["methods"] == {} and "no validation rows" in section["reason"]


def test_a_small_group_is_no_number():
    frame = made(n=200)
    frame["meta_ward"] = np.where(frame["sample_id"].str.endswith("7"), "small", "large")
    frame.loc[frame["sample_id"].str.fullmatch(r"(test|val)-[2-9]\d?7"), "meta_ward"] = None
    section = conformal(scored(frame))
    groups = section["methods"]["split"]["by_group"]["meta_ward"]
    assert groups["small"]["too_small"] and groups["small"]["value"] is None and groups["large"]["value"] is not None


def test_the_coverage_of_labels_is_that_of_each_label():
    rng = np.random.default_rng(0)
    parts = []
    for split in ("val", "test"):
        table = pd.DataFrame({"sample_id": [f"{split}{i}" for i in range(150)], "split": split})
        for label in ("x", "y"):
            target = rng.integers(0, 2, 150).astype(float)
            table[f"prob_{label}"] = 1 / (1 + np.exp(-(2 * target - 1 + rng.normal(size=150))))
            table[f"target_{label}"] = np.where(rng.random(150) < 0.2, np.nan, target)
        parts.append(table)
    section = conformal(scored(pd.concat(parts, ignore_index=True)))
    for label in ("x", "y"):
        entry = section["labels"][label]["methods"]["split"]["entries"]["coverage"]
        assert entry["n"] == parts[1][f"target_{label}"].notna().sum()
        assert binom.ppf(0.0005, entry["n"], 0.85) / entry["n"] < entry["value"] <= 1
