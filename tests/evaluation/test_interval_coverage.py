"""95 % intervals hold the truth in 93 to 97 % of studies, tests reject what is true in 3 to 7 %, within the binomial error of their number."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, brier_score_loss, recall_score, roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from interval_coverage import DIFFERENCES, METRICS, TESTS, Cell, measured, posterior, shift_of, truths

CLOSED = {"auroc", "sensitivity", "specificity", "balanced_accuracy", "brier", "auroc difference", "tpr gap", "delong test", "tpr gap test"}
ALL = {*METRICS, *(f"{name} difference" for name in DIFFERENCES), "tpr gap", *TESTS}
CHANCE = 1e-4  # of a cell falling outside although it is on the edge of its bar


def bounds(name, studies):
    low, high = (0.03, 0.07) if name in TESTS else (0.93, 0.97)
    return stats.binom.ppf(CHANCE, studies, low) / studies, stats.binom.isf(CHANCE, studies, high) / studies


def check(cell, wanted, studies, resamples):
    lines = measured(cell, wanted, studies, seed=1, resamples=resamples)
    assert {line.name for line in lines} == wanted
    outside = {line.name: line.share for line in lines if not bounds(line.name, line.studies)[0] <= line.share <= bounds(line.name, line.studies)[1]}
    assert not outside, cell


@pytest.mark.parametrize("auroc, prevalence", [(0.75, 0.5), (0.9, 0.2)])
def test_the_truths_are_those_of_a_large_sample(auroc, prevalence):
    rng = np.random.default_rng(0)
    target = rng.random(300_000) < prevalence
    shift = shift_of(auroc)
    score = shift * target + rng.normal(size=len(target))
    prob = posterior(score, shift, prevalence)
    sample = [roc_auc_score(target, prob), average_precision_score(target, prob), brier_score_loss(target, prob)]
    found = truths(auroc, prevalence)
    assert [found[name] for name in ("auroc", "auprc", "brier")] == pytest.approx(sample, abs=5e-3)
    assert found["sensitivity"] == pytest.approx(recall_score(target, score >= shift / 2), abs=5e-3)


@pytest.mark.parametrize("cell", [Cell("rows", 100, 0.75, 0.5), Cell("label n", 100, 0.9, 0.3)], ids=["rows", "patients"])
def test_intervals_and_tests_hold_what_they_say(cell):
    check(cell, CLOSED, studies=300, resamples=1)


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("design", ["rows", "label", "mixed"])
@pytest.mark.parametrize("setting", [(0.75, 0.5), (0.9, 0.3)])
def test_all_of_them_hold_what_they_say(n, design, setting):
    if n == 100 and design != "rows":
        design += " n"
    check(Cell(design, n, *setting), ALL, studies=300, resamples=300)
