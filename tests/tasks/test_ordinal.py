"""Facts about ordered classes."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import cohen_kappa_score

from mmdx.errors import InputError
from mmdx.tasks.multiclass import Multiclass
from mmdx.tasks.ordinal import Ordinal
from mmdx.testing import check_task

GRADES = pd.DataFrame({"target": ["none", "mild", "severe", "none", "mild"]})
LEVELS = ["none", "mild", "severe"]


@pytest.mark.parametrize("weight", [None, "balanced"])
def test_it_keeps_the_contract(weight):
    check_task(lambda: Ordinal(LEVELS, weight), GRADES)


def test_probabilities_are_the_papers_products():
    """P(y > 0) = s(1), P(y > 1) = s(1) s(-2), with s the logistic function."""
    found = Ordinal(LEVELS).predict(torch.tensor([[1.0, -2.0]]))
    first, second = 1 / (1 + np.exp(-1.0)), 1 / (1 + np.exp(2.0))
    np.testing.assert_allclose([found[f"prob_{name}"][0] for name in LEVELS], [1 - first, first * (1 - second), first * second], rtol=1e-6)


def test_the_loss_is_the_negative_log_likelihood():
    task, logits = Ordinal(LEVELS), torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    target = torch.as_tensor(task.encode(GRADES))
    prob = np.stack([column for column in task.predict(logits).values()], axis=1)
    np.testing.assert_allclose(float(task.loss(logits, target)), -np.log(prob[np.arange(5), target.numpy()]).mean(), rtol=1e-5)


def test_the_best_fit_without_inputs_is_the_share_of_each_level():
    """Of the continuation ratios: P(y > 0) = 3 / 5, P(y > 1 | y > 0) = 1 / 3."""
    task, target = Ordinal(LEVELS), torch.as_tensor(Ordinal(LEVELS).encode(GRADES))
    logits = torch.tensor([[np.log(3 / 2), np.log(1 / 2)]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(task.loss(logits.expand(5, 2), target), logits)
    assert gradient.abs().max() < 1e-7


def test_an_output_learns_only_from_samples_that_reach_its_level():
    logits = torch.zeros(3, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(Ordinal(LEVELS).loss(logits, torch.tensor([0, 1, 2])), logits)
    assert gradient[0, 1] == 0 and gradient[1:, 1].abs().min() > 0


def test_two_levels_are_logistic_regression():
    logits, target = torch.randn(20, 1), torch.arange(20) % 2
    torch.testing.assert_close(
        Ordinal(["a", "b"]).loss(logits, target), torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], target.float())
    )


def test_the_score_is_weighted_kappa():
    task, target = Ordinal(LEVELS), torch.tensor([0, 1, 2, 2, 0, 1])
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(3)) * 3
    guess = np.stack(list(task.predict(logits).values())).argmax(axis=0)
    assert task.score(logits, target) == pytest.approx(cohen_kappa_score(target.numpy(), guess, weights="quadratic"))
    assert task.kind == "ordinal" and Multiclass(LEVELS).kind == "multiclass"


@pytest.mark.parametrize(
    ("levels", "table", "words"),
    [
        (["none"], GRADES, "at least two different names, from the lowest"),
        (["none", "mild"], GRADES, "has levels \\['severe'\\] that task.levels"),
        (LEVELS, GRADES[:1], "have one level, 'none'"),
        (LEVELS, pd.DataFrame({"time": [1.0]}), "no single target"),
    ],
)
def test_what_does_not_fit_is_named(levels, table, words):
    with pytest.raises(InputError, match=words):
        Ordinal(levels).encode(table)
