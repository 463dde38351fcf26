"""Facts about recalibration: scikit-learn's fits, what a known miscalibration gives back, and what stays as it was."""

import json

import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from mmdx.errors import InputError
from mmdx.evaluation.recalibration import BINARY_METHODS, CLASS_METHODS, Recalibration, dirichlet_map, fit


def overconfident(seed, n, temperature=2.0):
    """Probabilities that are right once their logits are divided by the temperature."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n) * 2
    return expit(z), (rng.random(n) < expit(z / temperature)).astype(int)


def overconfident_classes(seed, n, temperature=2.0, classes=4):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, classes)) * 2
    target = (rng.random((n, 1)) > softmax(z / temperature, axis=1).cumsum(axis=1)).sum(axis=1)
    return softmax(z, axis=1), np.minimum(target, classes - 1)


class Given(ClassifierMixin, BaseEstimator):
    """A finished classifier whose features are its scores."""

    def fit(self, scores, target):
        self.classes_ = np.unique(target)
        return self

    def decision_function(self, scores):
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, scores):
        return self.classes_[scores.argmax(axis=1)]


@pytest.mark.parametrize("make", [overconfident, overconfident_classes])
def test_temperature_is_scikit_learns(make):
    prob, target = make(0, 500)
    scores = logit(prob)[:, None] if prob.ndim == 1 else np.log(prob)
    reference = CalibratedClassifierCV(FrozenEstimator(Given().fit(scores, target)), method="temperature").fit(scores, target)
    expected = reference.predict_proba(scores)
    found = fit("temperature", prob, target).apply(prob)
    assert found == pytest.approx(expected[:, 1] if prob.ndim == 1 else expected, abs=1e-6)


def test_platt_is_logistic_regression_without_penalty():
    prob, target = overconfident(1, 400)
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(prob)[:, None], target)
    state = fit("platt", prob, target).state
    assert state["slope"] == pytest.approx(reference.coef_[0, 0], abs=1e-5)
    assert state["intercept"] == pytest.approx(reference.intercept_[0], abs=1e-5)


def test_beta_is_logistic_regression_on_both_logarithms():
    prob, target = overconfident(2, 2000)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(np.stack([np.log(prob), -np.log(1 - prob)], axis=1), target)
    found = fit("beta", prob, target)
    assert [found.state["a"], found.state["b"], found.state["c"]] == pytest.approx([*reference.coef_[0], reference.intercept_[0]], abs=1e-4)
    same = Recalibration("beta", {"a": 1.0, "b": 1.0, "c": 0.0})  # Kull et al. (2017): the identity is among the maps
    assert same.apply(prob) == pytest.approx(prob)
    assert Recalibration("beta", {"a": 0.5, "b": 0.5, "c": 0.0}).apply(prob) == pytest.approx(expit(logit(prob) / 2))


def test_beta_never_turns_the_order_round():
    prob, target = overconfident(3, 400)
    backwards = fit("beta", prob, 1 - target)
    assert backwards.state["a"] == backwards.state["b"] == 0
    assert backwards.apply(prob) == pytest.approx(np.full(400, (1 - target).mean()))


def test_dirichlet_without_penalty_is_multinomial_logistic_regression():
    prob, target = overconfident_classes(4, 800, classes=3)
    scores = np.log(prob)
    weights, intercepts = dirichlet_map(scores, target, 0.0)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=2000).fit(scores, target)
    assert softmax(scores @ weights.T + intercepts, axis=1) == pytest.approx(reference.predict_proba(scores), abs=1e-3)


def test_dirichlet_of_two_classes_is_beta():
    prob, target = overconfident(5, 1500)
    scores = np.log(np.stack([1 - prob, prob], axis=1))
    weights, intercepts = dirichlet_map(scores, target, 0.0)
    assert softmax(scores @ weights.T + intercepts, axis=1)[:, 1] == pytest.approx(fit("beta", prob, target).apply(prob), abs=1e-3)


def test_dirichlet_under_a_large_penalty_scales_each_class_alone():
    prob, target = overconfident_classes(6, 600)
    weights, intercepts = dirichlet_map(np.log(prob), target, 1e6)
    assert weights - np.diag(np.diag(weights)) == pytest.approx(0, abs=1e-3)
    assert intercepts == pytest.approx(0, abs=1e-3)


def test_isotonic_by_hand():
    """Pool adjacent violators: 0.2 (1) and 0.3 (0) share one half."""
    prob = np.repeat([0.1, 0.2, 0.3, 0.9], 10)
    target = np.concatenate([np.zeros(10), np.arange(10) < 6, np.arange(10) < 4, np.ones(10)])
    found = fit("isotonic", prob, target)
    assert found.apply(np.array([0.0, 0.1, 0.2, 0.25, 0.3, 0.9, 1.0])) == pytest.approx([0, 0, 0.5, 0.5, 0.5, 1, 1])


@pytest.mark.parametrize("make", [overconfident, overconfident_classes])
def test_temperature_two_comes_back(make):
    found = [fit("temperature", *make(seed, 800)).state["temperature"] for seed in range(40)]
    assert np.mean(found) == pytest.approx(2, abs=3 * np.std(found) / np.sqrt(40) + 0.02)
    assert np.std(found) < 0.3


@pytest.mark.parametrize("method", BINARY_METHODS)
def test_fresh_rows_lose_log_loss(method):
    prob, target = overconfident(7, 3000)
    fresh, truth = overconfident(8, 3000)
    assert log_loss(truth, np.clip(fit(method, prob, target).apply(fresh), 1e-7, 1 - 1e-7)) < log_loss(truth, fresh) - 0.02


@pytest.mark.parametrize("method", CLASS_METHODS)
def test_fresh_rows_of_classes_lose_log_loss(method):
    prob, target = overconfident_classes(9, 1500)
    fresh, truth = overconfident_classes(10, 3000)
    found = fit(method, prob, target).apply(fresh)
    assert found.sum(axis=1) == pytest.approx(1)
    assert log_loss(truth, found) < log_loss(truth, fresh) - 0.02


@pytest.mark.parametrize("method", BINARY_METHODS)
def test_maps_never_decrease(method):
    prob, target = overconfident(11, 500)
    found = fit(method, prob, target)
    assert (np.diff(found.apply(np.linspace(0, 1, 500))) >= 0).all()
    if method != "isotonic":  # whose level stretches are ties
        assert roc_auc_score(target, found.apply(prob)) == pytest.approx(roc_auc_score(target, prob), abs=1e-12)


def test_a_map_lives_in_json():
    for methods, (prob, target) in ((BINARY_METHODS, overconfident(12, 200)), (CLASS_METHODS, overconfident_classes(12, 200))):
        for method in methods:
            found = fit(method, prob, target)
            again = Recalibration(method, json.loads(json.dumps(found.state, allow_nan=False)))
            assert np.array_equal(again.apply(prob), found.apply(prob))


def test_what_cannot_be_fitted_is_refused():
    prob, target = overconfident(13, 100)
    apart = np.where(target == 1, 0.9, 0.1) + 0.01 * prob
    wrong = [
        ("spline", prob, target, "must be one of"),
        ("dirichlet", prob, target, "temperature, platt, isotonic, beta are for"),
        ("platt", np.stack([1 - prob, prob], axis=1), target, "temperature, dirichlet are for"),
        ("platt", prob, target[:50], "must be 100 numbers"),
        ("platt", prob, target + 1, "one of 0 to 1"),
        ("platt", prob + 1, target, "must lie in 0 to 1"),
        ("platt", prob[:10], target[:10], "at least 20"),
        ("isotonic", prob, np.zeros(100), "rarest class has 0"),
        ("platt", np.full(100, 0.5), target, "are the same"),
        *((method, apart, target, "without an error") for method in ("temperature", "platt", "beta")),
    ]
    for method, given, truth, message in wrong:
        with pytest.raises(InputError, match=message):
            fit(method, given, truth)
    with pytest.raises(InputError, match="fitted on"):
        fit("dirichlet", *overconfident_classes(14, 200)).apply(np.full((2, 3), 1 / 3))
