"""Facts about the decision curve: Vickers and Elkin's formula by hand, a published table, and the limits."""

import numpy as np
import pytest
from made_predictions import made
from scipy.special import expit

from mmdx.errors import InputError
from mmdx.evaluation import score as score_module
from mmdx.evaluation.calibration_section import section
from mmdx.evaluation.decision_curve import THRESHOLDS, NetBenefit, net_benefit
from mmdx.evaluation.intervals import bootstrap


def test_net_benefit_by_hand():
    """100 people, 30 ill; at a threshold of 20 % the model acts on 25 of the ill and 20 of the healthy: 25/100 - 20/100 x 0.2/0.8 = 0.20, and
    acting on all is worth 30/100 - 70/100 x 0.2/0.8 = 0.125 (Vickers and Elkin 2006)."""
    target = np.repeat([1, 0], [30, 70])
    prob = np.concatenate([np.repeat([0.6, 0.1], [25, 5]), np.repeat([0.2, 0.1], [20, 50])])  # the row at 0.2 reaches the threshold
    model, everybody = net_benefit(target, prob, np.array([0.2]))
    assert model[0] == pytest.approx(0.20, abs=1e-12)
    assert everybody[0] == pytest.approx(0.125, abs=1e-12)


def test_acting_on_all_is_a_published_table():
    """PMC6993280, table 4, column "intervention to all patients", at a prevalence of 30 %."""
    thresholds = np.array([0.03, 0.05, 0.08, 0.10, 0.20, 0.30, 0.40, 0.50, 0.60, 0.70, 0.80, 0.90, 0.96])
    expected = [0.278, 0.263, 0.239, 0.222, 0.125, 0.000, -0.167, -0.400, -0.750, -1.333, -2.500, -6.000, -16.50]
    _, everybody = net_benefit(np.repeat([1, 0], [3, 7]), np.full(10, 0.5), thresholds)
    assert everybody == pytest.approx(expected, abs=5e-4)


def test_each_threshold_is_the_formula():
    rng = np.random.default_rng(0)
    prob = rng.random(300).round(2)  # many rows right at a threshold
    target = rng.random(300) < prob
    model, _ = net_benefit(target, prob)
    for t, value in zip(THRESHOLDS, model, strict=True):
        called = prob >= t
        assert value == pytest.approx((target & called).mean() - (~target & called).mean() * t / (1 - t), abs=1e-12)


def test_a_perfect_model_is_worth_the_prevalence_and_a_calibrated_one_no_less_than_the_best_default():
    target = np.repeat([1, 0], [30, 70])
    assert net_benefit(target, target.astype(float))[0] == pytest.approx(np.full(99, 0.3))
    rng = np.random.default_rng(1)
    prob = expit(rng.normal(size=200_000))
    model, everybody = net_benefit(rng.random(200_000) < prob, prob)
    assert (model[:90] >= np.maximum(everybody, 0)[:90] - 0.002).all()


def test_counts_mean_repeated_rows():
    rng = np.random.default_rng(2)
    prob, unit = rng.random(200), rng.integers(0, 40, 200)
    target = (rng.random(200) < prob).astype(float)
    counts = rng.multinomial(40, np.full(40, 1 / 40), size=5).T.astype(float)
    found = NetBenefit(target, prob, unit)(counts)
    for r in range(5):
        rows = np.repeat(np.arange(200), counts[unit, r].astype(int))
        model, _ = net_benefit(target[rows], prob[rows])
        assert [found[f"{t:g}"][r] for t in THRESHOLDS] == pytest.approx(model.tolist(), abs=1e-12)


def test_intervals_cover_the_truth():
    rng = np.random.default_rng(3)
    many = expit(rng.normal(size=400_000) * 1.5)
    truth = {f"{t:g}": np.where(many >= t, many - (1 - many) * t / (1 - t), 0).mean() for t in (0.1, 0.3, 0.6)}
    covered = []
    for seed in range(100):
        prob = expit(rng.normal(size=300) * 1.5)
        found = bootstrap(NetBenefit(rng.random(300) < prob, prob, np.arange(300), np.array([0.1, 0.3, 0.6])), 300, 300, 200, seed)
        covered += [found[name].low <= value <= found[name].high for name, value in truth.items()]
    assert 0.9 < np.mean(covered) < 0.99


def test_the_section_holds_the_curve(monkeypatch):
    monkeypatch.setattr(score_module, "SECTIONS", {"calibration": lambda scored, folder: section(scored)})
    frame = made(n=150)
    curve = score_module.score(frame, resamples=50)["calibration"][""]["decision_curve"]
    rows = frame[(frame["split"] == "test") & (frame["modalities"] == "image+text")]
    model, everybody = net_benefit(rows["target"], rows["prob"])
    assert curve["threshold"] == THRESHOLDS.tolist()
    assert curve["model"] == pytest.approx(model.tolist())
    assert curve["treat_all"] == pytest.approx(everybody.tolist())
    assert curve["treat_none"] == [0.0] * 99
    assert all(low <= value <= high for low, value, high in list(zip(curve["low"], curve["model"], curve["high"], strict=True))[:60])
    assert set(curve["recalibrated"]) == {"temperature", "platt", "isotonic", "beta"}
    assert all(len(values) == 99 for values in curve["recalibrated"].values())


def test_what_is_no_outcome_is_refused():
    with pytest.raises(InputError, match="net_benefit: "):
        net_benefit(np.array([0, 3]), np.array([0.1, 0.2]))
