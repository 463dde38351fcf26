"""The corrected resampled t-test against its formula, an ordinary t-test, and its own promise."""

import numpy as np
import pytest
from scipy import stats

from mmdx.errors import InputError
from mmdx.evaluation.resampled import corrected_resampled_t


def test_worked_example_by_hand():
    # mean 0.02, variance 0.0001; J = 5, ratio 1/4: error sqrt(0.45e-4) = 0.00670820, t = 2.98142397, p of t with 4 degrees of freedom
    differences = np.array([0.02, 0.03, 0.01, 0.03, 0.01])
    found = corrected_resampled_t(differences, 0.25)
    assert found.value == pytest.approx(0.02) and found.df == 4
    assert found.t == pytest.approx(0.02 / np.sqrt((0.2 + 0.25) * 1e-4), abs=1e-9)
    assert found.t == pytest.approx(2.98142397, abs=1e-8)
    assert found.p == pytest.approx(0.04064, abs=1e-4)


def test_without_overlap_it_is_the_paired_t_test():
    differences = np.random.default_rng(0).normal(0.01, 0.02, 10)
    ours, theirs = corrected_resampled_t(differences, 1e-12), stats.ttest_1samp(differences, 0)
    assert ours.t == pytest.approx(theirs.statistic, rel=1e-9) and ours.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert [ours.low, ours.high] == pytest.approx(list(theirs.confidence_interval(0.95)), rel=1e-9)


def test_differences_with_the_assumed_correlation_are_rejected_at_the_level():
    # the correction is exact where differences of splits correlate by n_test / (n_test + n_train)
    ratio, splits, studies = 0.25, 10, 5_000
    correlation = ratio / (1 + ratio)
    rng = np.random.default_rng(1)
    shared = rng.normal(size=(studies, 1)) * np.sqrt(correlation)
    differences = shared + rng.normal(size=(studies, splits)) * np.sqrt(1 - correlation)
    rejected = np.mean([corrected_resampled_t(row, ratio).p < 0.05 for row in differences])
    assert 0.04 < rejected < 0.06
    assert np.mean([stats.ttest_1samp(row, 0).pvalue < 0.05 for row in differences[:2000]]) > 0.2  # the ordinary one is far off


def test_equal_differences():
    assert corrected_resampled_t(np.zeros(5), 0.25).p == 1
    assert corrected_resampled_t(np.full(5, 0.1), 0.25).p == 0


@pytest.mark.parametrize(("differences", "ratio"), [([0.1], 0.2), ([0.1, 0.2], 0.0), ([0.1, np.nan], 0.2)])
def test_what_cannot_be_tested_is_refused(differences, ratio):
    with pytest.raises(InputError, match="needs two or more, finite"):
        corrected_resampled_t(np.array(differences), ratio)
