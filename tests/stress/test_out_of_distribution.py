"""Facts about the out-of-distribution score: a Mahalanobis distance, higher for shifted inputs, blind to what is absent."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from torch import nn

from mmdx.data.collate import Example, collate
from mmdx.errors import InputError
from mmdx.fusion.gated import GatedMultimodalUnit
from mmdx.stress.out_of_distribution import fit
from mmdx.training.model import MultimodalModel
from mmdx.types import Features

CPU = torch.device("cpu")


class Raw(nn.Module):
    """Features are the numbers themselves."""

    width = 4

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, items):
        return Features(items[:, None], torch.ones(len(items), 1, dtype=torch.bool))


def model(modalities=("a", "b")):
    return MultimodalModel({m: Raw() for m in modalities}, GatedMultimodalUnit(dict.fromkeys(modalities, 4), lambda w: nn.Linear(w, 1)))


def batches(rows=200, shift=0.0, seed=0, modalities=("a", "b"), lacking=None, absent=0.0, classes=2):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, rows)
    examples = []
    for i in range(rows):
        items = {}
        for k, m in enumerate(modalities):
            drawn = torch.tensor(rng.normal(size=4) + 4 * target[i] + shift, dtype=torch.float32)
            items[m] = [] if lacking is not None and lacking(i) == k else [drawn]
        examples.append(Example(i, items, np.float32(target[i])))
    found = [collate(examples[i : i + 32]) for i in range(0, rows, 32)]
    for batch in found:
        for m in modalities:
            batch.inputs[m][~batch.items[m]] = absent
    return found


def test_shifted_inputs_score_higher():
    net = model()
    detector = fit(net, batches(), CPU)
    usual, shifted = (detector.score(net, batches(shift=s, seed=5), CPU)["ood_score"] for s in (0.0, 2.0))
    assert roc_auc_score([0] * 200 + [1] * 200, [*usual, *shifted]) > 0.9
    assert abs(usual.mean()) < 0.3  # in standard deviations of the training rows


def test_what_lies_between_the_classes_is_unlike_either():
    net = model(("a",))
    detector = fit(net, batches(modalities=("a",)), CPU)
    between = [collate([Example(0, {"a": [torch.full((4,), 2.0)]}, np.float32(0)), Example(1, {"a": [torch.full((4,), 4.0)]}, np.float32(0))])]
    score = detector.score(net, between, CPU)["ood_score"]
    assert score[0] > 2 and score[1] < 0


def test_the_distance_is_that_of_scipy_with_the_covariance_of_scikit_learn():
    net = model(("a",))
    train = batches(modalities=("a",))
    detector = fit(net, train, CPU)
    x = torch.cat([b.inputs["a"][:, 0] for b in train]).double().numpy()
    target = torch.cat([b.target for b in train]).numpy()
    means = np.stack([x[target == k].mean(axis=0) for k in (0, 1)])
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(x - means[target.astype(int)]).covariance_)
    distances = np.array([min(mahalanobis(row, mean, inverse) ** 2 for mean in means) for row in x])
    expected = (distances - distances.mean()) / distances.std()
    np.testing.assert_allclose(detector.score(net, train, CPU)["ood_score"], expected, atol=1e-6)


def test_content_of_absent_slots_changes_nothing_and_absence_is_left_out():
    net = model()
    lacking = lambda i: i % 3  # noqa: E731  the first, the second, or neither
    scores = []
    for absent in (0.0, 1e30, float("nan")):
        detector = fit(net, batches(lacking=lacking, absent=absent), CPU)
        scores.append(detector.score(net, batches(lacking=lacking, absent=absent, seed=5), CPU)["ood_score"].to_numpy())
    assert np.array_equal(scores[0], scores[1]) and np.array_equal(scores[0], scores[2]) and np.isfinite(scores[0]).all()
    whole = detector.score(net, batches(seed=5), CPU)["ood_score"].to_numpy()
    rows = np.arange(200) % 3
    complete = rows == 2
    np.testing.assert_allclose(scores[2][complete], whole[complete])
    assert all(abs(scores[2][rows == k].mean()) < 0.5 for k in range(3))  # fewer modalities make no row stand out


def test_a_modality_that_training_never_had_is_left_out():
    net = model()
    detector = fit(net, batches(lacking=lambda i: 1), CPU)
    assert list(detector.gaussians) == ["a"]
    score = detector.score(net, batches(30, lacking=lambda i: 0 if i < 10 else None), CPU)["ood_score"]
    assert score[:10].isna().all() and score[10:].notna().all()


def test_targets_that_are_no_classes_make_one():
    net = model(("a",))
    train = batches(modalities=("a",), rows=60)
    for batch in train:
        batch.target = torch.rand(len(batch), 3)
    assert len(fit(net, train, CPU).gaussians["a"].means) == 1
    for batch in train:
        batch.target = torch.randn(len(batch))
    assert len(fit(net, train, CPU).gaussians["a"].means) == 1


def test_features_without_spread_and_more_features_than_rows_stay_finite():
    net = model(("a",))
    few = [collate([Example(i, {"a": [torch.randn(4)]}, np.float32(i % 2)) for i in range(4)])]
    assert np.isfinite(fit(net, few, CPU).score(net, few, CPU)["ood_score"]).all()
    same = [collate([Example(i, {"a": [torch.ones(4)]}, np.float32(i % 2)) for i in range(10)])]
    detector = fit(net, same, CPU)
    assert np.isfinite(detector.score(net, same, CPU)["ood_score"]).all()
    assert (detector.score(net, few, CPU)["ood_score"] > 1).all()


def test_too_few_rows_are_refused():
    with pytest.raises(InputError, match="2 training rows"):
        fit(model(), batches(2), CPU)
