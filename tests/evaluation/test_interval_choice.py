"""Which interval a metric gets, and what its variance agrees with."""

import numpy as np
import pandas as pd
import pytest
from made_predictions import made
from scipy import stats

from mmdx.evaluation.delong import auroc_limits, auroc_linear, delong_test
from mmdx.evaluation.interval_choice import bootstrap_test, intervals_of, linear_of, logit_bootstrap, normal_bootstrap
from mmdx.evaluation.intervals import replicates
from mmdx.evaluation.metrics import BinaryMetrics
from mmdx.evaluation.panels import Difference, Mean, MulticlassMetrics, MultilabelMetrics
from mmdx.evaluation.score import score


def rows(n=400, patients=150, seed=0, seeds=1):
    """Target, a probability for each seed, and the patient of each row."""
    rng = np.random.default_rng(seed)
    unit = np.concatenate([np.arange(patients), rng.integers(0, patients, n - patients)])
    target = (rng.normal(size=patients)[unit] + rng.normal(size=n) > 0.4).astype(float)
    shared = rng.normal(size=patients)[unit] + rng.normal(size=n)
    return target, [stats.norm.cdf(1.5 * target + shared + rng.normal(size=n) - 0.7) for _ in range(seeds)], unit


def test_every_metric_says_which_interval_it_has():
    found = score(made(sites=2, absent=0.2), resamples=50)
    methods = {name: entry["method"] for name, entry in found["test"]["image+text"].items()}
    assert methods == {
        "auroc": "delong", "auprc": "logit bootstrap", "sensitivity_at_90_specificity": "bca", "balanced_accuracy": "hybrid",
        "sensitivity": "wilson", "specificity": "wilson", "brier": "ratio", "auroc_within_site": "delong",
    }  # fmt: skip
    difference = found["differences"]["offered"]["text"]
    assert [difference[name]["method"] for name in ("auroc", "auprc", "brier")] == ["delong", "normal bootstrap", "ratio"]


def test_the_auroc_and_the_sensitivity_are_those_of_the_rows():
    frame = made(patients=False)
    own = frame[(frame["modalities"] == "image") & (frame["split"] == "test")].sort_values("sample_id")
    found = score(frame, resamples=20)
    entry, threshold = found["test"]["image"], found["threshold"]["offered"]["image"][0]["threshold"]
    positive, n = own["target"].to_numpy() == 1, len(own)
    expected = auroc_limits(auroc_linear(positive, own["prob"].to_numpy(), np.arange(n), n))
    assert (entry["auroc"]["low"], entry["auroc"]["high"]) == pytest.approx(expected, abs=1e-12)
    hits = int((own["prob"].to_numpy()[positive] >= threshold).sum())
    theirs = stats.binomtest(hits, int(positive.sum())).proportion_ci(method="wilson")
    assert (entry["sensitivity"]["low"], entry["sensitivity"]["high"]) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_the_difference_of_aurocs_has_the_interval_of_delongs_test():
    target, (one, two), unit = rows(seeds=2)
    pair = Difference(*(BinaryMetrics(target, prob, unit, names=("auroc",)) for prob in (one, two)), ("auroc",))
    found, expected = intervals_of(pair, 150, 400)["auroc"], delong_test(one, two, target, unit)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("name", ["auroc", "sensitivity", "specificity", "balanced_accuracy", "brier"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_the_variance_is_that_of_the_bootstrap(name, seeds):
    target, probs, unit = rows(seeds=seeds)
    statistic = Mean([BinaryMetrics(target, prob, unit, np.full(400, 0.5), (name,)) for prob in probs])
    draws, _ = replicates(statistic, 150, 400, 4000, 0)
    estimate = linear_of(statistic, name, 150)
    assert estimate.value == pytest.approx(float(statistic(np.ones((150, 1)))[name][0]), abs=1e-12)
    assert np.sqrt(estimate.variance) == pytest.approx(draws[name].std(), rel=0.05)


@pytest.mark.parametrize("name", ["auroc", "accuracy", "balanced_accuracy", "brier"])
def test_of_several_classes_it_is_that_of_the_bootstrap_too(name):
    rng = np.random.default_rng(0)
    _, _, unit = rows()
    target = (unit + rng.integers(0, 2, 400)) % 3
    prob = 0.5 * rng.dirichlet(np.ones(3), 400) + 0.5 * rng.dirichlet(np.ones(3), 150)[unit] * 0.6 + 0.2 * np.eye(3)[target]
    statistic = MulticlassMetrics(target, prob / prob.sum(axis=1, keepdims=True), unit)
    draws, _ = replicates(statistic, 150, 400, 4000, 0)
    assert np.sqrt(linear_of(statistic, name, 150).variance) == pytest.approx(draws[name].std(), rel=0.05)
    methods = {"auroc": "delong", "accuracy": "wilson", "balanced_accuracy": "hybrid"}
    assert intervals_of(statistic, 150, 400, 50)[name].method == methods.get(name, "ratio")


@pytest.mark.parametrize("name", ["auroc", "sensitivity", "auroc_a", "sensitivity_b", "brier_b"])
def test_of_several_labels_it_is_that_of_the_bootstrap_too(name):
    target, probs, unit = rows(seeds=2)
    other = np.where(np.random.default_rng(1).random(400) < 0.3, np.nan, target[::-1])
    both = np.stack([target, other], axis=1)
    statistic = MultilabelMetrics(both, np.stack([probs[0], probs[1][::-1]], axis=1), unit, np.full((400, 2), 0.5), ["a", "b"])
    draws, _ = replicates(statistic, 150, 400, 4000, 0)
    assert np.sqrt(linear_of(statistic, name, 150).variance) == pytest.approx(draws[name].std(), rel=0.06)
    expected = {"auroc": "delong", "auroc_a": "delong", "sensitivity_b": "wilson"}.get(name, "ratio")
    assert intervals_of(statistic, 150, 400, 50)[name].method == expected


def test_sites_keep_their_own_degrees_of_freedom():
    target, (prob,), unit = rows(n=150)
    sites = [np.flatnonzero(unit % 5 == site) for site in range(5)]
    within = Mean([BinaryMetrics(target[s], prob[s], unit[s], names=("auroc",)) for s in sites])
    alone = [linear_of(part, "auroc", 150).variance for part in within.parts]
    assert linear_of(within, "auroc", 150).variance == pytest.approx(sum(alone) / 25)


def test_seeds_that_agree_are_worth_one():
    target, (prob,), unit = rows()
    one = BinaryMetrics(target, prob, unit, np.full(400, 0.5))
    found, three = (intervals_of(statistic, 150, 400, 50) for statistic in (one, Mean([one] * 3)))
    for name, interval in found.items():
        assert (three[name].low, three[name].high) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_intervals_from_the_middle_of_the_resamples():
    draws = stats.norm.ppf((np.arange(1000) + 0.5) / 1000) * 0.02 + 0.1
    found = normal_bootstrap(0.1, draws, 31)
    half = stats.t.ppf(0.975, 30) * 0.02
    assert (found.low, found.high) == pytest.approx((0.1 - half, 0.1 + half), rel=1e-3)
    assert bootstrap_test(0.1, draws, 31) == pytest.approx(2 * stats.t.sf(0.1 / 0.02, 30), rel=0.02)
    logit = logit_bootstrap(0.8, 1 / (1 + np.exp(-(draws - 0.1 + np.log(4)))), 31)
    assert (logit.low, logit.high) == pytest.approx([1 / (1 + np.exp(-(np.log(4) + sign * half))) for sign in (-1, 1)], rel=1e-3)


def test_a_test_and_its_interval_agree():
    draws = np.random.default_rng(0).normal(0.04, 0.02, 1000)
    for value in np.linspace(-0.06, 0.06, 25):
        found = normal_bootstrap(value, draws, 40)
        assert (bootstrap_test(value, draws, 40) < 0.05) == (not found.low <= 0 <= found.high)
    assert bootstrap_test(0.0, np.zeros(100), 40) == 1.0


def test_a_class_in_one_patient_falls_back_to_resamples():
    frame = pd.DataFrame({"sample_id": range(30), "target": [1] + [0] * 29, "prob": np.linspace(0.4, 0.6, 30)[::-1] ** 2})
    frame.loc[0, "prob"] = 0.25
    entry = score(frame, resamples=200)["test"]["all"]["auroc"]
    assert entry["method"] == "percentile" and entry["dropped"] > 0


@pytest.mark.parametrize(("positives", "sensitivity"), [(10, 0.9), (20, 0.95), (5, 0.8)])
def test_the_balanced_accuracy_of_a_rare_class_is_held_where_all_of_it_is_found(positives, sensitivity):
    """Where every positive is found their variance is 0, and DeLong's interval is that of the negatives alone; it held the truth in 64 %."""
    rng, held = np.random.default_rng(0), 0
    target = np.r_[np.ones(positives), np.zeros(990)]
    for _ in range(400):
        called = np.r_[rng.random(positives) < sensitivity, rng.random(990) >= 0.9].astype(float)
        statistic = BinaryMetrics(target, 0.1 + 0.8 * called, np.arange(len(target)), np.full(len(target), 0.5), ("balanced_accuracy",))
        found = intervals_of(statistic, len(target), len(target))["balanced_accuracy"]
        held += found.low <= (sensitivity + 0.9) / 2 <= found.high
    assert held / 400 > 0.92


def test_a_mean_over_sites_is_no_surer_than_its_parts_where_one_is_1():
    frame = made(n=200, sites=2, patients=False)
    site = frame["meta_site"].unique()[0]
    frame.loc[frame["meta_site"] == site, "prob"] = 0.2 + 0.6 * frame.loc[frame["meta_site"] == site, "target"]
    found = score(frame, resamples=20)["test"]["image"]["auroc_within_site"]
    ones = frame[(frame["meta_site"] == site) & (frame["split"] == "test") & (frame["modalities"] == "image")]
    pairs = min((ones["target"] == k).sum() for k in (0, 1))
    assert found["method"] == "hybrid" and found["high"] <= 1
    assert found["low"] <= found["value"] - (1 - 0.025 ** (1 / pairs)) / 2 + 1e-12
