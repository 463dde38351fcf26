"""Variance, interval and test of AUROCs: pROC's values, an implementation from the definition, and what must hold."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from mmdx.errors import InputError
from mmdx.evaluation.delong import auroc_limits, auroc_linear, delong_test
from mmdx.evaluation.linear import covariance, plain_limits, quantile

# aSAH of pROC (Turck et al. 2010, Intensive Care Med. 36:107): 113 patients after a subarachnoid haemorrhage. The markers stand as ranks of their
# values, equal ones with equal ranks, which is all that an AUROC depends on.
POOR = np.array(list("00001101001011001011101000000000100110110000000001100010001010011101101111000110100000010000000000001111110001000")) == "1"
FEMALE = np.array(list("11111000110100110110111011011011111011011110100001101111010110111000011101010001111101001011111101010111011100110")) == "1"
WFNS = """
1 1 1 1 3 2 5 4 1 2 5 2 5 5 1 2 5 2 2 5 2 1 1 1 1 2 1 2 1 1 3 4 2 1 4 5 4 1 4 2 5 5 1 1 2 4 1 1 2 5 5 2 1 2 5 1 2 2 2 1 5 1 1 2 5 2 1 4 5 2
4 4 1 4 1 2 1 4 2 1 2 3 2 4 2 1 4 5 1 1 5 4 2 2 1 1 1 3 1 2 5 2 2 5 5 5 2 4 4 5 1 1 1
"""
S100B = """
11 12 8 2 11 8 36 14 16 8 10 8 33 44 2 6 38 2 5 27 7 7 5 9 5 15 5 9 11 17 3 14 31 12 28 29 37 7 49 21 39 35 14 5 32 34 9 6 7 48 40 6 4 11 50
8 12 13 5 4 46 3 7 25 1 7 2 19 43 7 23 44 6 22 6 14 7 11 8 6 9 27 9 24 5 8 26 18 5 3 20 30 8 13 6 12 8 5 2 17 41 12 42 26 47 45 13 36 15 33
13 39 37
"""
NDKA = """
1 27 23 42 82 61 8 66 76 9 78 83 5 28 67 86 49 79 97 105 98 104 100 31 10 56 13 11 108 62 35 36 38 84 4 72 90 22 17 25 14 33 65 21 74 101 18
16 58 69 2 30 19 64 109 95 91 39 87 53 41 106 12 48 55 70 80 93 63 34 89 24 107 76 43 45 75 6 33 3 88 81 60 30 47 85 46 7 54 20 37 44 96 26
57 63 102 51 59 29 32 99 52 73 103 50 94 40 71 77 92 15 68
"""
MARKERS = {name: np.array(ranks.split(), dtype=float) for name, ranks in (("wfns", WFNS), ("s100b", S100B), ("ndka", NDKA))}
# pROC, tests/testthat/test-var.R, test-cov.R, test-ci.auc.R and test-roc.test.R, made with DeLong's method
VARIANCES = {"wfns": 0.00146991470882363, "ndka": 0.0031908105493913, "s100b": 0.00266868245717244}
COVARIANCES = {("wfns", "ndka"): -0.000532967856762438, ("ndka", "s100b"): -0.000756164938056579, ("s100b", "wfns"): 0.00119615567376754}
TESTS = {  # z, p, low, high
    ("wfns", "s100b"): (2.20898359144091, 0.0271757822291882, 0.0104061769564846, 0.174214419249478),
    ("wfns", "ndka"): (2.79777591868904, 0.00514557970691098, 0.0634011709339876, 0.3600405634833566),
    ("ndka", "s100b"): (-1.39077002573558, 0.164295175223054, -0.2876917446341914, 0.0488706064228094),
}
INTERVALS = [  # rows, low, value, high, of ndka
    (np.ones(113, bool), 0.501244999271703, 0.611957994579946, 0.722670989888189),
    (FEMALE, 0.5261398281, 0.6671428571, 0.8081458862),
]


def of(marker, rows=slice(None)):
    positive = POOR[rows]
    return auroc_linear(positive, MARKERS[marker][rows], np.arange(len(positive)), len(positive))


def by_definition(positive, scores, unit):
    """AUROCs and their covariance matrix from every pair of rows, clustered as in Obuchowski 1997, equations 1 to 5."""
    up, down = np.flatnonzero(positive), np.flatnonzero(~positive)
    names = np.unique(unit)
    values, of_up, of_down = [], [], []
    for score in scores:
        wins = (score[up][:, None] > score[down]) + 0.5 * (score[up][:, None] == score[down])
        values.append(wins.mean())
        of_up.append(np.array([wins.mean(axis=1)[unit[up] == c].sum() - (unit[up] == c).sum() * wins.mean() for c in names]))
        of_down.append(np.array([wins.mean(axis=0)[unit[down] == c].sum() - (unit[down] == c).sum() * wins.mean() for c in names]))
    with_up, with_down, every = len(set(unit[up])), len(set(unit[down])), len(names)
    m, n = len(up), len(down)
    matrix = np.zeros((len(scores), len(scores)))
    for i in range(len(scores)):
        for j in range(len(scores)):
            s10 = with_up / ((with_up - 1) * m) * (of_up[i] * of_up[j]).sum()
            s01 = with_down / ((with_down - 1) * n) * (of_down[i] * of_down[j]).sum()
            s11 = every / (every - 1) * ((of_up[i] * of_down[j]).sum() + (of_down[i] * of_up[j]).sum())
            matrix[i, j] = s10 / m + s01 / n + s11 / (m * n)
    return values, matrix


def made(n=90, clusters=30, seed=0, places=1):
    rng = np.random.default_rng(seed)
    unit = rng.permutation(np.concatenate([np.arange(clusters), rng.integers(0, clusters, n - clusters)]))
    positive = rng.random(n) < 0.4
    shared = rng.normal(size=clusters)[unit]
    return positive, [np.round(positive + shared + rng.normal(size=n), places) for _ in range(2)], unit


@pytest.mark.parametrize("marker", VARIANCES)
def test_the_variance_is_that_of_proc(marker):
    assert of(marker).variance == pytest.approx(VARIANCES[marker], abs=1e-12)


@pytest.mark.parametrize("pair", COVARIANCES)
def test_the_covariance_is_that_of_proc(pair):
    assert covariance(of(pair[0]), of(pair[1])) == pytest.approx(COVARIANCES[pair], abs=1e-12)


@pytest.mark.parametrize("pair", TESTS)
def test_the_paired_test_is_that_of_proc(pair):
    found = delong_test(MARKERS[pair[0]], MARKERS[pair[1]], POOR)
    assert (found.z, found.p, found.low, found.high) == pytest.approx(TESTS[pair], abs=1e-10)
    assert (found.n, found.n_units) == (113, 113) and found.value == pytest.approx(of(pair[0]).value - of(pair[1]).value)


@pytest.mark.parametrize("rows, low, value, high", INTERVALS, ids=["all", "women"])
def test_the_plain_interval_is_that_of_proc(rows, low, value, high):
    assert (*plain_limits(of("ndka", rows)), of("ndka", rows).value) == pytest.approx((low, high, value), abs=1e-9)


@pytest.mark.parametrize("clusters, places", [(90, 3), (90, 0), (30, 3), (30, 0)])
def test_mid_ranks_give_what_every_pair_of_rows_gives(clusters, places):
    positive, scores, unit = made(clusters=clusters, places=places)
    values, matrix = by_definition(positive, scores, unit)
    first, second = (auroc_linear(positive, score, unit, clusters) for score in scores)
    assert (first.value, second.value) == pytest.approx(values, abs=1e-12)
    assert (first.variance, second.variance, covariance(first, second)) == pytest.approx((matrix[0, 0], matrix[1, 1], matrix[0, 1]), abs=1e-12)
    found = delong_test(*scores, positive, unit)
    assert found.z == pytest.approx((values[0] - values[1]) / np.sqrt(matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1]), abs=1e-9)


def test_the_interval_is_made_on_the_logit_scale():
    estimate = of("wfns")
    up, down = (part @ part * len(part[here]) / (len(part[here]) - 1) for part, here in zip(estimate.terms, estimate.inside, strict=True))
    free = (up + down) ** 2 / (up**2 / 40 + down**2 / 71)
    half = stats.t.ppf(0.975, free) * np.sqrt(VARIANCES["wfns"]) / (estimate.value * (1 - estimate.value))
    middle = np.log(estimate.value / (1 - estimate.value))
    assert auroc_limits(estimate) == pytest.approx(1 / (1 + np.exp(-np.array([middle - half, middle + half]))), abs=1e-12)


def test_copies_of_a_patients_rows_add_nothing():
    positive, scores, _ = made(places=3)
    copies = np.repeat(np.arange(90), 4)
    once = [auroc_linear(positive, score, np.arange(90), 90) for score in scores]
    again = [auroc_linear(positive[copies], score[copies], copies, 90) for score in scores]
    assert again[0].variance == pytest.approx(once[0].variance) and covariance(*again) == pytest.approx(covariance(*once))
    assert auroc_limits(again[0]) == pytest.approx(auroc_limits(once[0]))


def test_the_value_is_that_of_scikit_learn_and_only_ranks_matter():
    positive, (score, other), unit = made(places=1)
    found, changed = (delong_test(s, other, positive, unit) for s in (score, np.exp(score / 3)))
    assert found.first == pytest.approx(roc_auc_score(positive, score), abs=1e-12)
    assert changed == found
    assert delong_test(other, score, positive, unit).p == pytest.approx(found.p)


def test_scores_that_rank_alike_do_not_differ():
    found = delong_test(MARKERS["wfns"], 3 * MARKERS["wfns"] + 1, POOR)
    assert (found.value, found.low, found.high, found.z, found.p) == (0, 0, 0, 0, 1)


def test_of_clustered_rows_the_test_takes_t():
    positive, scores, unit = made()
    found = delong_test(*scores, positive, unit)
    assert found.p > 2 * stats.norm.sf(abs(found.z)) and found.n_units == 30
    assert (found.high - found.low) / 2 > quantile(np.inf) * abs(found.value / found.z)


@pytest.mark.parametrize("positives, negatives, pairs", [(4, 4, 4), (3, 20, 3), (20, 3, 3)])
def test_a_perfect_auroc_is_as_sure_as_its_independent_pairs(positives, negatives, pairs):
    positive = np.repeat([True, False], [positives, negatives])
    found = auroc_linear(positive, positive + 0.0, np.arange(len(positive)), len(positive))
    assert auroc_limits(found) == pytest.approx((stats.beta.ppf(0.025, pairs, 1), 1.0))  # Clopper and Pearson 1934 of k among k
    worst = auroc_linear(positive, -1.0 * positive, np.arange(len(positive)), len(positive))
    assert auroc_limits(worst) == pytest.approx((0.0, stats.beta.ppf(0.975, 1, pairs)))


def test_patients_with_rows_of_both_classes_make_half_as_many_pairs():
    positive, unit = np.tile([True, False], 10), np.repeat(np.arange(10), 2)
    assert auroc_linear(positive, positive + 0.0, unit, 10).pairs == 5


def test_a_class_in_one_patient_has_no_variance():
    positive, unit = np.array([1, 1, 0, 0, 0]) == 1, np.array([0, 0, 1, 2, 3])
    assert auroc_limits(auroc_linear(positive, np.array([3.0, 1, 2, 0, 0]), unit, 4)) is None


def test_refuses_what_cannot_be_compared():
    with pytest.raises(InputError, match=r"\[4, 5, 5, 5\] rows"):
        delong_test(np.ones(4), np.ones(5), np.array([0, 1, 0, 1, 1]))
    with pytest.raises(InputError, match="must be 0 or 1"):
        delong_test(np.ones(3), np.ones(3), np.array([0, 1, 2]))
    with pytest.raises(InputError, match="at least two units"):
        delong_test(np.arange(4), np.ones(4), np.array([0, 1, 1, 0]), np.array([0, 1, 1, 2]))
