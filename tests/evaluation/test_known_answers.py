"""Known answers on simulated cohorts: the truths are right, and reported intervals hold them."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logit
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from known_answers import FULL, MARKED, QUANTITIES, SILENT, blurred, held, table, trusting, widened

from mmdx.simulate.cohort import SimulatedCohort

MANY = 200_000


def test_the_truth_in_the_subgroup_is_what_a_large_cohort_has():
    cohort = SimulatedCohort(MANY, FULL, missing=None, subgroup=SILENT, seed=7)
    log_odds, women = blurred(cohort, 7), cohort.visits.female
    for rows in (women, ~women):
        population = widened(cohort.population(FULL, np.flatnonzero(rows)))
        target, called = cohort.target[rows], log_odds[rows] >= 0
        assert called[target == 1].mean() == pytest.approx(population.cases.above(np.zeros(1))[0], abs=0.007)
        assert called[target == 0].mean() == pytest.approx(population.controls.above(np.zeros(1))[0], abs=0.006)
        assert roc_auc_score(target, log_odds[rows]) == pytest.approx(population.auroc(), abs=0.003)


def test_the_truth_of_noise_is_what_a_large_cohort_has():
    cohort = SimulatedCohort(MANY, FULL, seed=8)
    frame, truth = table(cohort, blurred(cohort, 8)), widened(cohort.population(FULL)).scores()
    for name, score in (("auroc", roc_auc_score), ("auprc", average_precision_score), ("brier", brier_score_loss)):
        assert score(frame["target"], frame["prob"]) == pytest.approx(truth[name], abs=0.004)


@pytest.mark.parametrize("agrees", [MARKED, 0.5])
def test_the_truth_of_the_shortcut_is_what_a_large_cohort_has(agrees):
    cohort = SimulatedCohort(MANY, FULL, missing=None, marker=agrees, seed=9)
    findings = SimulatedCohort(MANY, FULL, missing=None, seed=9).posterior(FULL)
    score = logit(findings) + np.where(cohort.visits.marker == 1, 1, -1) * logit(MARKED)
    assert roc_auc_score(cohort.target, score) == pytest.approx(trusting(agrees).auroc(), abs=0.004)


@pytest.mark.parametrize("quantity", list(QUANTITIES))
def test_intervals_hold_the_truth(quantity):
    found = held(quantity, cohorts=6, n=400, seed=100)
    assert (found["held"] >= 4).all(), found["held"]  # of intervals that hold it in 95 %, 3 or fewer of 6 do in 0.2 % of experiments
    assert (found["error"].abs() < 6 * found["spread"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("quantity", list(QUANTITIES))
def test_intervals_hold_the_truth_in_95_percent(quantity):
    assert (held(quantity, cohorts=100, n=1000)["held"] >= 90).all()  # fewer than 90 of 100 would be so in 1.1 % of experiments
