"""Friedman's test and Nemenyi's against Demsar's worked example, scipy and scikit-posthocs."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmdx.errors import InputError
from mmdx.evaluation.ranks import friedman_nemenyi

# Demsar 2006, table 6: AUC of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets; on "voting" it prints ranks 2 and 3 for the last two
DEMSAR = np.array([
    [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967], [0.628, 0.661, 0.654, 0.657],
    [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931], [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625],
    [0.775, 0.838, 0.866, 0.875], [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
    [0.972, 0.981, 0.975 + 1e-5, 0.975], [0.957, 0.978, 0.946, 0.970],
])  # fmt: skip


def test_demsars_worked_example():
    found = friedman_nemenyi(DEMSAR)
    assert found.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)  # page 15
    assert found.critical_difference() == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=2e-3)  # 1.25, table 5 and page 16
    ties_ignored = 12 * 14 / (4 * 5) * ((found.ranks**2).sum() - 4 * 5**2 / 4)
    assert ties_ignored == pytest.approx(9.28, abs=0.01)  # page 15; the paper's formula knows no ties
    assert 13 * ties_ignored / (14 * 3 - ties_ignored) == pytest.approx(3.69, abs=0.01)


def test_friedman_is_scipys_also_with_ties():
    ours, theirs = friedman_nemenyi(DEMSAR), stats.friedmanchisquare(*DEMSAR.T)
    assert ours.chi_squared == pytest.approx(theirs.statistic, abs=1e-9) and ours.p_chi_squared == pytest.approx(theirs.pvalue, abs=1e-9)


def test_nemenyi_is_scikit_posthocs():
    posthocs = pytest.importorskip("scikit_posthocs")
    theirs = posthocs.posthoc_nemenyi_friedman(pd.DataFrame(DEMSAR)).to_numpy()
    assert friedman_nemenyi(DEMSAR).p_pairs == pytest.approx(theirs, abs=1e-6)


def test_smaller_can_be_better():
    assert friedman_nemenyi(-DEMSAR, higher_is_better=False).ranks == pytest.approx(friedman_nemenyi(DEMSAR).ranks)


@pytest.mark.parametrize(("blocks", "methods"), [(10, 4), (20, 3)])
def test_equal_methods_are_rejected_at_the_level(blocks, methods):
    rng = np.random.default_rng(0)
    p = [friedman_nemenyi(rng.normal(size=(blocks, methods))).p for _ in range(2000)]
    assert 0.035 < np.mean(np.array(p) < 0.05) < 0.065


def test_pairs_are_rejected_together_at_the_level():
    rng = np.random.default_rng(0)
    smallest = []
    difference = friedman_nemenyi(rng.normal(size=(30, 4))).critical_difference()
    for _ in range(1000):
        ranks = friedman_nemenyi(rng.normal(size=(30, 4)))
        smallest.append(np.ptp(ranks.ranks) > difference)
    assert 0.03 < np.mean(smallest) < 0.07


@pytest.mark.parametrize("shape", [(1, 4), (10, 2)])
def test_too_few_are_refused(shape):
    with pytest.raises(InputError, match="needs at least 3 methods"):
        friedman_nemenyi(np.random.default_rng(0).normal(size=shape))


def test_two_blocks_that_agree_are_no_proof():
    """One of the six orders of three methods agrees with the first block's by chance, so that p is 1 in 6, not 0."""
    found = friedman_nemenyi(np.array([[3.0, 2.0, 1.0], [0.9, 0.8, 0.7]]))
    assert found.exact and found.p == pytest.approx(1 / 6, abs=1e-12) and np.isinf(found.f)


def test_the_exact_p_of_a_published_table():
    """Friedman's exact distribution of 3 methods on 5 blocks: P(chi-squared >= 6.4) = 0.039 (Hollander, Wolfe and Chicken 2014, table A.22)."""
    ranks = np.array([[1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 3, 2], [2, 1, 3]], float)
    found = friedman_nemenyi(-ranks)
    assert found.chi_squared == pytest.approx(6.4) and found.p == pytest.approx(0.039, abs=5e-4)


def test_many_blocks_take_f():
    assert not friedman_nemenyi(DEMSAR).exact
