"""The stated optimum is what a second method, Bayes' rule on what each visit shows, reaches on a large sample."""

import sys
from pathlib import Path

import pytest

from mmdx.simulate.cohort import SimulatedCohort
from mmdx.simulate.latent import subsets

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import check_optimum


@pytest.mark.parametrize("name", ["default", "single, mixed", "everything"])
def test_a_sample_scores_what_is_stated(name):
    worst = check_optimum.compare(name, 60_000)
    assert worst["auroc"] < 0.006 and worst["brier"] < 0.003 and worst["bits"] < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["synergistic of three", "missing not at random", "everything"])
def test_a_million_visits_score_what_is_stated(name):
    worst = check_optimum.compare(name, 1_000_000)
    assert worst["auroc"] < 0.002 and worst["brier"] < 0.001 and worst["bits"] < 0.01


def test_a_further_modality_never_lowers_the_optimum():
    cohort = SimulatedCohort(samples=60, missing={})
    for subset in subsets(cohort.modalities):
        for more in set(cohort.modalities) - set(subset):
            few, many = cohort.optimum(subset), cohort.optimum((*subset, more))
            assert many["auroc"] > few["auroc"] and many["auprc"] > few["auprc"] and many["brier"] < few["brier"]


def test_default_cohort_leaves_room_for_fusion():
    cohort = SimulatedCohort(samples=60)
    single = [cohort.optimum((m,))["auroc"] for m in cohort.modalities]
    assert min(single) > 0.75 and max(single) < 0.88
    assert 0.94 < cohort.optimum(cohort.modalities)["auroc"] < 0.97
