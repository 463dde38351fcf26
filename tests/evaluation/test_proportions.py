"""Intervals of proportions: published values, scipy's and statsmodels', and what clustering must and must not do."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint, proportions_ztest

from mmdx.evaluation.fairness import rates
from mmdx.evaluation.linear import Linear, covariance, ratio
from mmdx.evaluation.proportions import effective_rows, proportion_limits, wilson

SINGLE = [  # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718),
]  # fmt: skip
PAIRS = [  # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10
    (56, 70, 48, 80, 0.0524, 0.3339), (9, 10, 3, 10, 0.1705, 0.8090), (6, 7, 2, 7, 0.0582, 0.8062), (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775), (0, 10, 0, 10, -0.2775, 0.2775), (10, 10, 0, 20, 0.6791, 1.0), (10, 10, 0, 10, 0.6075, 1.0),
]  # fmt: skip


def apart(hits, rows, before=0, after=0):
    """A proportion of rows that are a unit each, among units of which some have no such rows."""
    found = np.pad(np.arange(rows) < hits, (before, after))
    return ratio(found.astype(float), np.pad(np.ones(rows), (before, after)))


def gap_of(a, m, b, n):
    """Proportions of two groups of rows that are a unit each."""
    hits = np.stack([np.pad(np.arange(m) < a, (0, n)), np.pad(np.arange(n) < b, (m, 0))], axis=1).astype(float)
    rows = np.stack([np.pad(np.ones(m), (0, n)), np.pad(np.ones(n), (m, 0))], axis=1)
    return rates([(hits, rows)])


def clustered(seed=0, units=40, both=False):
    """Outcomes of rows in units that share a tendency, with a group of each row."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(units), rng.integers(1, 6, units))
    group = rng.integers(0, 2, len(unit)) if both else rng.integers(0, 2, units)[unit]
    return unit, (rng.normal(size=units)[unit] + rng.normal(size=len(unit)) > -0.5).astype(float), group


def of(unit, outcome, rows):
    units = unit.max() + 1
    return ratio(np.bincount(unit, weights=outcome * rows, minlength=units), np.bincount(unit, weights=rows, minlength=units))


@pytest.mark.parametrize("hits, rows, low, high", SINGLE)
def test_wilson_as_published(hits, rows, low, high):
    assert wilson(hits / rows, rows) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("hits, rows", [(0, 7), (7, 7), (3, 20), (81, 263), (1, 2)])
def test_of_rows_apart_it_is_scipys_and_statsmodels_wilson(hits, rows):
    found = proportion_limits(apart(hits, rows))
    theirs = stats.binomtest(hits, rows).proportion_ci(method="wilson")
    assert found == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert found == pytest.approx(proportion_confint(hits, rows, method="wilson"), abs=1e-9)


@pytest.mark.parametrize("a, m, b, n, low, high", PAIRS)
def test_newcombes_difference_as_published(a, m, b, n, low, high):
    assert gap_of(a, m, b, n).difference(0, 1) == pytest.approx((a / m - b / n, low, high), abs=5e-5)


@pytest.mark.parametrize("a, m, b, n", [(56, 70, 48, 80), (9, 10, 3, 10), (5, 56, 1, 29), (120, 300, 90, 280)])
def test_of_rows_apart_the_difference_is_that_of_statsmodels(a, m, b, n):
    found = gap_of(a, m, b, n)
    assert found.difference(0, 1)[1:] == pytest.approx(confint_proportions_2indep(a, m, b, n, method="newcomb", compare="diff"), abs=1e-9)
    assert found.p_value() == pytest.approx(proportions_ztest([a, b], [m, n])[1], abs=1e-9)


def test_the_variance_of_clustered_rows_is_the_cluster_robust_one():
    unit, outcome, _ = clustered()
    found = of(unit, outcome, np.ones(len(unit)))
    fit = sm.OLS(outcome, np.ones(len(unit))).fit(cov_type="cluster", cov_kwds={"groups": unit})
    assert (found.value, found.variance) == pytest.approx((fit.params[0], fit.cov_params()[0, 0]), abs=1e-12)


def test_the_covariance_of_groups_is_the_cluster_robust_one():
    unit, outcome, group = clustered(both=True)
    first, second = (of(unit, outcome, (group == g).astype(float)) for g in (0, 1))
    fit = sm.OLS(outcome, np.stack([group == 0, group == 1], axis=1).astype(float)).fit(cov_type="cluster", cov_kwds={"groups": unit})
    either = first.inside.any(axis=0) | second.inside.any(axis=0)
    assert covariance(first, second) == pytest.approx(fit.cov_params()[0, 1] * (len(unit) - 2) / (len(unit) - 1), abs=1e-12) and either.all()


def test_copies_of_a_patients_rows_are_worth_no_more_than_the_patients():
    outcome = np.random.default_rng(0).random(60) < 0.7
    once, fourfold = (of(np.repeat(np.arange(60), k), np.repeat(outcome, k).astype(float), np.ones(60 * k)) for k in (1, 4))
    assert effective_rows(once) == pytest.approx(60)
    assert 57 < effective_rows(fourfold) < 60


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_where_all_rows_are_alike_each_patient_counts_once(outcome):
    unit = np.repeat(np.arange(12), 3)
    assert proportion_limits(of(unit, np.full(36, outcome), np.ones(36))) == pytest.approx(wilson(outcome, 12))


def test_clustered_rows_are_never_worth_more_than_independent_ones():
    unit = np.repeat(np.arange(20), 2)
    assert effective_rows(of(unit, np.tile([0.0, 1.0], 20), np.ones(40))) <= 40  # each patient has one of either: less spread than by chance


def test_a_proportion_of_one_row_on_average_over_seeds_has_an_interval():
    """Two seeds accept one row each, of two patients, and one of them is wrong: each patient counts once."""
    half = Linear(0.5, np.array([[0.25, -0.25]]), np.ones((1, 2), bool), rows=1)
    assert effective_rows(half) == 2
    low, high = proportion_limits(half)
    assert 0 < low < 0.5 < high < 1
