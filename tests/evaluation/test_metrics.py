"""Facts about the metrics: scikit-learn's values, hand-computed ones, and what weights mean."""

import numpy as np
import pytest
from sklearn import metrics as reference

from mmdx.evaluation.metrics import BINARY, BinaryMetrics, auprc, auroc, binary_metrics, brier, sensitivity_at_90_specificity
from mmdx.evaluation.panels import MulticlassMetrics, MultilabelMetrics

RNG = np.random.default_rng(3)
N = 200
TARGET = RNG.integers(0, 2, N)
SMOOTH = np.clip(0.3 * TARGET + 0.7 * RNG.random(N), 0, 1)
TIED = SMOOTH.round(1)
WEIGHTS = RNG.random(N) * 3


def sensitivity_by_roc_curve(target, prob, weights=None):
    alarms, hits, _ = reference.roc_curve(target, prob, sample_weight=weights, drop_intermediate=False)
    return hits[alarms <= 0.1 + 1e-9].max()


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("prob", [SMOOTH, TIED, np.full(N, 0.4)], ids=["smooth", "tied", "constant"])
def test_values_are_those_of_scikit_learn(prob, weights):
    assert auroc(TARGET, prob, weights) == pytest.approx(reference.roc_auc_score(TARGET, prob, sample_weight=weights), abs=1e-12)
    assert auprc(TARGET, prob, weights) == pytest.approx(reference.average_precision_score(TARGET, prob, sample_weight=weights), abs=1e-12)
    assert brier(TARGET, prob, weights) == pytest.approx(reference.brier_score_loss(TARGET, prob, sample_weight=weights), abs=1e-12)
    assert sensitivity_at_90_specificity(TARGET, prob, weights) == pytest.approx(sensitivity_by_roc_curve(TARGET, prob, weights), abs=1e-12)


def test_at_a_threshold_they_are_those_of_scikit_learn():
    called = TIED >= 0.6
    found = binary_metrics(TARGET, TIED, threshold=0.6, weights=WEIGHTS, extra=("macc",))
    assert found["sensitivity"] == pytest.approx(reference.recall_score(TARGET, called, sample_weight=WEIGHTS))
    assert found["specificity"] == pytest.approx(reference.recall_score(TARGET, called, sample_weight=WEIGHTS, pos_label=0))
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(TARGET, called, sample_weight=WEIGHTS))
    assert found["macc"] == found["balanced_accuracy"]


@pytest.mark.parametrize("prob", [SMOOTH, TIED], ids=["smooth", "tied"])
def test_counts_mean_repeated_rows(prob):
    units = RNG.integers(0, 50, N)
    counts = RNG.multinomial(50, np.full(50, 1 / 50), size=12).T.astype(float)
    found = BinaryMetrics(TARGET, prob, units, np.full(N, 0.6))(counts)
    for r in range(counts.shape[1]):
        rows = np.repeat(np.arange(N), counts[units, r].astype(int))
        assert found["auroc"][r] == pytest.approx(reference.roc_auc_score(TARGET[rows], prob[rows]), abs=1e-12)
        assert found["auprc"][r] == pytest.approx(reference.average_precision_score(TARGET[rows], prob[rows]), abs=1e-12)
        assert found["brier"][r] == pytest.approx(reference.brier_score_loss(TARGET[rows], prob[rows]), abs=1e-12)
        assert found["balanced_accuracy"][r] == pytest.approx(reference.balanced_accuracy_score(TARGET[rows], prob[rows] >= 0.6), abs=1e-12)
        assert found["sensitivity_at_90_specificity"][r] == pytest.approx(sensitivity_by_roc_curve(TARGET[rows], prob[rows]), abs=1e-12)


def test_sensitivity_at_90_specificity_by_hand():
    negatives = np.arange(10) / 20  # 0.00 to 0.45; one of them may be called positive
    positives = np.array([0.42, 0.40, 0.39, 0.9])  # 0.42 lies below one negative, 0.40 ties with a second one
    target, prob = np.repeat([0, 1], [10, 4]), np.concatenate([negatives, positives])
    assert sensitivity_at_90_specificity(target, prob) == 2 / 4
    assert sensitivity_at_90_specificity(target, np.full(14, 0.5)) == 0.0


@pytest.mark.parametrize("only", [0, 1])
def test_what_is_undefined_with_one_class_is_none(only):
    found = binary_metrics(np.full(5, only), np.linspace(0, 1, 5))
    undefined = {name for name in BINARY if found[name] is None}
    assert undefined == set(BINARY) - {"brier", "sensitivity" if only else "specificity"}


def test_multiclass_is_one_against_the_rest():
    target = RNG.integers(0, 3, N)
    prob = RNG.dirichlet(np.ones(3), N) * 0.6 + 0.4 * np.eye(3)[target]
    found = {k: v[0] for k, v in MulticlassMetrics(target, prob, np.arange(N))(np.ones((N, 1))).items()}
    assert found["auroc"] == pytest.approx(reference.roc_auc_score(target, prob, multi_class="ovr"))
    assert found["auprc"] == pytest.approx(reference.average_precision_score(np.eye(3)[target], prob, average="macro"))
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(target, prob.argmax(axis=1)))
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(target, prob.argmax(axis=1)))
    assert found["brier"] == pytest.approx(((prob - np.eye(3)[target]) ** 2).sum(axis=1).mean())


def test_unlabelled_entries_are_left_out_and_one_sided_labels_do_not_enter_the_mean():
    target = np.stack([TARGET, TARGET[::-1], np.ones(N)], axis=1).astype(float)
    target[:40, 0] = np.nan
    prob = np.stack([SMOOTH, TIED, SMOOTH], axis=1)
    found = MultilabelMetrics(target, prob, np.arange(N), np.full((N, 3), 0.5), ["a", "b", "c"])(np.ones((N, 1)))
    first = reference.roc_auc_score(TARGET[40:], SMOOTH[40:])
    second = reference.roc_auc_score(TARGET[::-1], TIED)
    assert found["auroc_a"][0] == pytest.approx(first) and found["auroc_b"][0] == pytest.approx(second)
    assert np.isnan(found["auroc_c"][0]) and found["auroc"][0] == pytest.approx((first + second) / 2)
