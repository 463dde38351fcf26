"""The posterior is the true one, and the optimum is what it reaches."""

from itertools import combinations

import numpy as np
import pytest
from scipy.special import expit, ndtr
from scipy.stats import multivariate_normal
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from mmdx.simulate.cohort import RENDERERS, SimulatedCohort
from mmdx.simulate.latent import LatentFindings, entropy, information, separation_for
from mmdx.simulate.optimum import optimal_scores
from mmdx.simulate.presence import draw_presence, pattern_probabilities

SUBSETS = [s for size in range(1, 5) for s in combinations(RENDERERS, size)]


@pytest.fixture(scope="module")
def large():
    return SimulatedCohort(samples=150_000, missing=dict.fromkeys(RENDERERS, 0.3))


def truth(cohort, subset):
    """Targets and posterior of the samples that have some of the subset."""
    has = np.any([cohort.present[m] for m in subset], axis=0)
    return cohort.table["target"].to_numpy(dtype=int)[has], cohort.posterior(subset)[has]


@pytest.mark.parametrize("subset", [("image",), ("text", "audio"), tuple(RENDERERS)], ids="+".join)
def test_the_posterior_is_calibrated(large, subset):
    target, posterior = truth(large, subset)
    for low in np.arange(0, 1, 0.1):
        rows = (posterior >= low) & (posterior < low + 0.1)
        error = np.sqrt((posterior[rows] * (1 - posterior[rows])).sum()) / rows.sum()
        assert abs(target[rows].mean() - posterior[rows].mean()) < 4 * error


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_the_optimum_is_what_the_posterior_reaches_on_a_large_cohort(large, subset):
    target, posterior = truth(large, subset)
    optimum = large.optimum(subset)
    assert optimum["auroc"] == pytest.approx(roc_auc_score(target, posterior), abs=0.004)
    assert optimum["auprc"] == pytest.approx(average_precision_score(target, posterior), abs=0.006)
    assert optimum["brier"] == pytest.approx(brier_score_loss(target, posterior), abs=0.002)


def test_one_finding_has_the_auroc_of_the_binormal_model():
    for d in (0.0, 0.5, 1.5, 3.0):
        assert optimal_scores(np.array([d]), np.ones(1), 0.3)["auroc"] == pytest.approx(ndtr(d / np.sqrt(2)), abs=1e-12)


def test_without_information_the_optimum_is_chance():
    scores = optimal_scores(np.zeros(1), np.ones(1), 0.3)
    assert scores == pytest.approx({"auroc": 0.5, "auprc": 0.3, "brier": 0.3 * 0.7}, abs=1e-9)


def test_the_posterior_is_bayes_rule_on_the_two_gaussians():
    model = LatentFindings({"a": 0.7, "b": 1.9, "c": 1.2}, prevalence=0.2, correlation=0.35)
    z = np.random.default_rng(0).normal(size=(50, 3))
    covariance = np.full((3, 3), 0.35) + 0.65 * np.eye(3)
    shift = np.array([0.7, 1.9, 1.2]) / 2
    case, control = (multivariate_normal(side * shift, covariance).pdf(z) for side in (1, -1))
    odds = model.log_odds({m: z[:, i] for i, m in enumerate("abc")}, {m: np.ones(50, dtype=bool) for m in "abc"})
    np.testing.assert_allclose(expit(odds), 0.2 * case / (0.2 * case + 0.8 * control), rtol=1e-9)
    assert model.joint_separation("abc") ** 2 == pytest.approx(4 * shift @ np.linalg.solve(covariance, shift))


def test_drawn_findings_have_the_moments_the_posterior_rests_on():
    model = LatentFindings({"a": 1.0, "b": 2.0}, prevalence=0.5, correlation=0.4)
    rng = np.random.default_rng(0)
    diagnosis = rng.integers(0, 2, 100_000)
    z = model.draw(diagnosis, rng.standard_normal((100_000, 3)))
    case = np.array([z[m][diagnosis == 1] for m in "ab"])
    np.testing.assert_allclose(case.mean(axis=1), [0.5, 1.0], atol=0.02)
    np.testing.assert_allclose(np.cov(case), [[1, 0.4], [0.4, 1]], atol=0.03)


def test_information_and_separation_are_inverse_and_information_is_bounded_by_the_entropy():
    for prevalence in (0.1, 0.4):
        for bits in (0.0, 0.05, 0.3, 0.45):
            assert information(separation_for(bits, prevalence), prevalence) == pytest.approx(bits, abs=1e-9)
        assert information(12.0, prevalence) == pytest.approx(float(entropy(np.array(prevalence))), abs=1e-6)


def test_information_is_the_expected_log_likelihood_ratio(large):
    target, posterior = truth(large, ("image",))
    prior = 0.4
    gained = np.where(target == 1, np.log2(posterior / prior), np.log2((1 - posterior) / (1 - prior)))
    assert gained.mean() == pytest.approx(0.34, abs=0.01)


def test_a_further_modality_never_lowers_the_optimum():
    cohort = SimulatedCohort(samples=60, missing={})
    for subset in SUBSETS:
        for more in set(RENDERERS) - set(subset):
            few, many = cohort.optimum(subset), cohort.optimum((*subset, more))
            assert many["auroc"] > few["auroc"] and many["auprc"] > few["auprc"] and many["brier"] < few["brier"]


def test_correlated_findings_add_less():
    apart, alike = (SimulatedCohort(samples=60, correlation=c).optimum(("image", "text"))["auroc"] for c in (0.0, 0.6))
    assert alike < apart - 0.02


def test_default_cohort_leaves_room_for_fusion():
    cohort = SimulatedCohort(samples=60)
    single = [cohort.optimum((m,))["auroc"] for m in RENDERERS]
    assert min(single) > 0.77 and max(single) < 0.88
    assert 0.94 < cohort.optimum(tuple(RENDERERS))["auroc"] < 0.97


def test_pattern_probabilities_are_those_of_the_draw():
    missing = {"a": 0.5, "b": 0.2, "c": 0.6}
    rng = np.random.default_rng(0)
    present = draw_presence(missing, rng.random((200_000, 3)), rng.random((200_000, 3)))
    assert np.any(list(present.values()), axis=0).all()
    some = present["a"] | present["c"]
    probabilities = pattern_probabilities(missing, ("a", "c"))
    assert sum(probabilities.values()) == pytest.approx(1)
    assert probabilities[("a", "c")] == pytest.approx((present["a"] & present["c"])[some].mean(), abs=0.005)
    assert probabilities[("a",)] == pytest.approx((present["a"] & ~present["c"])[some].mean(), abs=0.005)
