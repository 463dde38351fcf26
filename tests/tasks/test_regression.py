"""Facts about a number as target."""

import numpy as np
import pandas as pd
import pytest
import torch

from mmdx.errors import InputError
from mmdx.tasks.losses import Huber, SquaredError
from mmdx.tasks.numbers import quantile_bins
from mmdx.tasks.regression import Regression
from mmdx.testing import check_task

AGES = pd.DataFrame({"target": [61.0, 45.5, 70.0, 33.0, 58.0, 80.0]})


@pytest.mark.parametrize("loss", [None, SquaredError(), Huber(0.5)])
def test_it_keeps_the_contract(loss):
    check_task(lambda: Regression(loss), AGES)


def test_an_output_of_zero_is_the_mean_of_the_training_split():
    task = Regression()
    task.fit(task.encode(AGES))
    found = task.predict(torch.tensor([[0.0], [1.0]]))["prediction"]
    np.testing.assert_allclose(found, [AGES["target"].mean(), AGES["target"].mean() + AGES["target"].std(ddof=0)], rtol=1e-6)


def test_the_loss_does_not_depend_on_the_unit():
    outputs, values = torch.randn(6, 1), AGES["target"].to_numpy()
    losses = []
    for factor in (1.0, 1000.0):
        task = Regression()
        target = task.encode(pd.DataFrame({"target": values * factor - 7}))
        task.fit(target)
        losses.append(float(task.loss(outputs, torch.as_tensor(target))))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_huber_is_quadratic_within_delta_and_linear_beyond():
    """Huber 1964: e^2 / 2 for |e| <= delta, else delta (|e| - delta / 2)."""
    found = Huber(2.0)(torch.tensor([1.0, 5.0]), torch.zeros(2))
    torch.testing.assert_close(found, torch.tensor([0.5, 2 * (5 - 1.0)]))


def test_the_score_is_r2():
    task = Regression()
    target = torch.as_tensor(task.encode(AGES))
    task.fit(target.numpy())
    assert task.score(torch.zeros(6, 1), target) == pytest.approx(0, abs=1e-6)
    assert task.score(((target - task.mean) / task.spread)[:, None], target) == pytest.approx(1)


def test_numbers_may_come_as_text_from_a_manifest():
    np.testing.assert_array_equal(Regression().encode(pd.DataFrame({"target": ["1.5", "2"]})), np.float32([1.5, 2]))


def test_bins_have_as_many_values_each_and_equal_values_together():
    assert np.bincount(quantile_bins(np.arange(100.0))).tolist() == [20] * 5
    assert len(set(quantile_bins(np.array([1.0] * 9 + [2.0])).tolist())) == 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, np.nan], "sample '1' has target nan, expected a finite number"),
        ([1.0, np.inf], "has target inf"),
        (["a", "b"], "has target a.*task=multiclass"),
        ([2.0, 2.0], "all 2 samples have target 2.0"),
    ],
)
def test_what_is_no_number_is_named(values, words):
    with pytest.raises(InputError, match=words):
        Regression().encode(pd.DataFrame({"target": values}))
