"""Facts about the bootstrap: what it agrees with, what it may not depend on, and how often it is right."""

import numpy as np
import pytest
from scipy import stats

from mmdx.errors import InputError
from mmdx.evaluation import intervals
from mmdx.evaluation.intervals import bootstrap, compare_auroc, interval
from mmdx.evaluation.metrics import BinaryMetrics


def cohort(n=150, seed=0, shift=1.0):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 2, n)
    return target, stats.norm.cdf(rng.normal(size=n) + shift * target)


def of_auroc(target, prob, unit, **options):
    return bootstrap(BinaryMetrics(target, prob, unit, names=("auroc",)), int(unit.max()) + 1, len(unit), **options)["auroc"]


def test_bca_of_a_mean_is_scipys():
    x = np.random.default_rng(1).lognormal(size=60)
    ours = bootstrap(lambda counts: {"mean": x @ counts / counts.sum(axis=0)}, 60, 60, resamples=20_000)["mean"]
    theirs = stats.bootstrap((x,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(2)).confidence_interval
    assert ours.method == "bca" and ours.value == pytest.approx(x.mean())
    assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=0.03 * (theirs.high - theirs.low))


def test_copies_of_a_patients_rows_add_nothing():
    target, prob = cohort()
    n = len(target)
    once = of_auroc(target, prob, np.arange(n))
    copies = np.repeat(np.arange(n), 4)
    clustered = of_auroc(target[copies], prob[copies], copies)
    as_if_independent = of_auroc(target[copies], prob[copies], np.arange(4 * n))
    assert clustered == once
    assert (as_if_independent.high - as_if_independent.low) == pytest.approx((once.high - once.low) / 2, rel=0.15)


def test_the_block_size_changes_nothing(monkeypatch):
    target, prob = cohort()
    statistic = BinaryMetrics(target, prob, np.arange(150), np.full(150, 0.5))
    found = bootstrap(statistic, 150, 150)
    monkeypatch.setattr(intervals, "BLOCK", 150 * 37)
    monkeypatch.setattr(intervals, "KEPT", 0)
    assert bootstrap(statistic, 150, 150) == found


def test_grouped_jackknife_agrees_with_leaving_out_one(monkeypatch):
    target, prob = cohort(1500, shift=2.5)
    grouped = of_auroc(target, prob, np.arange(1500))
    monkeypatch.setattr(intervals, "JACKKNIFE_GROUPS", 1500)
    exact = of_auroc(target, prob, np.arange(1500))
    assert [grouped.low, grouped.high] == pytest.approx([exact.low, exact.high], abs=0.05 * (exact.high - exact.low))


def test_undefined_resamples_are_dropped_and_counted():
    target, prob = np.array([1] + [0] * 30), np.linspace(1, 0, 31) ** 2
    found = of_auroc(target, 1 - prob, np.arange(31))
    assert 0.3 * 1000 < found.dropped < 0.45 * 1000  # (30/31)^31 = 0.362 of the resamples lack the one positive
    assert found.method == "percentile"


def test_no_interval_where_most_resamples_are_undefined():
    draws = np.where(np.arange(100) < 60, np.nan, 0.5)
    found = interval(0.5, draws, np.linspace(0.4, 0.6, 10))
    assert np.isnan(found.low) and found.method == "" and found.dropped == 60


def test_identical_models_differ_by_exactly_nothing():
    target, prob = cohort()
    found = compare_auroc(prob, prob, target, np.arange(150) // 2)
    assert (found["value"], found["low"], found["high"]) == (0.0, 0.0, 0.0)
    assert (found["n"], found["n_units"]) == (150, 75)


def test_order_of_rows_and_names_of_groups_change_no_bit():
    target, prob = cohort()
    other = np.random.default_rng(5).permutation(prob).round(2)
    groups = np.random.default_rng(6).integers(0, 60, 150)
    found = compare_auroc(prob.round(1), other, target, groups)
    order = np.random.default_rng(7).permutation(150)
    names = np.random.default_rng(8).permutation(60)
    renamed = np.array([f"patient {names[g]}" for g in groups[order]])
    assert compare_auroc(prob.round(1)[order], other[order], target[order], renamed) == found


def test_pairing_narrows_the_interval_of_a_difference():
    target, prob = cohort(300)
    near = np.clip(prob + np.random.default_rng(1).normal(scale=0.02, size=300), 0, 1)
    found, alone = compare_auroc(prob, near, target), of_auroc(target, prob, np.arange(300))
    assert found["high"] - found["low"] < 0.3 * (alone.high - alone.low)


def test_refuses_what_cannot_be_compared():
    with pytest.raises(InputError, match=r"\[4, 5, 5, 5\] rows"):
        compare_auroc(np.ones(4), np.ones(5), np.array([0, 1, 0, 1, 1]))
    with pytest.raises(InputError, match="both of them"):
        compare_auroc(np.ones(3), np.ones(3), np.ones(3))
    with pytest.raises(InputError, match="resamples=0"):
        compare_auroc(np.ones(3), np.ones(3), np.array([0, 1, 1]), resamples=0)


@pytest.mark.slow
@pytest.mark.parametrize("rows_of_a_patient", [1, 3])
def test_the_interval_covers_the_true_auroc_95_times_in_100(rows_of_a_patient):
    patients, covered, repetitions = 120, 0, 400
    truth = stats.norm.cdf(1.2 / np.sqrt(2))
    for repetition in range(repetitions):
        rng = np.random.default_rng(repetition)
        target = np.repeat(rng.integers(0, 2, patients), rows_of_a_patient)
        unit = np.repeat(np.arange(patients), rows_of_a_patient)
        noise = np.sqrt(0.8) * rng.normal(size=patients)[unit] + np.sqrt(0.2) * rng.normal(size=len(unit))
        found = of_auroc(target, stats.norm.cdf(noise + 1.2 * target), unit, resamples=400, seed=repetition)
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / repetitions <= 0.98


@pytest.mark.parametrize("many", [10**6, 100])
def test_resamples_can_be_drawn_without_those_before(monkeypatch, many):
    monkeypatch.setattr(intervals, "MANY", many)
    monkeypatch.setattr(intervals, "PART", 64)
    whole = np.concatenate(list(intervals.drawn(300, 0, 40, 0, 7)), axis=1)
    later = np.concatenate(list(intervals.drawn(300, 16, 40, 0, 1)), axis=1)
    assert (whole.sum(axis=0) == 300).all() and whole.var() == pytest.approx(1, abs=0.1)  # multinomial: variance 1 - 1/300
    np.testing.assert_array_equal(whole[:, 16:], later)


def test_several_processes_give_the_same_interval(monkeypatch):
    target, prob = cohort()
    statistic = BinaryMetrics(target, prob, np.arange(150), np.full(150, 0.5))
    alone = bootstrap(statistic, 150, 150, resamples=100)
    monkeypatch.setattr(intervals, "PARALLEL", 1)
    monkeypatch.setattr(intervals, "_processors", lambda: 2)
    assert bootstrap(statistic, 150, 150, resamples=100) == alone


def test_blocks_of_rows_change_nothing_with_ties(monkeypatch):
    target, prob = cohort()
    prob = np.round(prob, 1)
    weights = np.random.default_rng(0).integers(0, 3, (150, 5)).astype(float)
    whole = BinaryMetrics(target, prob, np.arange(150), np.full(150, 0.5))(weights)
    monkeypatch.setattr("mmdx.evaluation.metrics.BLOCK", 16)
    blocks = BinaryMetrics(target, prob, np.arange(150), np.full(150, 0.5))(weights)
    for name, values in whole.items():
        np.testing.assert_allclose(blocks[name], values, rtol=1e-12)
