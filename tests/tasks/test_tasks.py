"""Facts about the tasks and losses."""

import numpy as np
import pandas as pd
import pytest
import torch

from mmdx.errors import InputError
from mmdx.tasks.binary import Binary
from mmdx.tasks.losses import CrossEntropy, Focal
from mmdx.tasks.multiclass import Multiclass
from mmdx.tasks.multilabel import Multilabel
from mmdx.testing import check_task

BINARY = pd.DataFrame({"target": [0, 1, 1, 0, 1]})
CLASSES = pd.DataFrame({"target": ["a", "b", "c", "a"]})
LABELS = pd.DataFrame({"target_x": [1, 0, np.nan, -1, 0], "target_y": [0, 0, 1, 1, np.nan]})


@pytest.mark.parametrize("loss", [CrossEntropy(), Focal(2.0)])
@pytest.mark.parametrize("weight", [None, "balanced"])
def test_tasks_keep_the_contract(loss, weight):
    check_task(lambda: Binary(loss, weight), BINARY)
    check_task(lambda: Multiclass(["a", "b", "c"], loss, weight), CLASSES)
    for uncertain in ("ignore", "negative", "positive", "soft"):
        check_task(lambda policy=uncertain: Multilabel(["x", "y"], loss, weight, policy), LABELS)


def test_focal_with_gamma_zero_is_cross_entropy():
    logits, target = torch.randn(50), torch.randint(0, 2, (50,)).float()
    torch.testing.assert_close(Focal(0.0)(logits, target), CrossEntropy()(logits, target))
    logits, target = torch.randn(50, 4), torch.randint(0, 4, (50,))
    torch.testing.assert_close(Focal(0.0)(logits, target), CrossEntropy()(logits, target))


def test_focal_is_the_papers_equation():
    logits, target = torch.randn(50), torch.randint(0, 2, (50,)).float()
    p = torch.where(target > 0, logits.sigmoid(), 1 - logits.sigmoid())
    torch.testing.assert_close(Focal(2.0)(logits, target), -((1 - p) ** 2) * p.log())


def test_balanced_weights_give_each_class_the_same_total():
    task = Binary(class_weight="balanced")
    target = np.array([0, 0, 0, 1], np.float32)
    weights = task.fit(target)["weights"]
    assert weights[0] * 3 == pytest.approx(weights[1] * 1) and weights[0] * 3 + weights[1] == pytest.approx(4)


def test_unlabelled_entries_change_neither_loss_nor_gradient():
    task = Multilabel(["x", "y"])
    target = torch.as_tensor(task.encode(LABELS))
    logits = torch.randn(5, 2, requires_grad=True)
    loss = task.loss(logits, target)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[target.isnan()].eq(0).all() and gradient[~target.isnan()].ne(0).all()
    other = torch.where(target.isnan(), torch.tensor(99.0), logits.detach())
    torch.testing.assert_close(task.loss(other, target), loss)


def test_uncertain_entries_are_not_scored():
    columns = Multilabel(["x", "y"], uncertain="positive").columns(LABELS)
    assert np.isnan(columns["target_x"][[2, 3]]).all() and list(columns["target_x"][[0, 1, 4]]) == [1, 0, 0]


def test_probabilities_are_the_link_of_the_logits():
    logits = torch.tensor([[0.0], [2.0]])
    np.testing.assert_allclose(Binary().predict(logits)["prob"], [0.5, 1 / (1 + np.exp(-2.0))])
    rows = Multiclass(["a", "b"]).predict(torch.tensor([[1.0, 1.0]]))
    np.testing.assert_allclose([rows["prob_a"], rows["prob_b"]], 0.5)


@pytest.mark.parametrize(
    ("task", "table", "words"),
    [
        (Binary(), pd.DataFrame({"target": [1, 1, 1]}), "all 3 samples have class 1"),
        (Binary(), pd.DataFrame({"target": [0, 1, 2]}), "expected 0 and 1"),
        (Multiclass(["a", "b"]), CLASSES, "classes \\['c'\\]"),
        (Multilabel(["x", "z"]), LABELS, "no label 'z'"),
        (Multilabel(["x"]), pd.DataFrame({"target_x": [1, 1, np.nan]}), "'x'.*only one class"),
    ],
)
def test_targets_that_do_not_fit_are_named(task, table, words):
    with pytest.raises(InputError, match=words):
        task.encode(table)
