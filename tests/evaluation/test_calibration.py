"""Facts about the calibration statistics: reference values, exact sums, and what they come to where the truth is known."""

import numpy as np
import pytest
import statsmodels.api as sm
from made_predictions import made
from scipy.special import expit, logit
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from mmdx.errors import InputError
from mmdx.evaluation import score as score_module
from mmdx.evaluation.calibration import (
    BINS,
    CalibrationMetrics,
    TopLabelMetrics,
    bin_of,
    calibration_metrics,
    ece_of_calibrated,
    equal_mass_edges,
)
from mmdx.evaluation.calibration_section import section
from mmdx.evaluation.intervals import bootstrap
from mmdx.evaluation.recalibration import BINARY_METHODS, CLASS_METHODS, Recalibration

RNG = np.random.default_rng(5)
N = 300
LOGIT = RNG.normal(size=N) * 1.5
PROB = expit(LOGIT)
TARGET = (RNG.random(N) < expit(0.6 * LOGIT - 0.4)).astype(float)


def one(statistic, units):
    return {name: float(values[0]) for name, values in statistic(np.ones((units, 1))).items()}


def errors(target, prob):
    """ECE and the signed square of the debiased one."""
    found = one(CalibrationMetrics(target, prob, np.arange(len(prob)), ("ece", "ece_debiased")), len(prob))
    return found["ece"], np.sign(found["ece_debiased"]) * found["ece_debiased"] ** 2


def test_ece_is_the_value_in_torchmetrics_documentation():
    prob, target = [0.25, 0.25, 0.55, 0.75, 0.75], [0, 0, 1, 1, 1]
    found = calibration_metrics(target, prob, edges=[0.5])
    assert found["ece"] == pytest.approx(0.2900, abs=5e-5)
    assert np.sqrt(found["brier_reliability"]) == pytest.approx(0.2918, abs=5e-5)  # there norm="l2"


def test_ece_of_equal_widths_is_that_of_scikit_learns_curve():
    observed, prob = calibration_curve(TARGET, PROB, n_bins=15, strategy="uniform")
    rows = np.histogram(PROB, np.linspace(0, 1, 16))[0]
    expected = (rows[rows > 0] * np.abs(prob - observed)).sum() / N
    assert calibration_metrics(TARGET, PROB, edges=np.arange(1, 15) / 15)["ece"] == pytest.approx(expected, abs=1e-12)


def test_ece_debiased_is_kumars_formula_where_each_bin_has_one_probability():
    prob, target = np.repeat([0.2, 0.6, 0.9], [20, 30, 10]), np.concatenate([np.arange(20) < 9, np.arange(30) < 14, np.arange(10) < 10])
    squared = sum(n / 60 * ((p - k / n) ** 2 - (k / n) * (1 - k / n) / (n - 1)) for p, k, n in [(0.2, 9, 20), (0.6, 14, 30), (0.9, 10, 10)])
    found = calibration_metrics(target, prob)
    assert found["ece_debiased"] == pytest.approx(np.sqrt(squared), abs=1e-12)
    assert found["ece"] == pytest.approx((20 * 0.25 + 30 * (0.6 - 14 / 30) + 10 * 0.1) / 60, abs=1e-12)


def test_ece_debiased_takes_no_pair_within_a_unit():
    unit = np.repeat(np.arange(N // 3), 3)
    excess, place = PROB - TARGET, bin_of(PROB, equal_mass_edges(PROB))
    squared = 0.0
    for b in range(BINS):
        rows = np.flatnonzero(place == b)
        pairs = [excess[i] * excess[j] for i in rows for j in rows if unit[i] != unit[j]]
        squared += len(rows) / N * np.mean(pairs)
    found = one(CalibrationMetrics(TARGET, PROB, unit, ("ece_debiased",)), N // 3)["ece_debiased"]
    assert np.sign(found) * found**2 == pytest.approx(squared, abs=1e-12)


def test_right_probabilities_have_a_debiased_error_of_zero_in_the_mean_and_ece_has_not():
    rng = np.random.default_rng(0)
    squared, plain, expected = [], [], []
    for _ in range(300):
        prob = expit(rng.normal(size=400) * 1.5)
        found = errors(rng.random(400) < prob, prob)
        plain.append(found[0])
        squared.append(found[1])
        expected.append(ece_of_calibrated(prob))
    assert abs(np.mean(squared)) < 3 * np.std(squared) / np.sqrt(300)
    assert abs(np.mean(np.sign(squared) * np.sqrt(np.abs(squared)))) < 0.01
    assert np.mean(plain) > 0.05
    assert np.mean(plain) == pytest.approx(np.mean(expected), rel=0.05)


def test_a_known_miscalibration_is_found_without_bias():
    rng = np.random.default_rng(1)
    many = expit(rng.normal(size=50_000) * 1.5)
    error = []
    for _ in range(200):
        prob = expit(rng.normal(size=400) * 1.5)
        place = np.searchsorted(equal_mass_edges(prob), many, side="right")
        rows = np.bincount(place)
        truth = (rows / len(many) * (np.bincount(place, weights=many - expit(logit(many) / 2)) / rows) ** 2).sum()
        error.append(errors(rng.random(400) < expit(logit(prob) / 2), prob)[1] - truth)
    assert abs(np.mean(error)) < 3 * np.std(error) / np.sqrt(200)


def coverage(temperature, repeats=100, n=400):
    rng = np.random.default_rng(2)
    many = expit(rng.normal(size=50_000) * 1.5)
    covered = []
    for seed in range(repeats):
        prob = expit(rng.normal(size=n) * 1.5)
        place = np.searchsorted(equal_mass_edges(prob), many, side="right")
        rows = np.bincount(place)
        truth = np.sqrt((rows / len(many) * (np.bincount(place, weights=many - expit(logit(many) / temperature)) / rows) ** 2).sum())
        statistic = CalibrationMetrics(rng.random(n) < expit(logit(prob) / temperature), prob, np.arange(n), ("ece_debiased",))
        found = bootstrap(statistic, n, n, 200, seed)["ece_debiased"]
        covered.append(found.low <= truth <= found.high)
    return np.mean(covered)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_interval_of_the_debiased_error_covers_the_truth(temperature):
    assert coverage(temperature) >= 0.92


def test_the_plain_error_has_no_interval_as_it_would_miss_the_truth():
    rng = np.random.default_rng(4)
    for seed in range(10):
        prob = expit(rng.normal(size=400) * 1.5)  # right, so that the error is 0
        found = bootstrap(CalibrationMetrics(rng.random(400) < prob, prob, np.arange(400), ("ece", "ece_debiased")), 400, 400, 200, seed)
        assert found["ece"].low > 0
        assert found["ece_debiased"].low < 0


@pytest.mark.parametrize("edges", [None, [0.25, 0.5, 0.75]], ids=["equal mass", "given"])
def test_the_brier_score_is_the_sum_of_its_parts(edges):
    found = calibration_metrics(TARGET, PROB, edges=edges)
    total = found["brier_reliability"] - found["brier_resolution"] + found["brier_uncertainty"]
    assert found["brier"] == pytest.approx(total, abs=1e-12)
    assert found["brier"] == pytest.approx(reference.brier_score_loss(TARGET, PROB), abs=1e-12)
    place, rate = bin_of(PROB, equal_mass_edges(PROB) if edges is None else np.array(edges)), TARGET.mean()
    reliability = resolution = variance = covariance = 0.0
    for b in range(place.max() + 1):  # Stephenson et al. (2008), their definitions term by term
        p, o = PROB[place == b], TARGET[place == b]
        reliability += len(p) / N * (p.mean() - o.mean()) ** 2
        resolution += len(p) / N * (o.mean() - rate) ** 2
        variance += ((p - p.mean()) ** 2).sum() / N
        covariance += 2 * ((p - p.mean()) * (o - o.mean())).sum() / N
    assert found["brier_reliability"] == pytest.approx(reliability, abs=1e-12)
    assert found["brier_within_bins"] == pytest.approx(variance - covariance, abs=1e-12)
    assert found["brier_resolution"] == pytest.approx(resolution - variance + covariance, abs=1e-12)


def test_murphys_decomposition_by_hand():
    prob, target = np.repeat([0.1, 0.5, 0.9], [10, 10, 10]), np.concatenate([np.arange(10) < k for k in (2, 5, 8)])
    found = calibration_metrics(target, prob)
    assert found["brier_reliability"] == pytest.approx(2 / 3 * 0.1**2)
    assert found["brier_resolution"] == pytest.approx(2 / 3 * 0.3**2)
    assert found["brier_uncertainty"] == pytest.approx(0.25)
    assert found["brier_within_bins"] == pytest.approx(0, abs=1e-12)


def test_log_loss_is_scikit_learns_and_finite_at_the_ends():
    assert calibration_metrics(TARGET, PROB)["log_loss"] == pytest.approx(reference.log_loss(TARGET, PROB), abs=1e-12)
    assert calibration_metrics([1, 0], [0.0, 1.0])["log_loss"] == pytest.approx(-np.log(1e-7))


@pytest.mark.parametrize("weights", [None, RNG.integers(0, 4, N).astype(float)], ids=["plain", "weighted"])
def test_slope_and_intercepts_are_those_of_statsmodels(weights):
    family = sm.families.Binomial()
    both = sm.GLM(TARGET, sm.add_constant(LOGIT), family=family, freq_weights=weights).fit(tol=1e-12)
    alone = sm.GLM(TARGET, np.ones(N), offset=LOGIT, family=family, freq_weights=weights).fit(tol=1e-12)
    found = calibration_metrics(TARGET, PROB, weights)
    assert found["intercept_joint"] == pytest.approx(both.params[0], abs=1e-6)
    assert found["slope"] == pytest.approx(both.params[1], abs=1e-6)
    assert found["intercept"] == pytest.approx(alone.params[0], abs=1e-6)


def test_a_model_twice_as_sure_as_right_has_slope_one_half():
    rng = np.random.default_rng(3)
    z = rng.normal(size=50_000)
    found = calibration_metrics(rng.random(50_000) < expit(z / 2 + 0.3), expit(z))
    assert found["slope"] == pytest.approx(0.5, abs=0.04)
    assert found["intercept_joint"] == pytest.approx(0.3, abs=0.04)


def test_no_slope_where_no_line_is_best():
    separated = calibration_metrics([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9])
    assert separated["slope"] is None
    assert separated["intercept_joint"] is None
    assert separated["intercept"] is not None
    assert calibration_metrics([0, 1, 0, 1], [0.3] * 4)["slope"] is None
    assert calibration_metrics([1, 1, 1], [0.3, 0.5, 0.6])["intercept"] is None
    extreme = calibration_metrics([1, 0, 1, 0, 1], [0.0, 0.0, 1.0, 1.0, 1.0])  # kept off 0 and 1, so that a line exists
    assert np.isfinite([extreme["slope"], extreme["intercept"]]).all()


def test_counts_mean_repeated_rows():
    unit = RNG.integers(0, 60, N)
    counts = RNG.multinomial(60, np.full(60, 1 / 60), size=6).T.astype(float)
    edges = equal_mass_edges(PROB)
    found = CalibrationMetrics(TARGET, PROB, unit)(counts)
    for r in range(6):
        rows = np.repeat(np.arange(N), counts[unit, r].astype(int))
        expected = calibration_metrics(TARGET[rows], PROB[rows], edges=edges)
        for name in set(expected) - {"ece_debiased"}:  # whose pairs leave out copies of the same unit
            assert found[name][r] == pytest.approx(expected[name], abs=1e-7), name


def test_bins_hold_as_many_rows_and_equal_probabilities_stay_together():
    assert set(np.bincount(bin_of(PROB, equal_mass_edges(PROB)))) == {N // BINS}
    tied = np.repeat([0.0, 0.3, 1.0], [50, 5, 45])
    assert np.bincount(bin_of(tied, equal_mass_edges(tied))).tolist() == [50, 5, 45]
    assert len(np.unique(bin_of(np.full(9, 0.4), equal_mass_edges(np.full(9, 0.4))))) == 1


def test_what_is_no_outcome_is_refused():
    for target, prob in ([[0, 2], [0.1, 0.2]], [[0, 1], [0.1, 1.2]], [[0, 1], [0.1]], [[], []]):
        with pytest.raises(InputError, match="calibration_metrics: "):
            calibration_metrics(target, prob)


def test_the_class_called_is_judged_by_whether_it_is_right():
    prob = RNG.dirichlet([1.0, 1.0, 1.0], size=N)
    target = np.array([RNG.choice(3, p=p) for p in prob])
    found = one(TopLabelMetrics(target, prob, np.arange(N)), N)
    expected = calibration_metrics(prob.argmax(axis=1) == target, prob.max(axis=1))
    assert found["ece"] == pytest.approx(expected["ece"])
    assert found["ece_debiased"] == pytest.approx(expected["ece_debiased"])
    assert found["log_loss"] == pytest.approx(reference.log_loss(target, prob), abs=1e-9)
    assert found["brier"] == pytest.approx(reference.brier_score_loss(target, prob, scale_by_half=False), abs=1e-12)


@pytest.fixture
def calibration(monkeypatch):
    monkeypatch.setattr(score_module, "SECTIONS", {"calibration": lambda scored, folder: section(scored)})
    return lambda frame: score_module.score(frame, resamples=60)["calibration"]


def test_the_section_fits_each_model_on_its_own_validation_rows(calibration):
    frame = made(n=200, seeds=2)
    found = calibration(frame)[""]
    assert found["n_validation"] == 200
    assert set(found["recalibrated"]) == set(BINARY_METHODS)
    fitted = found["recalibrated"]["temperature"]["fitted"]
    assert [f["seed"] for f in fitted] == ["0", "1"]
    log_loss = []
    for f in fitted:
        rows = frame[(frame["seed"] == int(f["seed"])) & (frame["modalities"] == "image+text") & (frame["split"] == "test")]
        prob = Recalibration("temperature", f["state"]).apply(rows["prob"])
        log_loss.append(reference.log_loss(rows["target"], prob))
    entry = found["recalibrated"]["temperature"]["entries"]["log_loss"]
    assert entry["value"] == pytest.approx(np.mean(log_loss), abs=1e-9)
    assert entry["low"] < entry["value"] < entry["high"]
    changed = frame.assign(target=np.where(frame["split"] == "test", 1 - frame["target"], frame["target"]))
    assert calibration(changed)[""]["recalibrated"]["beta"]["fitted"] == found["recalibrated"]["beta"]["fitted"]


def test_intervals_that_would_mislead_are_left_out(calibration):
    entries = calibration(made(n=200))[""]["entries"]
    for name in ("ece", "brier_reliability", "brier_resolution"):
        assert entries[name]["low"] is None
        assert "chance adds to it" in entries[name]["reason"]
    assert entries["ece_debiased"]["low"] < entries["ece_debiased"]["value"] < entries["ece_debiased"]["high"]
    assert 0 < entries["ece"]["if_calibrated"] < 0.2


def test_what_is_too_small_is_said(calibration):
    found = calibration(made(n=60, validation=False))[""]
    assert {m["reason"] for m in found["recalibrated"].values()} == {"no validation rows"}
    frame = made(n=60)
    alike = frame.assign(target=np.where(frame["split"] == "val", 0, frame["target"]))
    assert "rarest class has 0" in calibration(alike)[""]["recalibrated"]["platt"]["reason"]
    assert "only 12 test rows" in calibration(made(n=12, validation=False))[""]["reason"]
    apart = frame.assign(prob=frame["prob"] * 0.4 + frame["target"] * 0.5)
    found = calibration(apart)[""]
    assert found["entries"]["slope"]["value"] is None
    assert "without an overlap" in found["entries"]["slope"]["reason"]
    assert "without an error" in found["recalibrated"]["temperature"]["reason"]


def test_classes_and_labels(calibration):
    frame = made(n=200).drop(columns=["oracle"])
    classes = frame.drop(columns=["target", "prob"]).assign(
        target=frame["target"].map({0: "no", 1: "yes"}), prob_no=(1 - frame["prob"]) * 0.9, prob_yes=frame["prob"] * 0.9, prob_maybe=0.1
    )
    rare = (classes["sample_id"].str.split("-").str[1].astype(int) % 10) == 0
    found = calibration(classes.assign(target=classes["target"].mask(rare, "maybe")))
    assert set(found) == {"", "no", "yes", "maybe"}
    assert set(found[""]["recalibrated"]) == set(CLASS_METHODS)
    assert found[""]["recalibrated"]["dirichlet"]["entries"]["log_loss"]["value"] < found[""]["entries"]["log_loss"]["value"]
    assert found["maybe"]["recalibrated"]["temperature"]["entries"]["ece"]["value"] is not None
    labels = frame.drop(columns=["target", "prob"]).assign(
        target_a=frame["target"].where(~rare), prob_a=frame["prob"], target_b=0, prob_b=frame["prob"]
    )
    found = calibration(labels)
    assert found["a"]["n"] == 180
    assert set(found["a"]["recalibrated"]) == set(BINARY_METHODS)
    assert "only one class" in found["b"]["reason"]
