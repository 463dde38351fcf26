"""Facts about risk-coverage metrics: closed forms of the best and of a random order, a direct loop, scikit-learn, TorchUncertainty."""

from itertools import permutations
from math import log

import numpy as np
import pandas as pd
import pytest
from made_predictions import made
from sklearn.metrics import auc, roc_auc_score

from mmdx.evaluation import score as scoring
from mmdx.evaluation.abstention_section import selective
from mmdx.evaluation.selective import SelectiveMetrics, answers, best_aurc, selective_metrics


def loop(error, uncertainty):
    """AURC as it is defined: each row's own threshold, the risk of what is at least as sure."""
    return np.mean([error[uncertainty <= limit].mean() for limit in uncertainty])


def drawn(n=200, levels=None, seed=0):
    rng = np.random.default_rng(seed)
    uncertainty = rng.normal(size=n) if levels is None else rng.integers(0, levels, n).astype(float)
    return (rng.random(n) < 1 / (1 + np.exp(1 - uncertainty))).astype(float), uncertainty


@pytest.mark.parametrize("levels", [None, 7, 1])
def test_aurc_is_the_direct_loop_with_and_without_ties(levels):
    error, uncertainty = drawn(levels=levels)
    assert selective_metrics(error, uncertainty)["aurc"] == pytest.approx(loop(error, uncertainty), abs=1e-12)


def test_the_best_order_has_the_closed_form_and_no_excess():
    error = np.array([0] * 60 + [1] * 40)
    found = selective_metrics(error, np.arange(100.0))
    exact = sum(j / (60 + j) for j in range(1, 41)) / 100
    assert found["aurc"] == pytest.approx(exact, abs=1e-12) and found["excess_aurc"] == pytest.approx(0, abs=1e-12)
    assert found["error_auroc"] == 1 and found["augrc"] == pytest.approx(0.4**2 / 2)  # Traub et al. 2024: half the squared error rate
    many = best_aurc(np.array([4e6]), np.array([6e6]))[0]
    assert many == pytest.approx(0.4 + 0.6 * log(0.6), abs=1e-6)  # Geifman et al. 2019: r + (1 - r) ln(1 - r) in the limit


def test_a_random_order_has_the_risk_itself_on_average():
    error = np.array([0, 1, 0, 0, 1.0])
    values = [selective_metrics(error[list(order)], np.arange(5.0)) for order in permutations(range(5))]
    assert np.mean([v["aurc"] for v in values]) == pytest.approx(0.4) and np.mean([v["error_auroc"] for v in values]) == pytest.approx(0.5)
    assert np.mean([v["augrc"] for v in values]) == pytest.approx(0.4 / 2)
    tied = selective_metrics(error, np.zeros(5))
    assert tied["aurc"] == pytest.approx(0.4) and tied["error_auroc"] == 0.5 and tied["augrc"] == pytest.approx(0.2)


@pytest.mark.parametrize("levels", [None, 7])
def test_error_auroc_and_augrc_are_those_of_scikit_learn(levels):
    error, uncertainty = drawn(levels=levels)
    found = selective_metrics(error, uncertainty)
    assert found["error_auroc"] == pytest.approx(roc_auc_score(error, uncertainty), abs=1e-12)
    limits = np.unique(uncertainty)
    coverage = [0.0, *((uncertainty <= limit).mean() for limit in limits)]
    generalised = [0.0, *((error * (uncertainty <= limit)).mean() for limit in limits)]
    assert found["augrc"] == pytest.approx(auc(coverage, generalised), abs=1e-12)
    rate = error.mean()
    assert found["augrc"] == pytest.approx((1 - found["error_auroc"]) * rate * (1 - rate) + rate**2 / 2, abs=1e-12)  # Traub et al. 2024


def test_reference_values_of_torch_uncertainty():
    """torch-uncertainty 0.13.0, AURC and AUGRC of these ten rows: 0.187301591 and 0.133333340, by the trapezoid from 1/n to 1 over (1 - 1/n)."""
    prob = np.array([0.95, 0.9, 0.15, 0.8, 0.3, 0.7, 0.35, 0.6, 0.55, 0.48])
    target = np.array([1, 1, 0, 0, 0, 1, 1, 1, 0, 1])
    error, uncertainty = answers(pd.DataFrame({"target": target, "prob": prob, "threshold": 0.5}), [])
    found = selective_metrics(error, uncertainty)
    first, last, n = 0.0, found["risk"], 10
    assert found["aurc"] == pytest.approx(0.187301591 * (1 - 1 / n) + (first + last) / (2 * n), abs=1e-7)
    assert found["augrc"] == pytest.approx(0.133333340 * (1 - 1 / n), abs=1e-7)


def test_rows_that_count_twice_are_rows_that_stand_there_twice():
    error, uncertainty = drawn(60)
    counts = np.random.default_rng(1).integers(0, 4, (60, 5)).astype(float)
    values = SelectiveMetrics(error, uncertainty, np.arange(60), np.array([0.1, 0.55, 1.0]))(counts)
    for r in range(5):
        rows = np.repeat(np.arange(60), counts[:, r].astype(int))
        again = SelectiveMetrics(error[rows], uncertainty[rows], np.arange(len(rows)), np.array([0.1, 0.55, 1.0]))(np.ones((len(rows), 1)))
        for name, value in again.items():
            assert values[name][r] == pytest.approx(value[0], abs=1e-12), name


def test_risk_at_80_coverage_answers_at_least_that_share_and_ties_together():
    error = np.array([0, 0, 0, 1, 0, 0, 1, 1, 1, 1.0])
    assert selective_metrics(error, np.arange(10.0))["risk_at_80_coverage"] == pytest.approx(3 / 8)
    assert selective_metrics(error, np.array([0, 1, 2, 3, 4, 5, 6, 7, 7, 9.0]))["risk_at_80_coverage"] == pytest.approx(4 / 9)


def test_the_order_is_that_of_the_distance_from_the_decision_threshold():
    rows = pd.DataFrame({"target": [1, 0, 0, 1], "prob": [0.11, 0.01, 0.6, 0.2], "threshold": 0.1})
    error, uncertainty = answers(rows, [])
    assert error.tolist() == [False, False, True, False] and np.argsort(uncertainty).tolist() == [2, 1, 3, 0]
    half = rows.assign(threshold=0.5, prob=[0.9, 0.2, 0.45, 0.6])
    order = np.argsort(answers(half, [])[1]).tolist()
    assert order == np.argsort(-np.maximum(half["prob"], 1 - half["prob"])).tolist()  # the highest probability where the threshold is 0.5
    certain = answers(rows.assign(prob=[1.0, 0.0, 0.5, 0.1], threshold=1.0), [])[1]
    assert not np.isnan(certain).any()


def scored(frame):
    return scoring.prepared(frame, resamples=100)[0]


def test_the_section_is_the_metrics_of_the_decisions_and_a_curve_that_ends_at_the_risk():
    frame = made(n=150)
    table = scored(frame)
    section = selective(table)
    rows = table.rows()
    expected = selective_metrics(*answers(rows, []))
    for name, entry in section["entries"].items():
        assert entry["value"] == pytest.approx(expected[name], abs=1e-12) and entry["low"] <= entry["value"] <= entry["high"]
    curve = pd.DataFrame(section["risk_coverage"])
    assert len(curve) <= 101 and curve["coverage"].is_monotonic_increasing and curve["coverage"].iloc[-1] == 1
    assert curve["risk"].iloc[-1] == section["entries"]["risk"]["value"] and (curve["n"] == (curve["coverage"] * 150).round()).all()
    error, uncertainty = answers(rows, [])
    ranked = error[np.argsort(uncertainty, kind="stable")]
    np.testing.assert_allclose(curve["risk"], [ranked[:n].mean() for n in curve["n"]])
    known = curve.dropna()
    assert len(known) and (known["low"] <= known["high"]).all()


def test_a_model_without_errors_says_so():
    frame = made(n=60)
    frame["prob"] = 0.1 + 0.8 * frame["target"]
    entry = selective(scored(frame))["entries"]["error_auroc"]
    assert entry["value"] is None and entry["reason"] == "no answer is wrong"
