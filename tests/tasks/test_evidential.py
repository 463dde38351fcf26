"""Facts about evidential classification: the paper's loss on worked numbers, the divergence in closed form, what vacuity means."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import digamma, gammaln
from torch.distributions import Dirichlet, kl_divergence

from mmdx.errors import InputError
from mmdx.tasks.evidential import Evidential, expected_squared_error, misleading_evidence
from mmdx.testing import check_task

CLASSES = pd.DataFrame({"target": ["a", "b", "c", "a"]})
BINARY = pd.DataFrame({"target": [0, 1, 1, 0, 1]})


@pytest.mark.parametrize("weight", [None, "balanced"])
@pytest.mark.parametrize("kl_weight", [0.0, 1.0])
def test_the_task_keeps_the_contract(weight, kl_weight):
    check_task(lambda: Evidential(["a", "b", "c"], weight, kl_weight), CLASSES)
    check_task(lambda: Evidential(["0", "1"], weight, kl_weight), BINARY)


def test_expected_squared_error_is_the_papers_equation_5_on_a_worked_number():
    alpha, truth = torch.tensor([[3.0, 1.0, 1.0]], dtype=torch.double), torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.double)
    # S = 5, p = (0.6, 0.2, 0.2): squared errors 0.16 + 0.04 + 0.04, variances (0.24 + 0.16 + 0.16) / 6
    assert expected_squared_error(alpha, truth).item() == pytest.approx(0.24 + 0.56 / 6, abs=1e-12)


def test_expected_squared_error_is_the_mean_over_draws_of_the_dirichlet():
    alpha, truth = torch.tensor([[2.5, 1.2, 4.0]], dtype=torch.double), torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.double)
    torch.manual_seed(0)
    drawn = ((truth - Dirichlet(alpha[0]).sample((200_000,))) ** 2).sum(dim=1)
    error = drawn.std().item() / np.sqrt(len(drawn))
    assert abs(expected_squared_error(alpha, truth).item() - drawn.mean().item()) < 4 * error


def test_misleading_evidence_is_the_papers_closed_form_and_torchs_divergence():
    torch.manual_seed(0)
    alpha = 1 + 5 * torch.rand(20, 4, dtype=torch.double)
    truth = torch.nn.functional.one_hot(torch.arange(20) % 4, 4).double()
    left = (truth + (1 - truth) * alpha).numpy()
    total, k = left.sum(axis=1), 4
    closed = gammaln(total) - gammaln(k) - gammaln(left).sum(axis=1) + ((left - 1) * (digamma(left) - digamma(total)[:, None])).sum(axis=1)
    np.testing.assert_allclose(misleading_evidence(alpha, truth).numpy(), closed, atol=1e-10)
    expected = kl_divergence(Dirichlet(torch.as_tensor(left)), Dirichlet(torch.ones(20, 4, dtype=torch.double)))
    torch.testing.assert_close(misleading_evidence(alpha, truth), expected)


def test_evidence_for_the_true_class_is_not_punished():
    alpha = torch.tensor([[50.0, 1.0], [1.0, 50.0]])
    truth = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    found = misleading_evidence(alpha, truth)
    assert found[0].item() == pytest.approx(0, abs=1e-6) and found[1] > 1


def test_the_loss_is_error_plus_weighted_divergence():
    torch.manual_seed(0)
    logits, target = torch.randn(10, 3, dtype=torch.double), torch.randint(0, 3, (10,))
    truth = torch.nn.functional.one_hot(target, 3).double()
    alpha = torch.nn.functional.softplus(logits) + 1
    for weight in (0.0, 0.3, 1.0):
        expected = (expected_squared_error(alpha, truth) + weight * misleading_evidence(alpha, truth)).mean()
        torch.testing.assert_close(Evidential(["a", "b", "c"], kl_weight=weight).loss(logits, target), expected)


def test_the_loss_does_not_change_from_call_to_call():
    task, logits, target = Evidential(["a", "b"]), torch.randn(6, 2), torch.tensor([0, 1, 0, 1, 1, 0])
    assert len({task.loss(logits, target).item() for _ in range(20)}) == 1


def test_vacuity_is_one_without_evidence_and_falls_with_it():
    found = Evidential(["0", "1"]).predict(torch.tensor([[-50.0, -50.0], [0.0, 0.0], [10.0, -50.0], [10.0, 10.0]]))
    assert list(found) == ["prob", "vacuity"]
    assert found["vacuity"][0] == pytest.approx(1) and found["prob"][0] == 0.5
    assert found["vacuity"][1] == pytest.approx(2 / (2 + 2 * np.log(2)))  # softplus(0) is ln 2
    assert found["vacuity"][2] == pytest.approx(2 / 12, abs=1e-4) and found["prob"][2] == pytest.approx(1 / 12, abs=1e-4)
    assert found["vacuity"][3] < found["vacuity"][2]


def test_columns_follow_the_classes():
    assert Evidential(["0", "1"]).columns(BINARY)["target"].tolist() == [0, 1, 1, 0, 1]
    task = Evidential(["a", "b", "c"])
    assert task.columns(CLASSES)["target"].tolist() == ["a", "b", "c", "a"]
    found = task.predict(torch.randn(4, 3))
    assert list(found) == ["prob_a", "prob_b", "prob_c", "vacuity"]
    np.testing.assert_allclose(sum(found[f"prob_{c}"] for c in "abc"), 1)


def test_it_learns_from_logits_that_begin_at_zero_and_has_less_evidence_where_classes_overlap():
    torch.manual_seed(0)
    target = torch.randint(0, 2, (600,))
    x = torch.randn(600, 1) + 3 * target[:, None]
    features = torch.cat([x, x**2], dim=1)
    layer, task = torch.nn.Linear(2, 2), Evidential(["0", "1"])
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        task.loss(layer(features), target).backward()
        optimizer.step()
    with torch.no_grad():
        logits = layer(features)
    assert task.score(logits, target) > 0.95
    vacuity, middle = task.predict(logits)["vacuity"], (x[:, 0] - 1.5).abs().numpy() < 0.5
    assert vacuity[middle].mean() > vacuity[~middle].mean() + 0.1


def best(chance, kl_weight):
    """Probability and vacuity with the smallest expected loss where class 1 has a known chance."""
    task, logits = Evidential(["0", "1"], kl_weight=kl_weight), torch.zeros(1, 2, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def expected_loss():
        optimizer.zero_grad()
        loss = chance * task.loss(logits, torch.tensor([1])) + (1 - chance) * task.loss(logits, torch.tensor([0]))
        loss.backward()
        return loss

    optimizer.step(expected_loss)
    found = task.predict(logits)
    return found["prob"][0], found["vacuity"][0]


@pytest.mark.parametrize(("kl_weight", "prob", "vacuity"), [(1.0, 0.741, 0.52), (0.3, 0.821, 0.36), (0.1, 0.851, 0.26)])
def test_what_the_weight_of_the_penalty_does_to_a_chance_of_80_percent(kl_weight, prob, vacuity):
    assert best(0.8, kl_weight) == pytest.approx((prob, vacuity), abs=5e-3)


def test_a_negative_weight_is_refused():
    with pytest.raises(InputError, match="task.kl_weight=-1"):
        Evidential(["a", "b"], kl_weight=-1)
