"""Facts about the reliability curve: Wilson's intervals, and what rows of the same patient tell."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.calibration import calibration_curve
from statsmodels.stats.proportion import proportion_confint

from mmdx.evaluation.reliability import reliability_curve, wilson

RNG = np.random.default_rng(8)
PROB = expit(RNG.normal(size=450) * 1.5)
TARGET = (RNG.random(450) < PROB).astype(float)


@pytest.mark.parametrize(
    ("events", "n", "low", "high"), [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
)
def test_wilson_is_newcombes_table(events, n, low, high):
    """Newcombe (1998), Stat. Med. 17:857, table I, method 3."""
    assert wilson(events / n, n) == pytest.approx((low, high), abs=5e-5)


def test_points_are_scikit_learns_and_intervals_statsmodels():
    points = reliability_curve(TARGET, PROB, np.arange(450))
    observed, prob = calibration_curve(TARGET, PROB, n_bins=15, strategy="quantile")
    assert [p["observed"] for p in points] == pytest.approx(observed.tolist())
    assert [p["prob"] for p in points] == pytest.approx(prob.tolist())
    for point in points:
        bounds = proportion_confint(round(point["observed"] * point["n"]), point["n"], method="wilson")
        assert (point["low"], point["high"]) == pytest.approx(bounds, abs=1e-9)
        assert point["low"] <= point["observed"] <= point["high"]
        assert point["from"] <= point["prob"] <= point["to"]
    assert sum(p["n"] for p in points) == 450


def test_rows_told_twice_tell_no_more():
    once = reliability_curve(TARGET, PROB, np.arange(450))
    twice = reliability_curve(np.repeat(TARGET, 2), np.repeat(PROB, 2), np.repeat(np.arange(450), 2))
    for one, two in zip(once, twice, strict=True):
        assert two["n"] == 2 * one["n"]
        assert two["n_units"] == one["n_units"]
        assert (two["low"], two["high"]) == pytest.approx((one["low"], one["high"]))


def test_bins_without_events_have_an_interval():
    (point,) = reliability_curve(np.zeros(30), np.full(30, 0.1), np.repeat(np.arange(10), 3))
    assert point["low"] == 0
    assert point["high"] == pytest.approx(wilson(0.0, 10)[1])


def test_intervals_cover_the_truth():
    rng, covered = np.random.default_rng(0), []
    for _ in range(150):
        patient = np.repeat(np.arange(150), 3)
        prob = expit(np.repeat(rng.normal(size=150), 3) + 0.3 * rng.normal(size=450))
        target = rng.random(450) < prob
        covered += [p["low"] <= p["prob"] <= p["high"] for p in reliability_curve(target, prob, patient)]
    assert 0.92 < np.mean(covered) < 0.98
